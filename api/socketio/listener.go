package socketio

import (
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Listener bounds the TCP connections of l, those that never ask for anything included, in all and by address.
func (t *Transport) Listener(l net.Listener) net.Listener {
	return &boundedListener{
		Listener: l, counts: t.counts, writeTimeout: t.limits.WriteTimeout, byAddress: map[string]int{},
		max: 2*t.limits.MaxConnections + 64, maxPerAddress: 2*t.limits.MaxPerAddress + 64,
	}
}

type boundedListener struct {
	net.Listener
	counts             *counters
	writeTimeout       time.Duration
	max, maxPerAddress int

	mu        sync.Mutex
	open      int
	byAddress map[string]int
}

// Accept closes a connection too many at once, rather than let it wait where nobody sees it.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := addressKey(hostOf(conn.RemoteAddr().String()))
		if l.reserve(address) {
			return &boundedConn{Conn: conn, writeTimeout: l.writeTimeout, release: sync.OnceFunc(func() { l.release(address) })}, nil
		}
		l.counts.add(refusedConnection)
		_ = conn.Close() // it was never used
	}
}

func (l *boundedListener) reserve(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.max || l.byAddress[address] >= l.maxPerAddress {
		return false
	}
	l.open++
	l.byAddress[address]++
	return true
}

func (l *boundedListener) release(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	decrement(l.byAddress, address)
}

// boundedConn ends with the first write that its peer does not take, whatever is answered: a poll as well as a frame.
type boundedConn struct {
	net.Conn
	writeTimeout time.Duration
	release      func()
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// Server is an http.Server for h with the time-outs and limits that belong in front of this transport. It bounds no
// whole request: a long poll is one.
func (t *Transport) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           t.boundBody(h),
		ReadHeaderTimeout: t.limits.HeaderTimeout,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          newErrorLog(t.log),
	}
}

// boundBody bounds the body of every request, also where nobody reads it: net/http reads on before it answers.
func (t *Transport) boundBody(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(t.limits.BodyTimeout)) // fails in tests without a connection
		}
		h.ServeHTTP(w, r)
	})
}

// errorLog takes what net/http has to say; it knows addresses and no secret ids.
type errorLog struct{ log zerolog.Logger }

func newErrorLog(l zerolog.Logger) *log.Logger { return log.New(errorLog{l}, "", 0) }

func (e errorLog) Write(line []byte) (int, error) {
	e.log.Debug().Str("operation", "http").Bytes("line", line).Msg("http server")
	return len(line), nil
}

package socketio

import (
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Listener bounds the TCP connections of l, those that never ask for anything included: in all, by address, and half of all for
// guests. A guest that is in the way of another one gives way. Those of a trusted proxy are nobody's guests, and of no one address.
func (t *Transport) Listener(l net.Listener) net.Listener {
	return &boundedListener{
		Listener: l, t: t, max: 2*t.limits.MaxConnections + 64, maxPerAddress: 2*t.limits.MaxPerAddress + 64,
		byAddress: map[string]int{}, guests: map[*boundedConn]guest{},
	}
}

type boundedListener struct {
	net.Listener
	t                  *Transport
	max, maxPerAddress int

	mu        sync.Mutex
	open      int
	byAddress map[string]int
	guests    map[*boundedConn]guest
}

// Accept closes a connection too many at once, rather than let it wait where nobody sees it.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := hostOf(conn.RemoteAddr().String())
		c := &boundedConn{Conn: conn, listener: l, address: addressKey(host), proxy: l.t.proxies.trusts(host)}
		inTheWay, ok := l.admit(c, time.Now())
		if inTheWay != nil {
			l.t.counts.add(endedGaveWay)
			_ = inTheWay.Close() // whoever serves it sees that
		}
		if ok {
			return c, nil
		}
		l.t.refused(&refusal{reason: refusedConnection, message: "too many connections; see --max-sessions"}, asked{remote: host})
		_ = conn.Close() // it was never used
	}
}

// admit finds a place for c, that of a guest where there is no other.
func (l *boundedListener) admit(c *boundedConn, now time.Time) (inTheWay *boundedConn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	crowded := !c.proxy && l.byAddress[c.address] >= l.maxPerAddress
	if crowded || l.open >= l.max || !c.proxy && len(l.guests) >= l.max/2 {
		inTheWay = l.inTheWayLocked(c, crowded, now)
		if inTheWay == nil {
			return nil, false
		}
		l.removeLocked(inTheWay)
	}
	l.open++
	if !c.proxy {
		l.byAddress[c.address]++
		l.guests[c] = guest{c.address, now}
	}
	return inTheWay, true
}

// inTheWayLocked is the guest whose place c takes, nil if there is none. Where all are young it is one that has asked for nothing yet.
func (l *boundedListener) inTheWayLocked(c *boundedConn, crowded bool, now time.Time) *boundedConn {
	all, silent := map[*boundedConn]guest{}, map[*boundedConn]guest{}
	for k, g := range l.guests {
		if crowded && g.address != c.address {
			continue
		}
		all[k] = g
		if !k.asked.Load() {
			silent[k] = g
		}
	}
	if k, found := givesWay(all, c.address, l.t.limits.GuestGrace, now); found {
		return k
	}
	k, _ := givesWay(silent, c.address, 0, now)
	return k
}

// seat has a connection that was joined by be a guest's no more.
func (l *boundedListener) seat(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.guests, c)
}

func (l *boundedListener) isGuest(c *boundedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, is := l.guests[c]
	return is
}

func (l *boundedListener) remove(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(c)
}

// removeLocked takes c off the lists, once.
func (l *boundedListener) removeLocked(c *boundedConn) {
	if c.removed {
		return
	}
	c.removed = true
	l.open--
	if !c.proxy {
		decrement(l.byAddress, c.address)
	}
	delete(l.guests, c)
}

// boundedConn ends with the first write that its peer does not take, whatever is answered: a poll as well as a frame.
type boundedConn struct {
	net.Conn
	listener *boundedListener
	address  string
	proxy    bool
	removed  bool        // guarded by the listener
	asked    atomic.Bool // its peer has sent a request
	idle     atomic.Bool // it waits for its peer's next request
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.listener.t.limits.WriteTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SetReadDeadline has a guest's next request come sooner than a client's, or a proxy's, who keep their connections for long.
func (c *boundedConn) SetReadDeadline(deadline time.Time) error {
	if soon := time.Now().Add(c.listener.t.limits.GuestIdleTimeout); c.idle.Load() && deadline.After(soon) && c.listener.isGuest(c) {
		deadline = soon
	}
	return c.Conn.SetReadDeadline(deadline)
}

func (c *boundedConn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

// boundedOf finds what Accept gave in what net/http or TLS has made of it; nil: it is another's.
func boundedOf(conn net.Conn) *boundedConn {
	for {
		switch c := conn.(type) {
		case *boundedConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// seat notes that a client has joined by the connection.
func (c *boundedConn) seat() {
	if c != nil {
		c.listener.seat(c)
	}
}

// track follows what net/http does with a connection. It sets the deadline for the next request once that is waited for.
func track(conn net.Conn, state http.ConnState) {
	if c := boundedOf(conn); c != nil {
		c.asked.Store(c.asked.Load() || state != http.StateNew)
		c.idle.Store(state == http.StateIdle)
	}
}

type connKey struct{}

// Server is an http.Server for h with the time-outs and limits that belong in front of this transport. It bounds no
// whole request: a long poll is one.
func (t *Transport) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           t.boundBody(h),
		ReadHeaderTimeout: t.limits.HeaderTimeout,
		IdleTimeout:       90 * time.Second, // proxies keep theirs for 60
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          newErrorLog(t.log),
		ConnState:         track,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, boundedOf(conn))
		},
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

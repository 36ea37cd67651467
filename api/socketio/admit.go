package socketio

import (
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/rs/zerolog"
)

// slot is the right to one connection. It travels in the handshake's context to the link that takes it over.
type slot struct {
	host string
	link *link
}

type slotKey struct{}

func (t *Transport) admit(host string) (*slot, *refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closing:
		return nil, &refusal{http.StatusServiceUnavailable, refusedClosing, "the manager is shutting down"}
	case t.taken >= t.limits.MaxConnections:
		return nil, &refusal{http.StatusServiceUnavailable, refusedFull, "too many connections; try again later"}
	case t.slots[host] >= t.limits.MaxPerAddress:
		return nil, &refusal{http.StatusTooManyRequests, refusedAddress, "too many connections from this address"}
	}
	t.taken++
	t.slots[host]++
	return &slot{host: host}, nil
}

// releaseUnused gives back what no link took, since the library refused the handshake.
func (t *Transport) releaseUnused(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.link == nil {
		t.releaseLocked(s.host)
	}
}

func (t *Transport) releaseLocked(host string) {
	t.taken--
	if t.slots[host]--; t.slots[host] == 0 {
		delete(t.slots, host)
	}
}

func (t *Transport) link(sid string) *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.links[sid]
}

// forget makes room again when l has ended, in the library's table as well: it misses those that end during their handshake.
func (t *Transport) forget(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.links[l.conn.Id()] == l {
		delete(t.links, l.conn.Id())
		t.releaseLocked(l.host)
	}
	t.engine.Clients().Delete(l.conn.Id())
}

// Listener bounds the TCP connections of l, those that never ask for anything included.
func (t *Transport) Listener(l net.Listener) net.Listener {
	return &boundedListener{Listener: l, counts: t.counts, free: make(chan struct{}, 2*t.limits.MaxConnections+64)}
}

type boundedListener struct {
	net.Listener
	counts *counters
	free   chan struct{} // holds a token for each open connection
}

// Accept closes a connection too many at once, rather than let it wait where nobody sees it.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			l.counts.add(refusedConnection)
			_ = conn.Close() // it was never used
		}
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// errorLog takes what net/http has to say; it knows addresses and no secret ids.
type errorLog struct{ log zerolog.Logger }

func newErrorLog(l zerolog.Logger) *log.Logger { return log.New(errorLog{l}, "", 0) }

func (e errorLog) Write(line []byte) (int, error) {
	e.log.Debug().Str("operation", "http").Bytes("line", line).Msg("http server")
	return len(line), nil
}

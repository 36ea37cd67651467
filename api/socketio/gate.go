package socketio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// maxEarlyBytes is what a WebSocket message may have before anybody has joined; a CONNECT fits.
const maxEarlyBytes = 32 << 10

var errEarly = errors.New("data before the handshake's answer")

// gatedWriter gives the library a connection that yields nothing before open is called. The library starts reading
// while it is still setting the connection up, and a frame that is early enough ends the process.
type gatedWriter struct {
	http.ResponseWriter
	t     *Transport
	link  *link // set by open
	ready chan struct{}
	conn  *gatedConn // what it gave; nil: nothing
}

func newGatedWriter(w http.ResponseWriter, t *Transport) *gatedWriter {
	return &gatedWriter{ResponseWriter: w, t: t, ready: make(chan struct{})}
}

// Hijack implements http.Hijacker.
func (g *gatedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(g.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over connection: %w", err)
	}
	if buffered.Reader.Buffered() > 0 {
		_ = conn.Close() // what was sent too early would be read around the gate
		return nil, nil, errEarly
	}
	ctx, cancel := context.WithCancel(context.Background())
	perSecond := g.t.limits.ReadBytesPerSecond
	g.conn = &gatedConn{
		Conn: conn, bounded: boundedOf(conn), gate: g, ctx: ctx, cancel: cancel, reads: rate.NewLimiter(rate.Limit(perSecond), perSecond),
		reserved: &reservation{budget: g.t.budget},
	}
	return g.conn, buffered, nil
}

// open lets reads through; it is called once, when the library has returned. What is read is l's.
func (g *gatedWriter) open(l *link) {
	if g.link = l; l != nil && g.conn != nil {
		l.setWebSocket(g.conn)
	}
	close(g.ready)
}

// joined reports whether a session is there.
func (g *gatedWriter) joined() bool { return g.link != nil && g.link.joined() != nil }

// gatedConn bounds what a peer can do by writing fast, by writing slowly, and before it has joined. All reads are of one
// goroutine, the library's.
type gatedConn struct {
	net.Conn
	bounded      *boundedConn // what Conn is made of
	gate         *gatedWriter
	ctx          context.Context // ends with the connection, and with it every wait
	cancel       context.CancelFunc
	closing      sync.Once
	reads        *rate.Limiter
	frames       frames
	reserved     *reservation // of the transport's budget, for a message half read
	timedMessage int          // the message that the deadline is for, 0 for none
	probing      atomic.Bool  // the session is still carried elsewhere: neither reads nor writes fail
	inTurn       atomic.Bool  // it is this connection's turn while probing: the library acts on what it has read
	ahead        []byte       // what was read while probing and is still to be given to the library

	writing   sync.Mutex
	link      *link // once this is where it is written to
	coalescer writeCoalescer
}

func (c *gatedConn) Read(b []byte) (int, error) {
	c.endTurn()
	select {
	case <-c.gate.ready:
	case <-c.ctx.Done():
		return 0, net.ErrClosed
	}
	if c.probing.Load() {
		return c.readProbe(b)
	}
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	return c.read(b)
}

// endTurn ends the turn in which the library acts on what it has read.
func (c *gatedConn) endTurn() {
	if c.inTurn.CompareAndSwap(true, false) {
		c.gate.link.acting.Unlock()
	}
}

func (c *gatedConn) read(b []byte) (int, error) {
	// All that came before has been acted on by now, a CONNECT included.
	if !c.reserved.resize(c.partialBytes()) || c.frames.message > maxEarlyBytes && !c.frames.idle() && !c.gate.joined() {
		c.gate.t.counts.add(brokeLimits)
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.gate.t.counts.add(brokeFrame)
	}
	if err != nil {
		return n, err
	}
	if c.reads.WaitN(c.ctx, min(n, c.reads.Burst())) != nil {
		return 0, net.ErrClosed
	}
	return n, c.trackMessage(b[:n])
}

// partialBytes is how much memory a large message takes that is not whole yet; the library refuses one beyond its limit.
func (c *gatedConn) partialBytes() int {
	if c.frames.idle() || c.frames.message <= fairBytes {
		return 0
	}
	return int(min(c.frames.message, maxPacketBytes))
}

// trackMessage sets a deadline when a message begins, and takes it away when the message is whole.
func (c *gatedConn) trackMessage(b []byte) error {
	c.frames.feed(b)
	message, deadline := 0, time.Time{}
	if !c.frames.idle() {
		message, deadline = c.frames.messages, time.Now().Add(c.gate.t.limits.FrameTimeout)
	}
	if message == c.timedMessage {
		return nil
	}
	c.timedMessage = message
	return c.SetReadDeadline(deadline)
}

// Write keeps back what more is about to follow.
func (c *gatedConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if whole := c.coalescer.add(b, c.follows); whole != nil {
		defer c.coalescer.release()
		if _, err := c.Conn.Write(whole); err != nil && !c.probing.Load() {
			return 0, err
		}
	}
	return len(b), nil
}

func (c *gatedConn) follows() bool { return c.link != nil && c.link.follows() }

// startCoalescing has what l is sent at about the same time go out by one write.
func (c *gatedConn) startCoalescing(l *link) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.link = l
}

// flush writes what is kept back.
func (c *gatedConn) flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	if rest := c.coalescer.remainder(); rest != nil {
		defer c.coalescer.release()
		_, _ = c.Conn.Write(rest) // a connection that takes no more fails the next write as well
	}
}

func (c *gatedConn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		c.endTurn()
		c.cancel()
		c.reserved.release()
		err = c.Conn.Close()
	})
	return err
}

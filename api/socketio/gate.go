package socketio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

var errEarly = errors.New("data before the handshake's answer")

// gatedWriter gives the library a connection that yields nothing before open is called. The library starts reading
// while it is still setting the connection up, and a frame that is early enough ends the process.
type gatedWriter struct {
	http.ResponseWriter
	limits Limits
	ready  chan struct{}
}

func newGatedWriter(w http.ResponseWriter, limits Limits) *gatedWriter {
	return &gatedWriter{ResponseWriter: w, limits: limits, ready: make(chan struct{})}
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
	return &gatedConn{
		Conn: conn, ready: g.ready, ctx: ctx, cancel: cancel, writeTimeout: g.limits.WriteTimeout,
		reads: rate.NewLimiter(rate.Limit(g.limits.ReadBytesPerSecond), g.limits.ReadBytesPerSecond),
	}, buffered, nil
}

// open lets reads through; it is called once, when the library has returned.
func (g *gatedWriter) open() { close(g.ready) }

// gatedConn bounds what a peer can do by reading slowly or by writing fast.
type gatedConn struct {
	net.Conn
	ready        chan struct{}
	ctx          context.Context // ends with the connection, and with it every wait
	cancel       context.CancelFunc
	closing      sync.Once
	writeTimeout time.Duration
	reads        *rate.Limiter
}

func (c *gatedConn) Read(b []byte) (int, error) {
	select {
	case <-c.ready:
	case <-c.ctx.Done():
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(b)
	if n > 0 && c.reads.WaitN(c.ctx, min(n, c.reads.Burst())) != nil {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *gatedConn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		c.cancel()
		err = c.Conn.Close()
	})
	return err
}

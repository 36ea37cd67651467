package sockets

import (
	"bufio"
	"errors"
	"net"
	"time"
)

// maxAnswers is how many of our answers to a flow may wait unsent before we stop reading from it.
const maxAnswers = 16

// conn is one connection of a flow. Its reader receives frames; its writer fetches from the endpoint what is to be sent.
type conn struct {
	endpoint *endpoint
	net.Conn

	wake    chan struct{} // holds one: the endpoint may have something for the writer
	answers chan []byte   // frames from the reader to the writer; closed when the reader has ended
	written chan struct{} // closed when the writer has ended

	// The rest is guarded by the endpoint's mutex.
	hello    uint64   // which of the container's hellos was this connection's last; 0: it said none
	ready    bool     // it said that the flow is
	notices  []notice // unsent
	writeErr error
}

// notice is a frame of the manager's own that supersedes an unsent one of its kind.
type notice struct {
	kind  string
	frame []byte
}

func newConn(e *endpoint, nc net.Conn) *conn {
	return &conn{
		endpoint: e, Conn: nc,
		wake: make(chan struct{}, 1), answers: make(chan []byte, maxAnswers), written: make(chan struct{}),
	}
}

// run serves the connection until it ends.
func (c *conn) run() {
	go c.writeLoop()
	c.endpoint.announce()
	err := c.readLoop()
	c.endpoint.unregister(c, err)
	close(c.answers)
	select {
	case <-c.written:
	case <-c.endpoint.ended: // the flow need not take what is left
	}
	c.Close()
	<-c.written
}

func (c *conn) readLoop() error {
	r := bufio.NewReader(c)
	for {
		body, err := c.readFrame(r)
		if err != nil {
			return err
		}
		c.endpoint.receive(c, body)
	}
}

// readFrame waits for a frame as long as it takes to begin, and then for its end as long as is allowed.
func (c *conn) readFrame(r *bufio.Reader) ([]byte, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	if holdsFrame(r) {
		return readFrame(r, c.endpoint.cfg.MaxFrame)
	}
	if err := c.SetReadDeadline(time.Now().Add(c.endpoint.cfg.FrameTimeout)); err != nil {
		return nil, err
	}
	body, err := readFrame(r, c.endpoint.cfg.MaxFrame)
	if e, ok := errors.AsType[*tooLongError](err); ok {
		_, problem := lostConnection(e, nil, 0)
		c.answer(errorFrame(problem))
	}
	if err != nil {
		return nil, err
	}
	// A connection that cannot do this cannot be read from either, and says so next time; this frame is whole.
	_ = c.SetReadDeadline(time.Time{})
	return body, nil
}

// answer hands a frame to the writer. A flow that asks and does not read is thereby not read from either.
func (c *conn) answer(frame []byte) {
	select {
	case c.answers <- frame:
	case <-c.written:
	}
}

// writeLoop writes frames until the reader has ended or the flow takes no more.
func (c *conn) writeLoop() {
	defer close(c.written)
	for {
		frame, r, ok := c.next()
		if !ok {
			return
		}
		err := c.writeFrame(frame)
		c.endpoint.finishWrite(c, r, err)
		if err != nil {
			c.closeRead()
			return
		}
	}
}

// closeRead ends reading once all is read that the flow sent before: its last words, often.
func (c *conn) closeRead() {
	half, ok := c.Conn.(interface{ CloseRead() error })
	if !ok || half.CloseRead() != nil {
		c.Close()
	}
}

// next waits for the next frame: notices before answers before messages. r is the request that the frame belongs to, if any.
func (c *conn) next() (frame []byte, r *request, ok bool) {
	for {
		if frame := c.endpoint.nextNotice(c); frame != nil {
			return frame, nil, true
		}
		select {
		case frame, ok := <-c.answers:
			return frame, nil, ok
		default:
		}
		if r := c.endpoint.nextRequest(c); r != nil {
			return r.frame, r, true
		}
		select {
		case <-c.wake:
		case frame, ok := <-c.answers:
			return frame, nil, ok
		}
	}
}

func (c *conn) writeFrame(frame []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.endpoint.cfg.WriteTimeout)); err != nil {
		return err
	}
	_, err := c.Write(frame)
	return err
}

// wakeWriter makes the writer look at the endpoint again.
func (c *conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// notifyLocked leaves a notice for the writer in place of an unsent one of its kind.
func (c *conn) notifyLocked(n notice) {
	kept := c.notices[:0]
	for _, old := range c.notices {
		if old.kind != n.kind {
			kept = append(kept, old)
		}
	}
	c.notices = append(kept, n)
	c.wakeWriter()
}

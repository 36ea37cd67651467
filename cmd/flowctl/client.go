package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

const (
	maxIn        = 4 << 20          // bytes of one message from the server
	maxOut       = 512 << 10        // bytes of one request
	writeTimeout = 10 * time.Second // one packet to a server that does not read
	goodbye      = time.Second      // the last two
)

// Event is one event from the server.
type Event struct {
	Name string
	Data json.RawMessage
}

// Client is one Socket.IO session over WebSocket. One goroutine reads packets and acts on each before it reads the next, so
// their order is kept; it queues nothing but one answer for each that is expected, and for whoever listens a backlog of events:
// where that is full it stands still, and in the end the server with it. The first thing that goes wrong ends the session, and
// every call from then on returns it.
type Client struct {
	server string
	token  string
	conn   *websocket.Conn
	joined chan struct{} // closed when the server has accepted the session
	ended  chan struct{} // closed when the reader has ended
	err    error         // why; set before ended is closed
	left   chan struct{} // closed when Close was called
	leave  func()

	hear func(Event) error // of the goroutine that listens

	writing sync.Mutex // a connection has one writer at a time

	mu       sync.Mutex
	lastID   uint64
	acks     map[uint64]chan json.RawMessage
	expected map[string]expectation
	heard    *backlog // nil until somebody listens; the listener alone changes it
	warning  *Failure // the last error that belongs to no request: it explains a disconnect that follows

	silence time.Duration // the reader's own
}

type expectation struct {
	names []string
	got   chan Event
}

// Dial joins the server at an http, https or unix URL, whose certificate must come from one of roots; nil: the system's. Its
// error says what to do where the server cannot be reached or does not accept the token.
func Dial(ctx context.Context, server, token string, roots *x509.CertPool) (*Client, error) {
	conn, err := dial(ctx, server, roots)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxIn)
	c := &Client{
		server: server, token: token, conn: conn, joined: make(chan struct{}), ended: make(chan struct{}),
		acks: map[uint64]chan json.RawMessage{}, expected: map[string]expectation{}, left: make(chan struct{}),
	}
	c.leave = sync.OnceFunc(func() { close(c.left) })
	go c.read()
	if _, err := await(ctx, c, c.joined); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close says goodbye, ends the session and waits until its goroutine has ended.
func (c *Client) Close() {
	c.leave()
	if c.writing.TryLock() { // whoever writes now is stuck
		c.sayGoodbye()
		c.writing.Unlock()
	}
	_ = c.conn.Close() // closed already, or now
	<-c.ended
}

// sayGoodbye tells the server not to wait for us. The session may be over already, and nothing depends on it.
func (c *Client) sayGoodbye() {
	deadline := time.Now().Add(goodbye)
	_ = c.conn.SetWriteDeadline(deadline)
	_ = c.conn.WriteMessage(websocket.TextMessage, []byte{engineMessage, socketDisconnect})
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline)
}

// Request sends an event and returns its acknowledgement; one that is an error object is returned as a *Failure.
func (c *Client) Request(ctx context.Context, event string, payload any) (json.RawMessage, error) {
	id, ack := c.nextAck()
	defer c.forgetAck(id)
	if err := c.emit(ctx, id, event, payload); err != nil {
		return nil, err
	}
	body, err := await(ctx, c, ack)
	if err != nil {
		return nil, err
	}
	return body, failed(body)
}

// Expect has the first event kept that bears requestID and is one of names or an error. It must come before the request.
func (c *Client) Expect(requestID string, names ...string) <-chan Event {
	got := make(chan Event, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected[requestID] = expectation{append(names, api.ErrorEvent), got}
	return got
}

// Await waits for what Expect promised; an error event is returned as a *Failure.
func (c *Client) Await(ctx context.Context, got <-chan Event) (Event, error) {
	e, err := await(ctx, c, got)
	if err == nil && e.Name == api.ErrorEvent {
		return e, failureOf(e.Data)
	}
	return e, err
}

// Listen has every event from now on told to hear, by Request, Await and Attend while they wait, which end with its error. What
// came before an acknowledgement is heard before Request returns, and what came behind it later. From then on one goroutine
// alone may call them.
func (c *Client) Listen(hear func(Event) error) {
	c.hear = hear
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = newBacklog()
}

// Attend tells hear what comes until ctx or the session ends, or hear wants no more.
func (c *Client) Attend(ctx context.Context) error {
	_, err := await[struct{}](ctx, c, nil)
	return err
}

// await prefers what has come to any reason not to wait for it: the server may answer and close at once.
func await[T any](ctx context.Context, c *Client, ch <-chan T) (T, error) {
	var heard <-chan struct{}
	if c.hear != nil {
		heard = c.heard.some
	}
	for {
		if v, ok := ready(ch); ok { // before what came behind it is heard
			return v, nil
		}
		var err error
		select {
		case v := <-ch:
			return v, nil
		case <-heard:
			_, err = c.take()
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-c.ended:
			err = c.over(ctx)
		}
		if err == nil {
			continue
		}
		if v, ok := ready(ch); ok {
			return v, nil
		}
		return *new(T), err
	}
}

func ready[T any](ch <-chan T) (v T, ok bool) {
	select {
	case v = <-ch:
		return v, true
	default:
		return v, false
	}
}

// over hears one thing more that came before the session ended, or else says why that did.
func (c *Client) over(ctx context.Context) error {
	if c.hear != nil {
		if taken, err := c.take(); taken {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // it may be what ended the session, by a write that was given up
	}
	return c.err
}

// take has the next of the backlog heard, if there is any.
func (c *Client) take() (taken bool, err error) {
	next, ok := c.heard.pop()
	switch {
	case !ok:
		return false, nil
	case next.ack != nil:
		next.ack <- next.body
		return true, nil
	}
	return true, c.hear(next.event)
}

func failed(ack json.RawMessage) error {
	var body struct {
		Error bool `json:"error"`
	}
	if err := json.Unmarshal(ack, &body); err != nil {
		return fmt.Errorf("%w: answer %.100q", errMalformed, ack)
	}
	if body.Error {
		return failureOf(ack)
	}
	return nil
}

func (c *Client) nextAck() (uint64, <-chan json.RawMessage) {
	ack := make(chan json.RawMessage, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	c.acks[c.lastID] = ack
	return c.lastID, ack
}

func (c *Client) forgetAck(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.acks, id)
}

func (c *Client) emit(ctx context.Context, id uint64, event string, payload any) error {
	body, err := encode([]any{event, payload})
	if err != nil {
		return err
	}
	if len(body) > maxOut {
		return fmt.Errorf("%s is %d bytes long, a request may have %d: make it smaller", event, len(body), maxOut)
	}
	// A write to a server that does not read is given up with ctx; so is the session, as half a packet was sent.
	defer context.AfterFunc(ctx, func() { _ = c.conn.NetConn().Close() })()
	if err := c.write(fmt.Appendf(nil, "%c%c%d%s", engineMessage, socketEvent, id, body)); err != nil {
		return c.unsent(ctx, event, err)
	}
	return nil
}

func (c *Client) unsent(ctx context.Context, event string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-c.ended:
		return c.err
	default:
		return disconnected("send %s: %w", event, err)
	}
}

func (c *Client) write(packet []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // it only notes the time
	return c.conn.WriteMessage(websocket.TextMessage, packet)
}

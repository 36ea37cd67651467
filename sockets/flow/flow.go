// Package flow connects the code inside a container to its manager, and stays connected: it dials the socket that the manager
// mounted, says hello, and dials again, a little later each time, whenever the connection is lost, as when the manager starts anew.
//
// What it guarantees:
//
//   - Handlers are called one at a time, in the order of the messages, in a goroutine of their own. The lifecycle callback is
//     called beside them and at once: a handler that takes long does not hold up the news that the flow is about to be stopped.
//   - What Emit, Event and Reply return nil for was written whole to the socket. They wait for a connection as long as their
//     context lets them. A message that is lost with its connection is not sent again.
//   - Run returns when its context has ended and so have the handlers that it called.
package flow

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

const (
	firstPause = 50 * time.Millisecond // before the first try to connect again
	lastPause  = 2 * time.Second       // what that grows to; each is shortened by up to a half, for many flows come at once
	maxQueued  = 64                    // messages that were read and wait for their handler; then reading waits
)

// Handler takes one message. ctx ends when Run is to end.
type Handler func(ctx context.Context, m *Message)

// Flow is one connection to the manager, and those that follow it. Its methods may be called from any goroutine; those that set
// it up, Handle and OnLifecycle, before Run.
type Flow struct {
	socket    string
	handlers  map[string]Handler
	lifecycle func(event string, grace time.Duration)

	mu    sync.Mutex
	conn  net.Conn      // nil: there is none now
	up    chan struct{} // closed while there is one
	ready bool

	writing sync.Mutex // held while a frame is written
}

// New makes a Flow for a socket; "" is the one that the manager names in FLOW_SOCKET.
func New(socket string) *Flow {
	return &Flow{socket: cmp.Or(socket, os.Getenv("FLOW_SOCKET")), handlers: map[string]Handler{}, up: make(chan struct{}),
		lifecycle: func(string, time.Duration) {}}
}

// Handle has h called for messages of a type; "" is for clients' messages that have no handler of their own. Without that one they
// are answered by {"type":"error","error_type":"unknown_type"}. The manager itself sends status, whose message has the container's,
// and error, which says what it did not understand.
func (f *Flow) Handle(kind string, h Handler) { f.handlers[kind] = h }

// OnLifecycle has h called before the manager stops the flow: event is stopping, restarting or updating, and grace how long it
// may take to end once it is asked to. It is called by whoever reads the socket, and must not wait for messages.
func (f *Flow) OnLifecycle(h func(event string, grace time.Duration)) { f.lifecycle = h }

var errNoSocket = errors.New("there is no socket to connect to: the manager names it in FLOW_SOCKET where it runs a flow")

// Run connects, and serves until ctx ends. Then it returns ctx's error. Without a socket it fails at once.
func (f *Flow) Run(ctx context.Context) error {
	if f.socket == "" {
		return errNoSocket
	}
	queue := make(chan *Message, maxQueued)
	var handling sync.WaitGroup
	handling.Go(func() {
		for m := range queue {
			f.handle(ctx, m)
		}
	})
	defer handling.Wait()
	defer close(queue)
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		if f.serve(ctx, queue) {
			pause = firstPause
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// serve reads one connection to its end and tells whether there was anything to read.
func (f *Flow) serve(ctx context.Context, queue chan<- *Message) (served bool) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", f.socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer f.set(nil)
	if f.send(conn, []byte(`{"type":"hello"}`)) != nil || f.set(conn) && f.send(conn, []byte(readyFrame)) != nil {
		return false
	}
	for r := bufio.NewReader(conn); ; served = true {
		m, err := f.next(r)
		if err != nil {
			return served
		}
		if m != nil {
			queue <- m
		}
	}
}

// set takes note of a connection that stands, or of none, and tells whether the flow is ready: a new manager does not know.
func (f *Flow) set(conn net.Conn) (ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case conn != nil:
		close(f.up)
	case f.conn != nil:
		f.up = make(chan struct{})
	}
	f.conn = conn
	return f.ready
}

// connection waits for one.
func (f *Flow) connection(ctx context.Context) (net.Conn, error) {
	for {
		f.mu.Lock()
		conn, up := f.conn, f.up
		f.mu.Unlock()
		if conn != nil {
			return conn, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the manager: %w", ctx.Err())
		}
	}
}

// next reads one message for a handler; nil where it was none.
func (f *Flow) next(r *bufio.Reader) (*Message, error) {
	body, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	var head map[string]json.RawMessage // of a struct, encoding/json would take "Type" for "type"
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, fmt.Errorf("read a message: %w", err)
	}
	m := &Message{flow: f, Body: body, id: head["id"]}
	_ = json.Unmarshal(head["type"], &m.Type) // a client's may be anything, or missing
	if m.Type != "lifecycle" {
		return m, nil
	}
	var event string
	var grace float64
	if err := errors.Join(json.Unmarshal(head["event"], &event), json.Unmarshal(head["grace_seconds"], &grace)); err != nil {
		return nil, fmt.Errorf("read a lifecycle: %w", err)
	}
	f.lifecycle(event, time.Duration(grace*float64(time.Second)))
	return nil, nil
}

func (f *Flow) handle(ctx context.Context, m *Message) {
	h, own := f.handlers[m.Type], m.Type == "status" || m.Type == "error" || m.Type == "pong" // the manager's
	if h == nil && !own {
		h = f.handlers[""]
	}
	switch {
	case h != nil:
		h(ctx, m)
	case !own && m.id != nil:
		_ = m.Reply(ctx, map[string]any{"type": "error", "error_type": "unknown_type", // where ctx ends first, so does the flow
			"message": fmt.Sprintf("the flow has no handler for messages of type %.64q", m.Type)})
	}
}

package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api/session"
)

// Session is a client without a connection. What it is sent waits, in its order, until it is taken by Next or Events.
type Session struct {
	app       session.App
	id        string
	principal session.Principal
	ctx       context.Context // the session's life is a value that handlers are given
	cancel    context.CancelFunc

	turn sync.Mutex // of the request that is being handled

	mu      sync.Mutex
	waiting []Sent
	paced   int           // of these, sent at the client's pace
	room    int           // how many of these may wait; 0: any number
	changed chan struct{} // closed, and made anew, whenever something was sent or taken
}

// Sent is one thing that a client was sent: an event, or the acknowledgement of a request.
type Sent struct {
	Event   string   // "" of an acknowledgement
	Request *Request // that is acknowledged, nil of an event
	Body    json.RawMessage
	News    bool // an event that everybody is told

	paced bool
}

// Open joins app as a principal. Its error is that of the app.
func Open(app session.App, as session.Principal) (*Session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Session{app: app, id: xid.New().String(), principal: as, ctx: ctx, cancel: cancel, changed: make(chan struct{})}
	if err := app.Begin(s); err != nil {
		cancel()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return s, nil
}

// Slow lets only so many events wait that are sent at the client's pace (EmitPaced); 0 is any number.
func (s *Session) Slow(room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = room
	s.changeLocked()
}

// Close ends the session. What it was sent can still be taken. Closing it again does nothing.
func (s *Session) Close() {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	s.cancel()
	s.app.End(s)
}

// Ask sends a request whose arguments are data, commonly one object, and that wants an acknowledgement. That may come later
// than Ask returns.
func (s *Session) Ask(event string, data ...json.RawMessage) *Request {
	return s.handle(event, data, true)
}

// Tell is Ask for a request that wants no acknowledgement.
func (s *Session) Tell(event string, data ...json.RawMessage) *Request {
	return s.handle(event, data, false)
}

func (s *Session) handle(event string, args []json.RawMessage, wanted bool) *Request {
	q := &Request{Event: event, session: s, wanted: wanted, acked: make(chan struct{}), over: make(chan struct{})}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.ctx.Err() != nil {
		return q
	}
	var first json.RawMessage
	if len(args) > 0 {
		first = args[0]
	}
	r := session.NewRequest(s, event, first, len(args), q)
	defer r.Hold()()
	s.app.Handle(s, r)
	return q
}

// Next takes the next thing that was sent, and waits for it until ctx ends or, where nothing is left, the session.
func (s *Session) Next(ctx context.Context) (Sent, bool) {
	for {
		next, ok, changed := s.take()
		if ok {
			return next, true
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			next, ok, _ = s.take()
			return next, ok
		case <-ctx.Done():
			return Sent{}, false
		}
	}
}

func (s *Session) take() (next Sent, ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return Sent{}, false, s.changed
	}
	next, s.waiting = s.waiting[0], s.waiting[1:]
	if next.paced {
		s.paced--
	}
	s.changeLocked()
	return next, true, s.changed
}

// Events takes all that waits, and gives the events among it.
func (s *Session) Events() []Sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []Sent
	for _, one := range s.waiting {
		if one.Request == nil {
			events = append(events, one)
		}
	}
	s.waiting, s.paced = nil, 0
	s.changeLocked()
	return events
}

// Paced is how many events wait that were sent at the client's pace.
func (s *Session) Paced() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paced
}

// ID implements session.Session, as do those that follow.
func (s *Session) ID() string { return s.id }

func (s *Session) RemoteAddr() string { return "in-process" }

func (s *Session) Principal() session.Principal { return s.principal }

func (s *Session) Context() context.Context { return s.ctx }

func (s *Session) Emit(event string, body json.RawMessage) bool {
	return s.put(Sent{Event: event, Body: body})
}

func (s *Session) EmitNews(e *session.Event) bool {
	return s.put(Sent{Event: e.Name, Body: e.Body, News: true})
}

func (s *Session) EmitWait(_ context.Context, event string, body json.RawMessage) bool {
	return s.Emit(event, body)
}

func (s *Session) EmitPaced(ctx context.Context, e *session.Event) bool {
	for {
		sent, changed := s.offer(Sent{Event: e.Name, Body: e.Body, paced: true})
		if sent {
			return true
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// Recovered lets a panic end the test that met it.
func (s *Session) Recovered(string, func()) {}

func (s *Session) put(one Sent) bool {
	sent, _ := s.offer(one)
	return sent
}

func (s *Session) offer(one Sent) (sent bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || one.paced && s.room > 0 && s.paced >= s.room {
		return false, s.changed
	}
	if one.paced {
		s.paced++
	}
	if one.Request != nil {
		one.Request.ack = one.Body
		close(one.Request.acked)
	}
	s.waiting = append(s.waiting, one)
	s.changeLocked()
	return true, s.changed
}

func (s *Session) changeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

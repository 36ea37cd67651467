package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/xid"
	"github.com/zishang520/socket.io/v2/socket"
	"golang.org/x/time/rate"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

// packetOverhead is about what a queued packet costs beside its bytes.
const packetOverhead = 128

// Session is one joined client. It has two goroutines: one calls the App, the other writes to the client.
type Session struct {
	t         *Transport
	link      *link
	sock      *socket.Socket
	id        string
	auth      json.RawMessage
	principal session.Principal // set before Begin
	release   func() bool       // unties the session from what it logged in with

	ctx      context.Context // the session's life is a value that handlers are given
	cancel   context.CancelFunc
	in       *queue[*session.Request]
	out      *outbox
	rate     *rate.Limiter
	inFlight inFlight

	stalled    bool // the request queue was full last time; its reader's alone
	unanswered bool // as many were in flight as may be, last time; its reader's alone
	counted    bool // it counts for its principal; guarded by the transport

	live       chan struct{} // closed when the CONNECT answer is on its way
	liveOnce   sync.Once
	gone       chan struct{} // closed when nothing can be written any more
	goneOnce   sync.Once
	leaveOpen  atomic.Bool // the client closes the connection itself
	expelled   atomic.Bool // the client may not act any more
	begun      atomic.Bool // the App knows it
	endReason  atomic.Pointer[string]
	handled    chan struct{} // closed when the App has seen the end
	written    chan struct{} // closed when the last packet is written
	goroutines atomic.Int32  // goroutines still running
}

func newSession(t *Transport, g *connectAuth, sock *socket.Socket) *Session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Session{
		t: t, link: g.link, sock: sock, id: xid.New().String(), auth: g.auth, ctx: ctx, cancel: cancel,
		in:       newQueue[*session.Request](t.limits.InItems, t.limits.InBytes, t.budget),
		out:      newOutbox(&t.limits, t.budget),
		rate:     rate.NewLimiter(rate.Limit(t.limits.RequestsPerSecond), t.limits.RequestsPerSecond),
		inFlight: inFlight{space: make(chan struct{}, 1)},
		live:     make(chan struct{}), gone: make(chan struct{}), handled: make(chan struct{}), written: make(chan struct{}),
		release: func() bool { return true },
	}
	s.goroutines.Store(2)
	return s
}

// ID is the session's own id (an xid); it is no secret.
func (s *Session) ID() string { return s.id }

// RemoteAddr is where the handshake came from, address and port; the port is 0 where a proxy speaks for the client and does not tell it.
func (s *Session) RemoteAddr() string { return s.link.remote }

// Principal is who the session acts for.
func (s *Session) Principal() session.Principal { return s.principal }

// Context ends when the session is over: when the client is gone, or End was called. Requests that the client
// had sent before it went are still handed to Handle.
func (s *Session) Context() context.Context { return s.ctx }

// Emit queues an event for the client, in order with everything else that is sent to it. It never blocks. False means
// that the session is over; a client that reads so slowly that its queue is full is cut off.
func (s *Session) Emit(event string, body json.RawMessage) bool {
	return s.emit(encode(event, body))
}

// EmitNews is Emit for what everybody is told. It may not arrive though the session goes on.
func (s *Session) EmitNews(e *session.Event) bool { return s.emit(encodeNews(e)) }

func (s *Session) emit(p outbound) bool {
	outcome := s.out.offer(p)
	switch outcome {
	case pushedFull:
		s.dropSlow()
	case pushedDropped:
		s.t.counts.add(eventsDropped)
	}
	return outcome == pushedOK || outcome == pushedDropped
}

// EmitWait is Emit for what is long, a page or a replay: it waits for room in the queue until ctx or the session ends.
func (s *Session) EmitWait(ctx context.Context, event string, body json.RawMessage) bool {
	return s.wait(ctx, encode(event, body))
}

func (s *Session) wait(ctx context.Context, p outbound) bool {
	return s.out.offerUntil(p, ctx.Done()) == pushedOK
}

// EmitPaced is EmitWait for one of many events: few of them wait in the queue.
func (s *Session) EmitPaced(ctx context.Context, e *session.Event) bool {
	return s.out.offerPaced(packetOf(e), ctx.Done()) == pushedOK
}

// End ends the session: requests that wait are dropped, what was emitted is still written. It does not wait.
func (s *Session) End(reason string) {
	s.t.log.Debug().Str("operation", "end_session").Str("session", s.id).Str("reason", reason).Msg("session ended")
	s.in.close(true)
	s.end(endedByApp)
}

// end lets the writer finish, for a bounded time.
func (s *Session) end(reason string) {
	s.setEndReason(reason)
	s.in.close(false)
	s.out.close()
	s.cancel()
}

// drain lets the session end in good order: what was received is answered, and what is emitted until then is written.
func (s *Session) drain(ctx context.Context) error {
	s.in.close(false)
	err := ended(ctx, s.handled)
	if err == nil {
		err = s.answered(ctx)
	}
	s.end(endedByShutdown)
	if err == nil {
		err = ended(ctx, s.written)
	}
	return err
}

// answered waits for what is in flight, unless there is nobody to be answered.
func (s *Session) answered(ctx context.Context) error {
	select {
	case <-s.written:
		return nil
	case <-s.inFlight.drained():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("answer a session: %w", ctx.Err())
	}
}

func ended(ctx context.Context, what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end a session: %w", ctx.Err())
	}
}

// dropSlow ends the session of a client that does not keep up. Should it still read, it is told why in the place of all
// that waits.
func (s *Session) dropSlow() {
	e := api.RateLimited(time.Second, "the connection is closed: this client reads more slowly than it is sent to; connect again, and list again")
	s.setEndReason(endedSlow)
	s.in.close(false)
	s.out.discard(encode(api.ErrorEvent, e.Body(time.Now())))
	s.cancel()
}

// cut ends the session at once and drops what was to be written.
func (s *Session) cut(reason string) {
	s.setEndReason(reason)
	s.in.close(false)
	s.out.discard()
	s.cancel()
	s.goneOnce.Do(func() { close(s.gone) })
}

// cutByClient is cut for a client that says goodbye: to close its connection from here would fail its last request.
func (s *Session) cutByClient(reason string) {
	s.leaveOpen.Store(true)
	s.cut(reason)
}

func (s *Session) setEndReason(reason string) { s.endReason.CompareAndSwap(nil, &reason) }

// protocolError ends the session of a client that has sent what cannot be answered.
func (s *Session) protocolError(f *fault) {
	s.dismiss(api.Errorf(api.ValidationError, "the connection is closed: %s", f.message), f.reason)
}

// expel ends the session of a client that may not act any more.
func (s *Session) expel(cause error) {
	e := api.AsError(cause)
	s.t.log.Info().Str("operation", "expel").Str("session", s.id).Str("principal", s.principal.Name).Str("login_id", s.principal.Token).Str("why", e.Message).Msg("session cut off")
	s.expelled.Store(true)
	s.dismiss(e, endedUnauthorized)
}

// dismiss tells the client why before it ends the session.
func (s *Session) dismiss(e *api.Error, reason string) {
	s.emitError(e)
	s.in.close(true)
	s.end(reason)
}

func (s *Session) goLive() { s.liveOnce.Do(func() { close(s.live) }) }

// handleLoop is the session's own goroutine. next tells the library whether the client may join.
func (s *Session) handleLoop(next func(*socket.ExtendedError)) {
	defer s.goroutineDone(s.handled)
	defer func() { s.release() }()
	if err := s.begin(); err != nil {
		s.refuseJoin(api.AsError(err), next)
		return
	}
	next(nil)
	for {
		r, ok := s.in.pop()
		if !ok {
			break
		}
		s.handle(r)
	}
	s.finish()
}

func (s *Session) begin() (err error) {
	defer s.Recovered("begin", func() { err = api.InternalError() })
	if err := s.authenticate(); err != nil {
		return err
	}
	s.auth = nil
	if err := s.t.countPrincipal(s); err != nil {
		return err
	}
	if err := s.t.app.Begin(s); err != nil {
		return err
	}
	s.begun.Store(true)
	s.link.seat()
	return nil
}

// authenticate ties the session's life to that of what it logs in with.
func (s *Session) authenticate() error {
	if s.t.auth == nil {
		s.principal = session.Principal{Name: "operator", Role: api.Operator}
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.t.limits.JoinTimeout)
	defer cancel()
	principal, life, err := s.t.auth(ctx, s.auth, s.RemoteAddr())
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	if life.Err() != nil {
		return context.Cause(life)
	}
	s.principal = principal
	s.release = context.AfterFunc(life, func() { s.expel(context.Cause(life)) })
	return nil
}

func (s *Session) refuseJoin(e *api.Error, next func(*socket.ExtendedError)) {
	if e.Err != nil {
		s.t.log.Error().Err(e).Str("operation", "connect").Str("remote", s.RemoteAddr()).Msg("session refused")
	}
	s.t.tell(&refusal{reason: refusedConnect + "/" + string(e.Type), message: e.Message}, asked{what: "CONNECT", remote: s.RemoteAddr()})
	s.cutByClient(refusedConnect)
	next(socket.NewExtendedError(e.Message, e.Body(time.Now())))
}

func (s *Session) handle(r *session.Request) {
	defer r.Hold()()
	defer s.Recovered(r.Event, func() { r.Fail(api.InternalError()) })
	s.t.app.Handle(s, r)
}

func (s *Session) finish() {
	defer s.Recovered("end", func() {})
	s.t.app.End(s)
}

// Recovered keeps a bug in a handler to the request that met it.
func (s *Session) Recovered(operation string, answer func()) {
	cause := recover()
	if cause == nil {
		return
	}
	s.t.counts.add(requestPanic)
	s.t.log.Error().Str("session", s.id).Str("operation", operation).Any("panic", cause).Bytes("stack", debug.Stack()).Msg("handler panicked")
	answer()
}

// goroutineDone takes the session off the list with the second of its goroutines.
func (s *Session) goroutineDone(done chan struct{}) {
	if s.goroutines.Add(-1) == 0 {
		s.t.removeSession(s)
		s.logOver()
	}
	close(done)
}

// logOver says that a session that the App knew is over, and why. The reason has been set by what ended its two goroutines.
func (s *Session) logOver() {
	if s.begun.Load() {
		s.t.log.Debug().Str("operation", "disconnect").Str("session", s.id).Str("reason", *s.endReason.Load()).Msg("session over")
	}
}

func (s *Session) emitError(e *api.Error) { s.Emit(api.ErrorEvent, e.Body(time.Now())) }

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// Messenger carries messages to flows and back.
type Messenger interface {
	// Path is where the flow's socket is on the host.
	Path(id string) string
	// Facts tells whether a flow is connected and when it last said something (zero: never).
	Facts(id string) (connected bool, last time.Time)
	// Queue puts a message for the flow behind those queued before it. done is told when it was written whole, or the reply
	// where one is expected, or why not, as when ctx ends; it is called once, unless Queue fails, and must not block. Errors
	// are *api.Error.
	Queue(ctx context.Context, id string, message json.RawMessage, timeout time.Duration, expectReply bool, done func(reply json.RawMessage, err error)) error
}

// Stats tells what a container consumes.
type Stats interface {
	// Usage may take a second for the first who asks about a container; then it is the last sample, and the next is drawn.
	Usage(ctx context.Context, c *api.Container) api.Usage
	// Sample is a sample of now. Who asks at the same time shares one, and waits for it, until ctx ends.
	Sample(ctx context.Context, c *api.Container) api.Usage
}

// Engine tells whether what is stored about containers can be relied upon.
type Engine interface {
	// EngineKnown is nil while the engine answers; else the error says why not.
	EngineKnown() error
}

// Policy says what a declaration may reach.
type Policy interface {
	// Admit judges the spec for the container called name, "" for one without a name. It may look at the disk and ask the
	// engine. Its *api.Error tells an admin more.
	Admit(ctx context.Context, name string, s *api.Spec, admin bool) error
	// AdmitPorts judges the host ports of a spec beside those of all others. It is asked within the store's transaction and
	// reads its arguments only.
	AdmitPorts(s *api.Spec, others iter.Seq[*store.Record]) error
}

// Backend is what the handlers work with.
type Backend struct {
	Store     *store.Store
	Messenger Messenger
	Stats     Stats
	Logs      Logs
	Engine    Engine
	Policy    Policy
	Planner   Planner
	Log       zerolog.Logger
	// Audit is told of each declaration, accepted or refused, as the log is; the zero Logger where nobody keeps that.
	Audit   zerolog.Logger
	Version string
	// StatusInterval is how often it is told what containers consume; 0 is never.
	StatusInterval time.Duration
	// Fail is called at points at which a test may want the process to die; nil in production.
	Fail func(point string)
}

// Server answers clients' requests and tells every session what happens. It is the App of a transport.
type Server struct {
	Backend
	roles    map[string]api.Role
	handlers map[string]handler
	answers  pendingAnswers
	tasks    sync.WaitGroup

	life   context.Context // of what handlers leave running; Drain ends it
	cancel context.CancelFunc

	eventCache eventCache
	tails      tails

	// mu guards who is told, and up to which revision and tally they have been told. A session that has a stream is told of
	// changes by that.
	mu                sync.Mutex
	sessions          map[session.Session]*stream
	broadcastRevision uint64
	broadcastTold     store.Tally
}

// handler answers one request; an error is what the client is told.
type handler func(s *Server, c session.Session, r *session.Request) error

// New makes the server; Run must run for sessions to hear of anything.
func New(b Backend) *Server {
	if b.Fail == nil {
		b.Fail = func(string) {}
	}
	s := &Server{Backend: b, roles: api.RequestRoles(), sessions: map[session.Session]*stream{}}
	s.broadcastRevision, s.broadcastTold = b.Store.Tally()
	s.life, s.cancel = context.WithCancel(context.Background())
	s.handlers = map[string]handler{
		api.CreateContainer:    (*Server).createContainer,
		api.ApplyContainer:     (*Server).applyContainer,
		api.StartContainer:     (*Server).startContainer,
		api.StopContainer:      (*Server).stopContainer,
		api.RestartContainer:   (*Server).restartContainer,
		api.PauseContainer:     (*Server).pauseContainer,
		api.UnpauseContainer:   (*Server).unpauseContainer,
		api.UpdateContainer:    (*Server).updateContainer,
		api.RollbackContainer:  (*Server).rollbackContainer,
		api.DeleteContainer:    (*Server).deleteContainer,
		api.WaitContainer:      (*Server).waitContainer,
		api.GetContainer:       (*Server).getContainer,
		api.ExplainContainer:   (*Server).explainContainer,
		api.GetContainerStatus: (*Server).getContainerStatus,
		api.GetStatus:          (*Server).getContainerStatus,
		api.ListContainers:     (*Server).listContainers,
		api.SendMessage:        (*Server).sendMessage,
		api.Subscribe:          (*Server).subscribe,
		api.Unsubscribe:        (*Server).unsubscribe,
		api.GetActivity:        (*Server).getActivity,
		api.GetLogs:            (*Server).getLogs,
		api.StopLogs:           (*Server).stopLogs,
	}
	return s
}

// Begin implements session.App: the session is told that it is connected, and of everything after that.
func (s *Server) Begin(c session.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[c] = nil
	c.Emit(api.Connected, api.Encode(map[string]any{
		"message": "connected to flow-manager", "version": s.Version, "instance": s.Store.Instance(),
		"resource_version": s.Store.Version(s.broadcastRevision), "role": c.Principal().Role, "timestamp": time.Now().UTC(),
	}))
	s.Log.Debug().Str("operation", "connect").Str("session", c.ID()).Str("remote", c.RemoteAddr()).Str("principal", c.Principal().Name).
		Str("role", string(c.Principal().Role)).Str("login_id", c.Principal().Token).Msg("session begun")
	return nil
}

// End implements session.App.
func (s *Server) End(c session.Session) {
	s.mu.Lock()
	delete(s.sessions, c)
	s.mu.Unlock()
	s.answers.forget(c)
}

// Handle implements session.App.
func (s *Server) Handle(c session.Session, r *session.Request) {
	began := time.Now()
	err := s.dispatch(c, r)
	log := s.Log.Debug()
	if err != nil {
		e := api.AsError(err)
		if e.Type == api.SystemError {
			log = s.Log.Error()
		}
		log = log.Err(err)
		s.auditRefused(r, e)
		s.refuse(r, e)
	}
	log.Str("operation", r.Event).Str("session", c.ID()).Dur("took", time.Since(began)).Msg("request")
}

func (s *Server) dispatch(c session.Session, r *session.Request) error {
	if err := s.permit(c, r); err != nil {
		return err
	}
	if r.Args != 1 {
		return api.Errorf(api.ValidationError, "%s takes one JSON object, not %d arguments", r.Event, r.Args)
	}
	return s.handlers[r.Event](s, c, r)
}

// refuse answers by the acknowledgement and by an error event.
func (s *Server) refuse(r *session.Request, e *api.Error) {
	if e.RequestID == "" {
		e = e.For("", requestID(r.Data), "")
	}
	r.Fail(e)
}

// requestID finds the id of a request that could not be decoded, so that its error can be matched all the same.
func requestID(data json.RawMessage) string {
	var asked api.Asked
	if json.Unmarshal(data, &asked) != nil || len(asked.RequestID) > 256 {
		return ""
	}
	return asked.RequestID
}

// async goes on with r when its handler has returned; the session's next request may be what r waits for.
func (s *Server) async(r *session.Request, fn func()) { s.hold(r)(fn) }

// hold keeps r for resume, which is called once and goes on with r in a goroutine of its own. Until then r has none.
func (s *Server) hold(r *session.Request) (resume func(fn func())) {
	release := r.Hold()
	s.tasks.Add(1)
	return func(fn func()) {
		go func() {
			defer s.tasks.Done()
			defer release()
			defer r.Session.Recovered(r.Event, func() { r.Fail(api.InternalError()) })
			fn()
		}()
	}
}

// Drain has all that clients still wait for answered now, for better or worse.
func (s *Server) Drain() {
	s.cancel()
	for _, id := range s.answers.containers() {
		s.abandon(id)
	}
}

// Run tells sessions what the store commits until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if s.StatusInterval > 0 {
		s.tasks.Go(func() { s.report(ctx) })
	}
	watch := s.Store.Watch(s.broadcastRevision)
	for {
		changes, err := watch.Next(ctx)
		switch {
		case ctx.Err() != nil:
			s.Drain()
			s.tasks.Wait()
			return nil
		case errors.Is(err, store.ErrExpired):
			watch = s.Store.Watch(s.skip())
		case err != nil:
			return fmt.Errorf("tell of changes: %w", err)
		}
		for i := range changes {
			s.broadcastChange(&changes[i])
		}
	}
}

// skip gives up on changes that are no longer kept; whoever waits for an answer is judged by what stands now.
func (s *Server) skip() uint64 {
	revision, told := s.Store.Tally()
	s.mu.Lock()
	gap := s.missed(behind(s.broadcastRevision, s.broadcastTold), behind(revision, told), &filter{})
	s.broadcastRevision, s.broadcastTold = revision, told
	ev := newSharedEvent(api.EventsDropped, time.Now(), "", s.Store.Version(revision), nobody, gap.Event)
	s.broadcastLocked(&ev, func(_ session.Session, st *stream) bool { return st == nil })
	s.mu.Unlock()
	for _, id := range s.answers.containers() {
		s.completeAnswers(id, nil)
	}
	return revision
}

// broadcastChange sends a change's events to every session that has not subscribed, encoded once, and then the answers that it brings.
func (s *Server) broadcastChange(c *store.Change) {
	ce := s.changeEvents(c)
	s.mu.Lock()
	s.broadcastRevision, s.broadcastTold = c.Revision, c.Told
	for i := range ce.events[1:] {
		s.broadcastLocked(&ce.events[1+i], func(_ session.Session, st *stream) bool { return st == nil })
	}
	s.mu.Unlock()
	s.completeAnswers(c.ID, c)
}

// Broadcast sends an event that is not kept to every session that has not narrowed itself to others.
func (s *Server) Broadcast(e api.Event) {
	about := sync.OnceValue(func() string { return containerOf(e) })
	labels := sync.OnceValues(func() (id string, labels map[string]string) {
		if id = about(); id == "" {
			return "", nil
		}
		if r, ok := s.Store.Get(id); ok {
			labels = r.Labels
		}
		return id, labels
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := newSharedEvent(e.Name, time.Now(), "", s.Store.Version(s.broadcastRevision), func() string { return s.nameOf(about()) }, func() api.Event { return e })
	s.broadcastLocked(&ev, func(_ session.Session, st *stream) bool {
		if st == nil || !st.filter.narrowed {
			return true
		}
		id, has := labels()
		return st.filter.matchesEvent(e.Name) && (id == "" || st.filter.matchesContainer(id, has))
	})
}

func (s *Server) broadcastLocked(ev *sharedEvent, reaches func(session.Session, *stream) bool) {
	for c, st := range s.sessions {
		if !reaches(c, st) {
			continue
		}
		if e, shown := ev.forSession(c); shown {
			c.EmitNews(e)
		}
	}
}

func emitError(c session.Session, e *api.Error) { c.Emit(api.ErrorEvent, e.Body(time.Now())) }

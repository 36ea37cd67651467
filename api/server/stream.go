package server

import (
	"context"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// stream sends one session the durable events that it has subscribed to, read from the store's log at the pace of its client: a
// slow one holds up nobody and misses nothing that is kept. There is nothing live to change over to, so nothing is lost or sent
// twice between what is told again and what happens.
type stream struct {
	server  *Server
	session session.Session
	filter  filter
	answer  subscription
	stop    context.CancelCauseFunc
	done    chan struct{}

	at cursor // of the stream alone, and of its successor once done is closed
}

// cursor is how far a session was sent what it subscribed to.
type cursor struct {
	store.Position
	told store.Tally // up to there, nil where that is not known
}

// subscription is what its request is answered, when all up to a revision was sent.
type subscription struct {
	operation, requestID string
	upTo                 uint64
}

// errReplaced ends a stream in whose place another one has come.
var errReplaced = errors.New("replaced")

// startStream has the session sent what the filter lets through, from a position on.
func (s *Server) startStream(c session.Session, f filter, at cursor, a subscription) {
	ctx, stop := context.WithCancelCause(c.Context())
	st := &stream{server: s, session: c, filter: f, answer: a, stop: stop, done: make(chan struct{}), at: at}
	s.mu.Lock()
	s.sessions[c] = st
	s.mu.Unlock()
	s.tasks.Go(func() {
		defer close(st.done)
		defer context.AfterFunc(s.life, func() { stop(context.Canceled) })()
		defer c.Recovered(a.operation, func() { emitError(c, api.InternalError().For(a.operation, a.requestID, "")) })
		st.run(ctx)
	})
}

// run ends with ctx.
func (st *stream) run(ctx context.Context) {
	watch := st.server.Store.Watch(st.at.After)
	for st.sendSubscribed(ctx) {
		changes, err := watch.Next(ctx)
		switch {
		case errors.Is(err, store.ErrExpired):
			if !st.skip(ctx) {
				st.reportEnd(ctx, nil)
				return
			}
			watch = st.server.Store.Watch(st.at.After)
		case err != nil:
			st.reportEnd(ctx, err)
			return
		}
		for i := range changes {
			if !st.process(ctx, &changes[i]) {
				st.reportEnd(ctx, nil)
				return
			}
		}
	}
	st.reportEnd(ctx, nil)
}

// process sends a change's events. It does not make them where the filter lets none through.
func (st *stream) process(ctx context.Context, c *store.Change) bool {
	if !st.filter.mayMatch(c) {
		st.at = behind(c.Revision, c.Told)
		return true
	}
	if !st.sendChange(ctx, st.server.changeEvents(c)) {
		return false
	}
	st.at = behind(c.Revision, c.Told)
	return true
}

// behind is the cursor behind all of a revision.
func behind(revision uint64, told store.Tally) cursor {
	return cursor{store.Position{After: revision}, told}
}

// sendChange sends what is left of a change; false: the stream is over.
func (st *stream) sendChange(ctx context.Context, ce *changeEvents) bool {
	for i := st.at.Within; i < len(ce.events); i++ {
		if !st.send(ctx, ce, i) {
			return false
		}
		st.at.Within = i + 1
	}
	return true
}

// send sends the event at index i where the filter lets it through.
func (st *stream) send(ctx context.Context, ce *changeEvents, i int) bool {
	ev, passes := ce.events[i], st.filter.matchesContainer(ce.id, ce.labels)
	if ev.full == nil || !st.filter.matchesEvent(ev.name) {
		return true
	}
	if ev.name == api.ContainerChanged {
		var kind store.ChangeType
		if kind, passes = st.filter.changeType(ce); kind != ce.kind {
			ev = st.server.containerEvent(ce, kind)
		}
	}
	if !passes {
		return true
	}
	e, shown := ev.forSession(st.session)
	return !shown || st.session.EmitPaced(ctx, e) // it must not be dropped, so it waits for room
}

// sendSubscribed tells the session that it has been sent everything up to when it asked, once that is so; false: the stream is over.
func (st *stream) sendSubscribed(ctx context.Context) bool {
	if st.answer.operation == "" || st.at.After < st.answer.upTo {
		return true
	}
	body := st.filter.describe()
	body["resource_version"], body["timestamp"] = st.server.Store.Version(st.at.After), time.Now().UTC()
	if st.answer.requestID != "" {
		body["request_id"] = st.answer.requestID
	}
	if !st.session.EmitPaced(ctx, &session.Event{Name: api.Subscribed, Body: api.Encode(body)}) {
		return false
	}
	st.answer = subscription{}
	return true
}

// reportEnd tells why nothing more comes: another request came before this one was answered, or err. With the session or the server it
// ends without a word.
func (st *stream) reportEnd(ctx context.Context, err error) {
	switch {
	case errors.Is(context.Cause(ctx), errReplaced):
		if st.answer.operation != "" {
			e := api.Errorf(api.ConflictError, "a later request of this session came before all that %s asked for was sent", st.answer.operation)
			emitError(st.session, e.For(st.answer.operation, st.answer.requestID, ""))
		}
	case err != nil && ctx.Err() == nil:
		st.server.Log.Error().Err(err).Str("operation", api.Subscribe).Str("session", st.session.ID()).Msg("what is kept cannot be read")
		e := api.Errorf(api.SystemError, "nothing more is sent of what was subscribed to, for it cannot be read; subscribe again from the last resource_version")
		emitError(st.session, e.For(api.Subscribe, st.answer.requestID, ""))
	}
}

// skip gives up what is no longer kept: this client reads so slowly that it was overtaken by that. Where it cannot be told so before
// the stream is over, its successor meets the same gap.
func (st *stream) skip(ctx context.Context) bool {
	newest, told := st.server.Store.Tally()
	missed := st.server.missed(st.at, behind(newest, told), &st.filter)
	if !st.session.EmitPaced(ctx, &session.Event{Name: api.EventsDropped, Body: missed.Event().Stamped(time.Now(), "")}) {
		return false
	}
	st.at = behind(newest, told)
	return true
}

// missed tells of what the filter lets through, by the names of events, between two places: of all containers, for which of them
// had these events is not known any more.
func (s *Server) missed(from, to cursor, f *filter) api.Missed {
	events := 0
	if f.matchesEvent(api.ContainerChanged) {
		events = int(to.After - from.After)
	}
	for name, n := range to.told {
		if f.matchesEvent(name) {
			events += int(n - from.told[name])
		}
	}
	return api.Missed{From: s.Store.Version(from.After + 1), To: s.Store.Version(to.After), Events: max(events, 1)}
}

package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// pendingAnswer is the answer that an accepted request is still to get: its event once the result was observed, or an error.
type pendingAnswer struct {
	session   session.Session
	operation string
	event     string
	requestID string
	id, name  string
	// request is the generation that it led to and what it asked for; level is how far that is to have come.
	request store.Accepted
	level   store.Level
	// superseded is a request that was superseded already when its outcome was asked for: what it came to before that is its outcome.
	superseded bool
	// unchanged is a request that changed nothing: it is judged by how the container stands now, not by what was noted.
	unchanged  bool
	statusWord string // what the event calls the status; "" is the state
	// result is sent the outcome instead of the session.
	result chan *outcome
}

// maxPendingAnswers is how many answers one session may wait for.
const maxPendingAnswers = 1024

// pendingAnswers are the answers that sessions wait for.
type pendingAnswers struct {
	mu          sync.Mutex
	byContainer map[string][]*pendingAnswer
	perSession  map[session.Session]int
}

// hasRoom reports whether a session may wait for another answer.
func (a *pendingAnswers) hasRoom(c session.Session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.perSession[c] < maxPendingAnswers
}

func (a *pendingAnswers) releaseLocked(p *pendingAnswer) {
	if a.perSession[p.session]--; a.perSession[p.session] <= 0 {
		delete(a.perSession, p.session)
	}
}

func (a *pendingAnswers) add(p *pendingAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byContainer == nil {
		a.byContainer, a.perSession = map[string][]*pendingAnswer{}, map[session.Session]int{}
	}
	a.perSession[p.session]++
	a.byContainer[p.id] = append(a.byContainer[p.id], p)
}

// remove forgets one answer, where it is still pending.
func (a *pendingAnswers) remove(p *pendingAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setLocked(p.id, slices.DeleteFunc(a.byContainer[p.id], func(one *pendingAnswer) bool {
		if one == p {
			a.releaseLocked(one)
		}
		return one == p
	}))
}

// forget drops the pending answers of a session that is gone.
func (a *pendingAnswers) forget(c session.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, list := range a.byContainer {
		a.setLocked(id, slices.DeleteFunc(list, func(p *pendingAnswer) bool { return p.session == c }))
	}
	delete(a.perSession, c)
}

func (a *pendingAnswers) setLocked(id string, list []*pendingAnswer) {
	if len(list) == 0 {
		delete(a.byContainer, id)
		return
	}
	a.byContainer[id] = list
}

func (a *pendingAnswers) containers() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]string, 0, len(a.byContainer))
	for id := range a.byContainer {
		ids = append(ids, id)
	}
	return ids
}

// complete takes out the answers about id that verdict has an outcome for, each exactly once.
func (a *pendingAnswers) complete(id string, verdict func(p *pendingAnswer) *outcome) []completedAnswer {
	a.mu.Lock()
	defer a.mu.Unlock()
	var completed []completedAnswer
	a.setLocked(id, slices.DeleteFunc(a.byContainer[id], func(p *pendingAnswer) bool {
		o := verdict(p)
		if o != nil {
			a.releaseLocked(p)
			completed = append(completed, completedAnswer{p, o})
		}
		return o != nil
	}))
	return completed
}

type completedAnswer struct {
	answer  *pendingAnswer
	outcome *outcome
}

// outcome is how a request ended: by an error, or well with the status to tell.
type outcome struct {
	err    *api.Error
	status string
}

// trackAnswer has p answered when its result is observed, which it may be already.
func (s *Server) trackAnswer(p *pendingAnswer) {
	s.answers.add(p)
	s.completeAnswers(p.id, nil)
	if s.life.Err() != nil {
		s.abandon(p.id)
	}
}

// abandon answers all that is pending about a container though nothing was observed: this process will not see it.
func (s *Server) abandon(id string) {
	for _, d := range s.answers.complete(id, func(p *pendingAnswer) *outcome {
		e := api.Errorf(api.TimeoutError, "the manager is shutting down before the outcome of %s was seen; what was declared stands, and is gone on with at its next start", p.operation)
		return &outcome{err: e.With("reason", api.ReasonShuttingDown)}
	}) {
		s.deliver(d)
	}
}

// completeAnswers sends the answers that a change of a container brings. Without a change they are judged by what stands now.
func (s *Server) completeAnswers(id string, c *store.Change) {
	seen := s.recordAfter(id, c)
	for _, d := range s.answers.complete(id, func(p *pendingAnswer) *outcome { return judge(p, seen) }) {
		s.deliver(d)
	}
}

// recordAfter is how the container stood right after the change; nil where it is gone.
func (s *Server) recordAfter(id string, c *store.Change) *store.Record {
	switch {
	case c != nil && c.Type == store.Deleted:
		return nil
	case c != nil && c.Record != nil:
		return c.Record
	}
	r, _ := s.Store.Get(id)
	return r
}

// judge tells how a request ended, nil while it has not.
func judge(p *pendingAnswer, r *store.Record) *outcome {
	o := plan.Judge(r, p.request)
	if p.unchanged {
		o = plan.JudgeNow(r, p.request)
	}
	switch {
	case o == nil:
		return nil
	case o.Level >= p.level, p.superseded && o.Level >= store.LevelSeen && superseded(o):
		return &outcome{status: o.State}
	case o.ErrorType == "":
		return nil
	}
	message := o.Message
	if superseded(o) {
		message = fmt.Sprintf("%s before %s was seen to be done", o.Message, p.operation)
	}
	e := api.Errorf(o.ErrorType, "%s", message)
	for key, value := range o.Details {
		e = e.With(key, value)
	}
	return &outcome{err: e}
}

// superseded reports whether a request ended because of a later one.
func superseded(o *store.Outcome) bool {
	return o.ErrorType == api.ConflictError && o.Details["superseded_by"] != nil
}

func (s *Server) deliver(d completedAnswer) {
	p := d.answer
	if p.result != nil {
		p.result <- d.outcome
		return
	}
	if d.outcome.err != nil {
		e := d.outcome.err.For(p.operation, p.requestID, p.id)
		p.session.Emit(api.ErrorEvent, e.Body(time.Now()))
		return
	}
	p.session.Emit(p.event, s.answerBody(p, d.outcome.status))
}

func (s *Server) answerBody(p *pendingAnswer, status string) json.RawMessage {
	if p.statusWord != "" {
		status = p.statusWord
	}
	body := map[string]any{"container_id": p.id, "name": p.name, "status": status, "timestamp": time.Now().UTC()}
	if p.requestID != "" {
		body["request_id"] = p.requestID
	}
	if r, ok := s.Store.Get(p.id); ok && p.request.Intent != store.IntentDeleted {
		body["image"], body["docker_id"], body["generation"] = r.Spec.Image, r.Status.DockerID, r.Generation
		body["socket_path"], body["ports"] = s.Messenger.Path(p.id), r.Container.Item().Ports
		if p.statusWord != "" && r.Spec.Code != nil {
			body["code_path"], body["code_revision"] = r.Spec.Code.Path, r.Status.CodeRevision
		}
	}
	return api.Encode(body)
}

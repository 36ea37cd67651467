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

// answer is what an accepted request is still owed: its event once the result was observed, or an error.
type answer struct {
	session   session.Session
	operation string
	event     string
	requestID string
	id, name  string
	// request is the generation that it led to and what it asked for; level is how far that is to have come.
	request store.Accepted
	level   store.Level
	// late is a request that was overtaken already when its outcome was asked for: what it came to before that is its outcome.
	late bool
	// fresh is a request that changed nothing: it is judged by how the container stands now, not by what was noted.
	fresh bool
	said  string // what the event calls the status; "" is the state
	// wait is told the outcome instead of the session.
	wait chan *outcome
}

// maxOwed is how many answers one session may be owed.
const maxOwed = 1024

// answers are what sessions are owed, by container.
type answers struct {
	mu    sync.Mutex
	owed  map[string][]*answer
	count map[session.Session]int
}

// room tells whether a session may be owed another answer.
func (a *answers) room(c session.Session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count[c] < maxOwed
}

func (a *answers) paidLocked(p *answer) {
	if a.count[p.session]--; a.count[p.session] <= 0 {
		delete(a.count, p.session)
	}
}

func (a *answers) add(p *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owed == nil {
		a.owed, a.count = map[string][]*answer{}, map[session.Session]int{}
	}
	a.count[p.session]++
	a.owed[p.id] = append(a.owed[p.id], p)
}

// remove forgets one answer, where it is still owed.
func (a *answers) remove(p *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keepLocked(p.id, slices.DeleteFunc(a.owed[p.id], func(one *answer) bool {
		if one == p {
			a.paidLocked(one)
		}
		return one == p
	}))
}

// leave forgets what a session that is gone was owed.
func (a *answers) leave(c session.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, list := range a.owed {
		a.keepLocked(id, slices.DeleteFunc(list, func(p *answer) bool { return p.session == c }))
	}
	delete(a.count, c)
}

func (a *answers) keepLocked(id string, list []*answer) {
	if len(list) == 0 {
		delete(a.owed, id)
		return
	}
	a.owed[id] = list
}

func (a *answers) waiting() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]string, 0, len(a.owed))
	for id := range a.owed {
		ids = append(ids, id)
	}
	return ids
}

// settled takes out the answers about id that verdict has an event for, each exactly once.
func (a *answers) settled(id string, verdict func(p *answer) *outcome) []delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	var done []delivery
	a.keepLocked(id, slices.DeleteFunc(a.owed[id], func(p *answer) bool {
		o := verdict(p)
		if o != nil {
			a.paidLocked(p)
			done = append(done, delivery{p, o})
		}
		return o != nil
	}))
	return done
}

type delivery struct {
	to   *answer
	what *outcome
}

// outcome is how a request ended: by an error, or well with the status to tell.
type outcome struct {
	err    *api.Error
	status string
}

// owe has p answered when its result is observed, which it may be already.
func (s *Server) owe(p *answer) {
	s.answers.add(p)
	s.settle(p.id, nil)
	if s.life.Err() != nil {
		s.abandon(p.id)
	}
}

// abandon answers all that is owed about a container though nothing was observed: this process will not see it.
func (s *Server) abandon(id string) {
	for _, d := range s.answers.settled(id, func(p *answer) *outcome {
		e := api.Errorf(api.TimeoutError, "the manager is shutting down before the outcome of %s was seen; what was declared stands, and is gone on with at its next start", p.operation)
		return &outcome{err: e.With("reason", api.ReasonShuttingDown)}
	}) {
		s.deliver(d)
	}
}

// settle sends the answers that a change of a container brings; without a change they are judged by what stands now.
func (s *Server) settle(id string, c *store.Change) {
	seen := s.seen(id, c)
	for _, d := range s.answers.settled(id, func(p *answer) *outcome { return judge(p, seen) }) {
		s.deliver(d)
	}
}

// seen is how the container stood right after the change; nil where it is gone.
func (s *Server) seen(id string, c *store.Change) *store.Record {
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
func judge(p *answer, r *store.Record) *outcome {
	o := plan.Judge(r, p.request)
	if p.fresh {
		o = plan.JudgeNow(r, p.request)
	}
	switch {
	case o == nil:
		return nil
	case o.Level >= p.level, p.late && o.Level >= store.LevelSeen && overtaken(o):
		return &outcome{status: o.State}
	case o.ErrorType == "":
		return nil
	}
	message := o.Message
	if overtaken(o) {
		message = fmt.Sprintf("%s before %s was seen to be done", o.Message, p.operation)
	}
	e := api.Errorf(o.ErrorType, "%s", message)
	for key, value := range o.Details {
		e = e.With(key, value)
	}
	return &outcome{err: e}
}

// overtaken reports whether a request ended because of a later one.
func overtaken(o *store.Outcome) bool {
	return o.ErrorType == api.ConflictError && o.Details["superseded_by"] != nil
}

func (s *Server) deliver(d delivery) {
	p := d.to
	if p.wait != nil {
		p.wait <- d.what
		return
	}
	if d.what.err != nil {
		e := d.what.err.For(p.operation, p.requestID, p.id)
		p.session.Emit(api.ErrorEvent, e.Body(time.Now()))
		return
	}
	p.session.Emit(p.event, s.answerBody(p, d.what.status))
}

func (s *Server) answerBody(p *answer, status string) json.RawMessage {
	if p.said != "" {
		status = p.said
	}
	body := map[string]any{"container_id": p.id, "name": p.name, "status": status, "timestamp": time.Now().UTC()}
	if p.requestID != "" {
		body["request_id"] = p.requestID
	}
	if r, ok := s.Store.Get(p.id); ok && p.request.Intent != store.IntentDeleted {
		body["image"], body["docker_id"], body["generation"] = r.Spec.Image, r.Status.DockerID, r.Generation
		body["socket_path"], body["ports"] = s.Messenger.Path(p.id), r.Container.Item().Ports
		if p.said != "" && r.Spec.Code != nil {
			body["code_path"], body["code_revision"] = r.Spec.Code.Path, r.Status.CodeRevision
		}
	}
	return api.Encode(body)
}

package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// failuresTold is after how many failed attempts a deletion's asker is told.
const failuresTold = 3

// crashesTold is after how many crashes in a row a start counts as failed, though it is tried on.
const crashesTold = 3

// answer is what an accepted request is still owed: its event once the result was observed, or an error.
type answer struct {
	session    session.Session
	operation  string
	event      string
	requestID  string
	id, name   string
	generation int64
	wish       wish
	said       string // what the event calls the status; "" is the state
	// wait is told the outcome instead of the session, and judges by readiness.
	wait chan *outcome
}

// wish is what a request asked for.
type wish int

const (
	wishSpec    wish = iota // this very spec, in the state that it declares
	wishRunning             // a running container
	wishPaused              // a paused one
	wishStopped             // one that is not running
	wishDeleted
	wishOutcome // whatever the generation asked for
)

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
		return &outcome{err: e.With("reason", "ShuttingDown")}
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
func (s *Server) seen(id string, c *store.Change) *store.Seen {
	switch {
	case c != nil && c.Type == store.Deleted:
		return nil
	case c != nil && c.Record != nil:
		return c.Record.Seen()
	}
	r, ok := s.Store.Get(id)
	if !ok {
		return nil
	}
	return r.Seen()
}

// judge tells how a request ended, nil while it has not.
func judge(p *answer, v *store.Seen) *outcome {
	switch {
	case v == nil && p.wish == wishDeleted:
		return &outcome{status: "deleted"}
	case v == nil:
		return superseded(p, "the container was deleted", 0)
	case v.Generation < p.generation:
		return nil // a change from before the request
	case p.wish == wishDeleted:
		return undeleted(v)
	case p.wish == wishOutcome && v.Generation > p.generation:
		return recorded(p, v)
	case v.Deleting:
		return superseded(p, "the container is being deleted", v.Generation)
	case !included(p, v):
		return superseded(p, "a later request asked for something else", v.Generation)
	case v.Status.ObservedGeneration < p.generation:
		return nil
	}
	return reached(p, v)
}

// undeleted tells when a deletion has failed often enough for its asker to hear of it. It is tried on.
func undeleted(v *store.Seen) *outcome {
	if v.Attempts < failuresTold || v.Status.LastError == nil {
		return nil
	}
	e := api.Errorf(v.Status.LastError.ErrorType, "the container cannot be deleted yet, and it is tried on: %s", v.Status.LastError.Message)
	return &outcome{err: e.With("cleanup", cleanup(v.Reason))}
}

// cleanup tells how far a deletion has come that failed for a reason: what comes first is done before what comes later.
func cleanup(reason string) map[string]string {
	failed := map[string]string{api.VolumesNotRemoved: "volumes", api.SocketNotRemoved: "socket", api.CodeNotRemoved: "code"}[reason]
	parts, state := map[string]string{}, "done"
	for _, part := range []string{"container", "volumes", "socket", "code"} {
		parts[part] = state
		if part == cmp.Or(failed, "container") {
			parts[part], state = "failed", "pending"
		}
	}
	return parts
}

func superseded(p *answer, why string, by int64) *outcome {
	e := api.Errorf(api.ConflictError, "%s before %s was seen to be done", why, p.operation)
	return &outcome{err: e.With("superseded_by", by)}
}

// included tells whether what is declared now still contains the wish.
func included(p *answer, v *store.Seen) bool {
	switch p.wish {
	case wishRunning:
		return v.Desired == api.DesiredRunning
	case wishPaused:
		return v.Desired == api.DesiredPaused
	case wishStopped:
		return !runs(v.Desired)
	case wishOutcome:
		return true
	}
	return v.SpecGeneration <= p.generation
}

func runs(desired string) bool { return desired == api.DesiredRunning || desired == api.DesiredPaused }

// reached judges an observed generation.
func reached(p *answer, v *store.Seen) *outcome {
	st := &v.Status
	switch {
	case p.wish == wishStopped && st.State == api.StateStopped:
		return &outcome{status: st.State} // whatever else is wrong with it
	case st.LastError != nil:
		return &outcome{err: api.Errorf(st.LastError.ErrorType, "%s", st.LastError.Message)}
	case !runs(v.Desired):
		if st.DockerID != "" && (st.State == api.StateCreated || st.State == api.StateStopped) {
			return &outcome{status: st.State}
		}
	case st.State == v.Desired && p.satisfied(st), v.Ended == "Completed":
		return &outcome{status: st.State}
	case v.Ended != "", st.CrashStreak >= crashesTold:
		return &outcome{err: crashed(st)}
	}
	return nil
}

func crashed(st *api.Status) *api.Error {
	code := "unknown"
	if st.ExitCode != nil {
		code = fmt.Sprint(*st.ExitCode)
	}
	e := api.Errorf(api.DockerAPIError, "the container does not stay up: its last exit code was %s; look at its output and its command", code)
	return e.With("exit_code", st.ExitCode).With("crash_streak", st.CrashStreak)
}

// satisfied tells whether a state that is as desired is enough: who waits wants readiness as well.
func (p *answer) satisfied(st *api.Status) bool {
	return p.wait == nil || st.State != api.StateRunning || st.Condition(api.Ready).Status == api.True
}

// recorded is what became of a generation that is not the newest any more.
func recorded(p *answer, v *store.Seen) *outcome {
	for _, o := range v.Outcomes {
		if o.Generation != p.generation {
			continue
		}
		if o.ErrorType != "" {
			return &outcome{err: api.Errorf(o.ErrorType, "%s", o.Message)}
		}
		return &outcome{status: o.State}
	}
	return superseded(p, "a later request came", v.Generation)
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
	if r, ok := s.Store.Get(p.id); ok && p.wish != wishDeleted {
		body["image"], body["docker_id"], body["generation"] = r.Spec.Image, r.Status.DockerID, r.Generation
		body["socket_path"], body["ports"] = s.Messenger.Path(p.id), r.Container.Item().Ports
		if p.said != "" && r.Spec.Code != nil {
			body["code_path"], body["code_revision"] = r.Spec.Code.Path, r.Status.CodeRevision
		}
	}
	return api.Encode(body)
}

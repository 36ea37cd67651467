//go:build sim

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// simAsked is an accepted request whose outcome somebody waits for. Who dies over it is asked again in the next life.
type simAsked struct {
	id         string
	generation int64
	intent     store.Intent
	patient    bool // it is waited for until all must be known
	again      bool // what is told may have been so in an earlier life
	at         time.Time
}

// simAnswer is what was answered.
type simAnswer struct {
	OK        bool           `json:"ok"`
	Status    string         `json:"status"`
	ErrorType api.ErrorType  `json:"error_type"`
	Message   string         `json:"message"`
	Details   map[string]any `json:"details"`
}

// simWait is for how many seconds an outcome is waited for.
const simWait = 300

// serve runs the real handlers of one life, and a client of them.
func (l *simLife) serve(ctx context.Context) error {
	p := &servertest.Parts{}
	s := server.New(server.Backend{Store: l.store, Messenger: p, Stats: p, Logs: p, Engine: p, Policy: p, Planner: p, Log: zerolog.Nop()})
	l.served = make(chan error, 1)
	go func() { l.served <- s.Run(ctx) }()
	var err error
	if l.client, err = servertest.Open(s, session.Principal{Name: "client", Role: api.Operator}); err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	l.asked, l.early = map[*servertest.Request]simAsked{}, map[*servertest.Request]bool{}
	go l.listenTo(ctx)
	for _, one := range l.world.owed {
		one.again = true
		l.ask(one)
	}
	l.world.owed = nil
	return nil
}

// ask waits for an outcome, by wait_container.
func (l *simLife) ask(one simAsked) {
	seconds := simWait
	if !one.patient {
		seconds = 1
	}
	e := l.world.engine
	e.mu.Lock()
	one.at = time.Now()
	l.asking = one
	e.mu.Unlock()
	q := l.client.Ask(api.WaitContainer, api.Encode(map[string]any{"container_id": one.id, "generation": one.generation, "wait_seconds": seconds}))
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, answered := l.early[q]; answered {
		return
	}
	l.asked[q] = one
}

// listenTo hands each answer to the court.
func (l *simLife) listenTo(ctx context.Context) {
	for {
		sent, ok := l.client.Next(ctx)
		if !ok {
			return
		}
		if sent.Request == nil {
			continue
		}
		e := l.world.engine
		e.mu.Lock()
		one, waits := l.asked[sent.Request]
		if !waits { // it was answered before Ask returned, or is answered again
			if l.early[sent.Request] {
				e.court.violate("generation %d of %s is answered twice", l.asking.generation, l.asking.id)
			}
			one = l.asking
		}
		l.early[sent.Request] = true
		delete(l.asked, sent.Request)
		var a simAnswer
		if err := json.Unmarshal(sent.Body, &a); err != nil {
			e.court.violate("an answer is no JSON: %v", err)
		}
		if !l.isDead() && ctx.Err() == nil {
			e.court.answers(e, one, &a)
		}
		e.mu.Unlock()
	}
}

// answers holds an answer against what stands at the engine when it is given.
func (c *court) answers(e *simEngine, one simAsked, a *simAnswer) {
	c.note("answer %s %d (%s): %v %s %s %.80s", one.id[len(one.id)-4:], one.generation, one.intent, a.OK, a.Status, a.ErrorType, a.Message)
	d, f := c.model.all[one.id], c.file(one.id)
	if d == nil || d.unsure != nil {
		return
	}
	_, overtaken := a.Details["superseded_by"]
	before := c.told[one.id][one.generation]
	if c.told[one.id] == nil {
		c.told[one.id] = map[int64]bool{}
	}
	c.told[one.id][one.generation] = before || a.OK
	switch {
	case overtaken && d.generation <= one.generation && !d.deleted:
		c.violate("generation %d of %s is told to be overtaken, and is the newest", one.generation, d.name)
	case !one.patient && a.ErrorType == api.TimeoutError && !e.ailingLocked(d.id):
		c.violate("all is as declared, and nothing is known of what became of generation %d of %s", one.generation, d.name)
	case a.OK && (before || d.was[a.Status].Before(one.at) && !d.was[a.Status].IsZero()): // it came to that before it was asked: that is history, and stands
		return
	case !a.OK, !one.patient, one.again, d.generation != one.generation, c.shaky, f.blind, time.Now().Before(f.doubt), time.Since(f.hands) <= simSlack, time.Since(c.lost) <= simSlack:
		return
	}
	c.answersTruly(e, one, a, d)
}

// ailingLocked reports whether a container is neither well nor ended.
func (e *simEngine) ailingLocked(id string) bool {
	for _, c := range e.containers {
		if c.ID == id && c.alive() && (c.Health == api.HealthStarting || c.Health == api.HealthUnhealthy) {
			return true
		}
	}
	return false
}

// answersTruly holds that a request that is told to be done is done.
func (c *court) answersTruly(e *simEngine, one simAsked, a *simAnswer, d *simDeclared) {
	var alive, stands *simContainer
	late := false // one has just ended, has just begun, or was paused until just now
	for _, o := range e.containers {
		if o.ID != d.id || !c.owns(o) {
			continue
		}
		if o.alive() {
			alive = o
		}
		late = late || time.Since(o.until) < time.Second || time.Since(o.resumed) < time.Second || time.Since(o.since) < time.Second && a.Status == api.StateExited
		if r, ok := c.model.life.store.Get(d.id); ok && r.Current.DockerID == o.DockerID {
			stands = o
		}
	}
	lie := func(what string) {
		c.violate("generation %d of %s (%s) is told to be %s, and %s", one.generation, d.name, one.intent, a.Status, what)
	}
	fits := map[store.Intent][]string{
		store.IntentStopped: {api.StateStopped, api.StateCreated}, store.IntentPaused: {api.StatePaused, api.StateExited},
		store.IntentRunning: {api.StateRunning, api.StateExited}, store.IntentRestart: {api.StateRunning, api.StateExited}, store.IntentDeleted: {"deleted"},
	}[one.intent]
	switch {
	case len(fits) > 0 && !slices.Contains(fits, a.Status):
		lie("nobody asked for that")
	case a.Status == "deleted":
		if alive != nil {
			lie("its container " + alive.Name + " is " + alive.State)
		}
	case stands == nil && (a.Status == api.StateStopped || a.Status == api.StateCreated || a.Status == api.StateExited): // what has ended for good needs no container
	case stands == nil:
		lie("nothing stands")
	case one.intent == store.IntentSpec && stands.Hash != api.TemplateHash(&d.spec):
		lie("another template stands")
	case one.intent == store.IntentSpec && stands.Limits.MemoryBytes != d.spec.Resources.MemoryBytes && d.spec.Resources.MemoryBytes > 0:
		lie(fmt.Sprintf("its limits are %+v", stands.Limits))
	case a.Status == api.StateRunning && !late && stands.State != "running":
		lie("it is " + stands.State)
	case a.Status == api.StateRunning && !late && time.Since(stands.since) < simMonitor-time.Millisecond:
		lie(fmt.Sprintf("it has run for %v", time.Since(stands.since)))
	case a.Status == api.StatePaused && !late && stands.State != "paused":
		lie("it is " + stands.State)
	case a.Status == api.StateExited && late:
	case (a.Status == api.StateStopped || a.Status == api.StateCreated || a.Status == api.StateExited) && alive != nil:
		lie("its container " + alive.Name + " is " + alive.State)
	}
}

// askNow asks what became of each newest generation, once all has come to rest.
func (w *simWorld) askNow() error {
	w.engine.mu.Lock()
	var all []simAsked
	for id, d := range w.court.model.all {
		if r, ok := w.life.store.Get(id); ok && !d.deleted {
			all = append(all, simAsked{id: id, generation: r.Generation, intent: r.IntentOf(r.Generation)})
		}
	}
	unanswered := len(w.life.asked)
	w.engine.mu.Unlock()
	for _, one := range all {
		w.life.ask(one)
	}
	if err := w.pass(2 * time.Second); err != nil {
		return err
	}
	if unanswered > 0 {
		return fmt.Errorf("%d requests were not answered", unanswered)
	}
	return nil
}

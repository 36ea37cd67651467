package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// maxRehearsal bounds a rehearsal; a plan that does not end by then is a bug that its test finds.
const maxRehearsal = 60

// rehearsal is a plan played to its end in a world that always does what it is told. It is what a dry run tells of.
type rehearsal struct {
	r    *store.Record
	own  []Observed
	now  time.Time
	took []action // what the engine would be asked for
}

// rehearse plays the plan for a copy of r until there is nothing left to do.
func rehearse(r *store.Record, own []Observed, now time.Time) *rehearsal {
	c := *r
	c.Failure = nil
	h := &rehearsal{r: &c, own: slices.Clone(own), now: now}
	for range maxRehearsal {
		next := plan(h.r, look(h.r, h.own), h.now)
		if next.action == nothing || next.action == bury {
			h.took = append(h.took, next.action)
			break
		}
		h.take(next)
	}
	return h
}

func (h *rehearsal) take(next step) {
	if next.action == wait {
		h.now = next.until
		return
	}
	if !h.note(next) {
		h.took = append(h.took, next.action)
		h.own = h.engine(next)
	}
}

// note is what the loop would write down; false where the step is one for the engine.
func (h *rehearsal) note(next step) bool {
	r := h.r
	switch next.action {
	case intend:
		r.Supersede(r.Placement)
		r.Placement = h.placement("rehearsed", r.Name)
	case prepare:
		r.Supersede(r.Next)
		r.Next = h.placement("rehearsed-next", aside(r, "rehearsed-next"))
	case record:
		placed(r, next).DockerID = next.on.DockerID
	case discard:
		r.Supersede(r.Next)
		r.Next = store.Placement{}
	case attempt:
		t := r.Trial(template(r))
		r.NoteTrial(store.Trial{Template: t.Template, Attempts: t.Attempts + 1, Token: r.Next.Token})
	case swap:
		handOver(r)
	case accept:
		supersedePrev(r)
		r.Prev = store.Placement{}
	case revert:
		takeOver(r)
	default:
		return h.noteRun(next)
	}
	return true
}

// noteRun is note for what concerns the process.
func (h *rehearsal) noteRun(next step) bool {
	r := h.r
	switch next.action {
	case recode:
		h.took = append(h.took, recode)
		giveCode(r, rehearsedCode(r), interrupts(r, next.on))
	case prove:
		r.Placement.Stable = true
	case again:
		r.RetrySeen = r.Retry
		r.NoteTrial(store.Trial{Template: template(r)})
	case resolve:
		r.PullSeen = r.Pull
	case forget:
		r.Superseded = unseen(r.Superseded)
	case wake:
		r.WakeSeen, r.Ended, r.Status.NextRestartAt = r.Wake, "", nil
		for i := range h.own {
			r.Handled = asked(&h.own[i])
		}
	case renew:
		r.RestartSeen, r.RestartFrom = r.Restart, run(next.on)
		if !alive(next.on) {
			r.RestartFrom, r.Handled = "", asked(next.on)
		}
	case renewed:
		r.RestartFrom = ""
	case settle:
		r.StopDeadline = nil
		r.Handled = asked(next.on)
	case count:
		v := judge(r, next.on, h.now)
		r.Handled, r.Ended, r.EndedUnder, r.Status.NextRestartAt = v.handled, v.ended, r.Spec.RestartPolicy, timePointer(v.next)
	default:
		return false
	}
	return true
}

func (h *rehearsal) placement(token, name string) store.Placement {
	p := store.Placement{Token: token + h.now.String(), DockerName: name, TemplateHash: api.TemplateHash(&h.r.Spec), Resources: h.r.Spec.Resources}
	if h.r.Spec.Code != nil {
		p.Code, p.AskedBy = rehearsedCode(h.r), h.r.Code
	}
	return p
}

// rehearsedCode stands for the snapshot of code that may not have been taken yet.
func rehearsedCode(r *store.Record) string {
	return cmp.Or(r.Taken(r.Code), fmt.Sprintf("rehearsed-%d", r.Code))
}

// engine is the containers after the engine has done as it was told.
func (h *rehearsal) engine(next step) []Observed {
	switch r := h.r; next.action {
	case create:
		p := placed(r, next)
		return append(h.own, Observed{ID: r.ID, DockerID: "made-" + p.Token, Name: p.DockerName, Token: p.Token, State: "created"})
	case signal:
		deadline := h.now.Add(time.Second)
		r.StopDeadline = &deadline
	case limit:
		r.Placement.Resources = r.Spec.Resources
	case remove:
		r.StopDeadline = nil
		removed(r, next.on.DockerID)
		return slices.DeleteFunc(h.own, func(o Observed) bool { return o.DockerID == next.on.DockerID })
	}
	for i := range h.own {
		if o := &h.own[i]; next.on != nil && o.DockerID == next.on.DockerID {
			h.happens(o, next)
		}
	}
	return h.own
}

func (h *rehearsal) happens(o *Observed, next step) {
	switch next.action {
	case start:
		o.State, o.StartedAt = "running", h.now
		h.r.Placement.Runs = h.r.Placement.Code
	case kill:
		o.State = "exited"
	case freeze:
		o.State = "paused"
	case unpause:
		o.State = "running"
	case rename:
		o.Name = next.name
	}
}

// Effect tells what would become of a record that is not declared yet, by playing the plan for it.
func (k *Controller) Effect(ctx context.Context, r *store.Record, exists bool) (api.Effect, error) {
	seen, err := k.observer.see(ctx, r.ID)
	if err != nil {
		return api.Effect{}, api.Errorf(api.DockerUnavailable, "what this would change cannot be told while the engine is away").Because(err)
	}
	return effect(rehearse(r, owned(r, seen), time.Now()).took, exists), nil
}

func owned(r *store.Record, seen []Observed) []Observed {
	return slices.DeleteFunc(seen, func(o Observed) bool { return !r.Owns(o.Token, o.DockerID, o.Name) })
}

// effect names what a plan comes to, by the costliest of its actions, and what is lost by it.
func effect(took []action, exists bool) api.Effect {
	has := func(a action) bool { return slices.Contains(took, a) }
	switch {
	case has(bury):
		return api.Effect{Effect: api.EffectDelete, Lost: []string{"the container with its writable layer", "its anonymous volumes"}}
	case has(create) && !exists:
		return api.Effect{Effect: api.EffectCreate, Lost: []string{}}
	case has(create):
		return api.Effect{Effect: api.EffectRecreate, Lost: []string{"the writable layer of the container"}}
	case has(signal) && has(start):
		return api.Effect{Effect: api.EffectRestart, Lost: []string{}}
	case len(took) > 1:
		return api.Effect{Effect: api.EffectInPlace, Lost: []string{}}
	}
	return api.Effect{Effect: api.EffectNone, Lost: []string{}}
}

// Explain tells what is declared, what is there, and what the loop would do next and why.
func (k *Controller) Explain(ctx context.Context, r *store.Record) (api.Explanation, error) {
	now := time.Now()
	s, err := k.see(ctx, r, now)
	if err != nil {
		return api.Explanation{}, api.Errorf(api.DockerUnavailable, "what is next cannot be told while the engine is away").Because(err)
	}
	next := plan(r, s, now)
	e := api.Explanation{ContainerID: r.ID, Name: r.Name, NextAction: string(next.action), Why: because(r, s, next), NextLookAt: timePointer(next.until), Differences: []api.Difference{}, RecentActions: []api.LastAction{}}
	e.Declared.Generation, e.Declared.Spec = r.Generation, r.Spec
	e.Observed = r.Status
	if next.rests() {
		e.NextAction = "none"
	}
	e.RecentActions = append(e.RecentActions, k.actions.recent(r.ID)...)
	if did := r.Status.LastAction; did != nil && len(e.RecentActions) == 0 {
		e.RecentActions = append(e.RecentActions, *did)
	}
	if spec, _, err := k.specOf(r); err == nil && s.standing != nil {
		for _, c := range api.Changes(spec, &r.Spec) {
			e.Differences = append(e.Differences, api.Difference{Field: c.Field, Cost: c.Cost.String()})
		}
	}
	return e, nil
}

// because is a sentence about the next step.
func because(r *store.Record, s sight, next step) string {
	switch {
	case next.action == pulling:
		return "the image is being pulled"
	case next.action == copying:
		return "the code is being copied"
	case next.action == wait && r.StopDeadline != nil:
		return "the container was asked to stop and has until then"
	case next.action == wait && onTrial(r) && s.standing != nil && alive(s.standing):
		return "the update is watched until then"
	case next.action == wait && r.Failure != nil:
		why := "what did not work is tried again then: " + r.Failure.Reason
		if e := r.Status.LastError; e != nil {
			why += ": " + e.Message
		}
		return why
	case next.action == wait:
		return "the restart waits until then"
	case next.action == nothing && takenBack(r) != "":
		return takenBack(r)
	case next.action == nothing && r.Ended != "":
		return "the container has ended, and its restart policy leaves it alone: " + r.Ended
	case next.action == nothing:
		return "it is as declared"
	case next.detail != "":
		return next.detail
	}
	return map[string]string{api.CauseDeclaration: "it was declared so", api.CauseDrift: "somebody else changed it", api.CauseExit: "it ended by itself",
		api.CauseUnhealthy: "it is not well", api.CauseRestart: "a restart was asked for", api.CauseRecovery: "what was under way is gone on with"}[next.cause]
}

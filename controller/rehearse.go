package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// maxRehearsal bounds a rehearsal; a plan that does not end by then is a bug that its test finds.
const maxRehearsal = 100

// rehearsal is a plan played to its end in a world that always does what it is told. It is what a dry run tells of.
type rehearsal struct {
	r    *store.Record
	own  []plan.Container
	at   plan.Instant
	made int           // how many placements were intended
	took []plan.Action // what changes something for whoever uses the container
}

// rehearse plays the plan for a copy of r until there is nothing left to do.
func rehearse(r *store.Record, own []plan.Container, at plan.Instant) *rehearsal {
	c := *r
	c.Tracks = store.Tracks{}
	h := &rehearsal{r: &c, own: slices.Clone(own), at: at}
	for range maxRehearsal {
		o := h.observe()
		next := plan.Plan(h.r, o)
		if !h.take(&next, o) {
			break
		}
	}
	return h
}

func (h *rehearsal) observe() *plan.Observation {
	o := plan.Classify(h.r, h.own)
	o.At, o.Boot, o.Mount, o.Ready, o.Connected = h.at, h.r.Run.Boot, h.r.Current.Mount, true, h.r.Run.Connected
	return &o
}

// take plays a step; false where nothing follows.
func (h *rehearsal) take(next *plan.Step, o *plan.Observation) bool {
	switch next.Action {
	case plan.Rest:
		left := next.Left()
		h.at.Now = h.at.Now.Add(left)
		plan.Apply(h.r, next, &plan.Result{}, o)
		return left > 0
	case plan.Finalize:
		h.took = append(h.took, next.Action)
		return false
	case plan.Create, plan.SwitchCode, plan.Stop, plan.Start, plan.Pause, plan.Unpause, plan.Limit, plan.Connect:
		h.took = append(h.took, next.Action)
	}
	res := h.result(next)
	h.happens(next, res)
	plan.Apply(h.r, next, res, o)
	return true
}

// result is what a step brings.
func (h *rehearsal) result(next *plan.Step) *plan.Result {
	res := &plan.Result{Detail: next.Detail, Seen: next.On}
	switch next.Action {
	case plan.Intend, plan.IntendReplacement:
		res.Placement = h.placement(next)
	case plan.Create:
		res.DockerID = "made-" + placed(h.r, next).Token
	case plan.Resolve:
		res.Image = &store.Resolved{Template: api.TemplateHash(&h.r.Spec), ID: h.r.Current.ImageID}
	case plan.SwitchCode:
		res.Code = &store.Taken{Code: h.r.Code, Digest: rehearsedCode(h.r)}
	}
	return res
}

func (h *rehearsal) placement(next *plan.Step) *store.Placement {
	h.made++
	p := &store.Placement{Token: fmt.Sprint("rehearsed-", h.made), DockerName: h.r.Name, TemplateHash: api.TemplateHash(&h.r.Spec), Resources: h.r.Spec.Resources}
	if next.Action == plan.IntendReplacement {
		p.DockerName = plan.Aside(h.r, p.Token)
	}
	if h.r.Spec.Code != nil {
		p.Code, p.AskedBy = rehearsedCode(h.r), h.r.Code
	}
	if next.Action == plan.Intend && plan.Exhausted(h.r) {
		c := &h.r.Current
		p.TemplateHash, p.Resources, p.Code, p.AskedBy, p.Stable = c.TemplateHash, c.Resources, c.Code, c.AskedBy, true
	}
	return p
}

// rehearsedCode stands for the snapshot of code that may not have been taken yet.
func rehearsedCode(r *store.Record) string {
	return cmp.Or(r.Taken(r.Code), fmt.Sprintf("rehearsed-%d", r.Code))
}

// happens is what the engine does.
func (h *rehearsal) happens(next *plan.Step, res *plan.Result) {
	switch next.Action {
	case plan.Create:
		p := placed(h.r, next)
		h.own = append(h.own, plan.Container{ID: h.r.ID, DockerID: res.DockerID, Name: p.DockerName, Token: p.Token, State: "created"})
		return
	case plan.Remove:
		h.own = slices.DeleteFunc(h.own, func(c plan.Container) bool { return c.DockerID == next.On.DockerID })
		return
	}
	for i := range h.own {
		if c := &h.own[i]; next.On != nil && c.DockerID == next.On.DockerID {
			h.happensTo(c, next)
		}
	}
}

func (h *rehearsal) happensTo(c *plan.Container, next *plan.Step) {
	switch next.Action {
	case plan.Start:
		h.at.Now = h.at.Now.Add(time.Millisecond) // no two runs begin at the same instant
		c.State, c.StartedAt, c.Began, c.Interrupted = "running", h.at.Wall(h.at.Now), h.at.Now, false
	case plan.Stop, plan.Kill:
		c.State, c.FinishedAt, c.Lasted = "exited", h.at.Wall(h.at.Now), h.at.Now.Sub(c.Began)
	case plan.Pause:
		c.State = "paused"
	case plan.Unpause:
		c.State = "running"
	case plan.Rename:
		c.Name = next.Name
	case plan.Limit:
		c.RestartPolicy, c.Limits = "", api.Resources{}
	case plan.Connect:
		c.Networks = nil
	}
}

// Effect tells what would become of a record that is not declared yet, by playing the plan for it.
func (k *Controller) Effect(ctx context.Context, r *store.Record, exists bool) (api.Effect, error) {
	seen, err := k.observer.observe(ctx, r.ID)
	if err != nil {
		return api.Effect{}, api.Errorf(api.DockerUnavailable, "what this would change cannot be told while the engine is away%s", k.awaySince()).Because(err)
	}
	return effect(rehearse(r, owned(r, seen), k.clock.now()).took, exists), nil
}

// awaySince is what an error says of an engine that is away.
func (k *Controller) awaySince() string {
	if err := k.EngineKnown(); err != nil {
		return ": " + err.Error()
	}
	return ""
}

func owned(r *store.Record, seen []plan.Container) []plan.Container {
	return slices.DeleteFunc(seen, func(o plan.Container) bool { return !r.Owns(o.Token, o.DockerID, o.Name) })
}

// effect names what a plan comes to, by the costliest of its actions, and what is lost by it.
func effect(took []plan.Action, exists bool) api.Effect {
	has := func(a plan.Action) bool { return slices.Contains(took, a) }
	switch {
	case has(plan.Finalize):
		return api.Effect{Effect: api.EffectDelete, Lost: []string{"the container with its writable layer", "its anonymous volumes"}}
	case has(plan.Create) && !exists:
		return api.Effect{Effect: api.EffectCreate, Lost: []string{}}
	case has(plan.Create):
		return api.Effect{Effect: api.EffectRecreate, Lost: []string{"the writable layer of the container"}}
	case has(plan.Stop) && has(plan.Start):
		return api.Effect{Effect: api.EffectRestart, Lost: []string{}}
	case len(took) > 0:
		return api.Effect{Effect: api.EffectInPlace, Lost: []string{}}
	}
	return api.Effect{Effect: api.EffectNone, Lost: []string{}}
}

// Explain tells what is declared, what is there, and what the loop would do next and why.
func (k *Controller) Explain(ctx context.Context, r *store.Record) (api.Explanation, error) {
	o, err := k.observe(ctx, r)
	if err != nil {
		return api.Explanation{}, api.Errorf(api.DockerUnavailable, "what is next cannot be told while the engine is away%s", k.awaySince()).Because(err)
	}
	next := plan.Plan(r, o)
	e := api.Explanation{ContainerID: r.ID, Name: r.Name, NextAction: plan.Word(next.Action), Why: plan.Because(r, o, &next), Differences: []api.Difference{}, RecentActions: []api.LastAction{}}
	if left := next.Left(); left > 0 {
		e.NextLookAt = pointer(o.At.Wall(o.At.Now.Add(left)))
	}
	e.Declared.Generation, e.Declared.Spec = r.Generation, r.Spec
	e.Observed = r.Status
	e.RecentActions = append(e.RecentActions, k.recentActions.recent(r.ID)...)
	e.LastExit, e.FailedUpdate = lastExit(r), failedUpdate(r)
	if did := r.Status.LastAction; did != nil && len(e.RecentActions) == 0 {
		e.RecentActions = append(e.RecentActions, *did)
	}
	if spec, _, err := k.specOf(r); err == nil && o.Current != nil {
		for _, c := range api.Changes(spec, &r.Spec) {
			e.Differences = append(e.Differences, api.Difference{Field: c.Field, Cost: c.Cost.String()})
		}
	}
	return e, nil
}

// lastExit is how the newest counted run ended, nil once another one is available.
func lastExit(r *store.Record) *api.Ending {
	if r.Run.Exit == nil || r.Status.Condition(api.Available).Status == api.True {
		return nil
	}
	return pointer(ending(r.Run.Exit))
}

// failedUpdate is how the newest trial of what is declared has failed, nil where it has not.
func failedUpdate(r *store.Record) *api.FailedUpdate {
	t := r.Trial(plan.Template(r))
	if t.Failed == "" {
		return nil
	}
	failed := &api.FailedUpdate{Reason: api.ReasonUpdateFailed, Ending: api.Ending{Logs: []string{}}}
	if t.Exit != nil {
		failed.Ending = ending(t.Exit)
	}
	failed.Message = t.Failed
	return failed
}

func ending(e *store.Exit) api.Ending {
	told := api.Ending{OOMKilled: e.OOMKilled, Message: e.Cause, Logs: append([]string{}, e.Lines...)}
	if !e.Unhealthy {
		told.ExitCode = pointer(e.Code)
	}
	return told
}

func pointer[T any](v T) *T { return &v }

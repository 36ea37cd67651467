//go:build sim

package controller

import (
	"maps"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// simUpdate is what the court knows of the newest update of a container that was known to work.
type simUpdate struct {
	old, next string          // Docker ids
	hash      string          // of the template that is tried
	tries     map[string]int  // by template, since one of its containers proved itself
	back      map[string]bool // templates that what stood before took over from again
}

// asksStop holds that nothing is stopped for an update before what takes its place is there, that it is counted, and that a
// template that failed as often as it may is not tried again.
func (c *court) asksStop(l *simLife, o *simContainer, r *store.Record) {
	if !forUpdate(o, r) {
		if u := &c.file(o.ID).update; u.old == o.DockerID {
			u.old = "" // it is stopped for something else
		}
		return
	}
	if next := l.world.engine.containers[r.Candidate.DockerID]; next == nil && !c.file(o.ID).blind {
		c.violate("%s is stopped for an update that is not there", o.Name)
	}
	h, u := r.Handover, &c.file(o.ID).update
	switch {
	case h == nil || h.Token != r.Candidate.Token:
		c.violate("%s is stopped for an update and nobody wrote that down", o.Name)
	case !h.Trial && o.available():
		c.violate("%s is stopped for an update and could not be gone back to", o.Name)
	case h.Trial && r.Trial(plan.Template(r)).Token != r.Candidate.Token:
		c.violate("%s is stopped for an update and nobody counts it", o.Name)
	case h.Trial && !plan.OnTrial(r):
		c.tries(r, o)
	case h.Trial && u.tries != nil: // in the place of one that had not proven itself, and with it of what stood before that
		u.next, u.hash = r.Candidate.DockerID, plan.Template(r)
	}
}

// available tells whether a run has certainly lasted for as long as an update is watched.
func (c *simContainer) available() bool {
	return c.State == "running" && !c.halted && !c.byHand && c.Health == "" && time.Since(c.since) >= simMonitor+time.Second
}

// forUpdate tells whether a stop can only be for an update.
func forUpdate(o *simContainer, r *store.Record) bool {
	wanted := r != nil && r.DeletedAt == nil && r.Current.DockerID == o.DockerID && plan.WantsRun(r)
	return wanted && !plan.Fits(&r.Current, &r.Spec) && !switched(r) && !plan.Exhausted(r) && r.Run.RestartFrom == "" && r.Current.Stop == nil && r.Run.ID != plan.Run(&o.Container)
}

func (c *court) tries(r *store.Record, o *simContainer) {
	f := c.file(r.ID)
	if f.update.tries == nil {
		f.update.tries, f.update.back = map[string]int{}, map[string]bool{}
	}
	hash := plan.Template(r)
	if f.update.next == r.Candidate.DockerID && f.update.old == o.DockerID {
		return // asked again
	}
	if most := max(r.Spec.UpdatePolicy.MaxAttempts, 1); r.Current.Stable && f.update.back[hash] && f.update.tries[hash] >= most {
		c.violate("%s is stopped for a template that was tried %d times already", o.Name, most)
	}
	f.update.tries[hash]++
	f.update.old, f.update.next, f.update.hash = o.DockerID, r.Candidate.DockerID, hash
}

// takesOver sees what stood before an update run again.
func (c *court) takesOver(o *simContainer) {
	u := &c.file(o.ID).update
	r, ok := c.model.life.store.Get(o.ID)
	switch {
	case u.back == nil:
	case u.old == o.DockerID:
		u.back[u.hash] = true
	case !ok || !plan.Serving(r):
		u.old = "" // nobody knows what it took the place of
	case o.DockerID != u.next: // in the place of one that never ran
		u.next, u.hash = o.DockerID, plan.Template(r)
	}
}

// proves forgets how often a template was tried whose container has run for long enough.
func (c *court) proves(o *simContainer) {
	if f := c.file(o.ID); !o.since.IsZero() && time.Since(o.since) >= simMonitor {
		f.good[o.runs()] = true
		of := func(template string) bool { return strings.HasPrefix(template, o.Hash) }
		maps.DeleteFunc(f.update.tries, func(template string, _ int) bool { return of(template) })
		maps.DeleteFunc(f.update.back, func(template string, _ bool) bool { return of(template) })
		maps.DeleteFunc(f.codes, func(template string, _ int) bool { return of(template) })
	}
}

// simMonitor is how long an update is watched where nothing else is declared.
const simMonitor = 5 * time.Second

// asksRemoveOld holds that what stood before is there until what took its place has proven itself.
func (c *court) asksRemoveOld(l *simLife, o *simContainer, r *store.Record) {
	f := c.file(o.ID)
	if r == nil || r.DeletedAt != nil || f.update.old != o.DockerID || r.Current.DockerID != f.update.next || r.Spec.DesiredState != api.DesiredRunning || time.Since(f.hands) <= simSlack {
		return
	}
	next := l.world.engine.containers[f.update.next]
	if next == nil || next.State == "dead" || !plan.Serving(r) {
		return
	}
	if r.Spec.UpdatePolicy.OnFailure == api.OnFailurePause && r.Trial(plan.Template(r)).Failed != "" {
		return // it has failed, and is left as it is
	}
	if fresh := next.StartedAt.IsZero(); fresh || next.alive() && time.Since(next.since) < simMonitor-time.Millisecond {
		c.violate("%s is removed before what took its place has proven itself", o.Name)
	}
}

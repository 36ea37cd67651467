package controller

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

var rehearsedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// leftover draws a record in a state that a crash, a newer declaration or an outside hand may leave behind.
func leftover(rt *rapid.T) *store.Record {
	yes := func(label string) bool { return rapid.Bool().Draw(rt, label) }
	r := &store.Record{Container: api.Container{ID: "id", Name: "web", Generation: 3}}
	r.Spec = api.Spec{Image: "app", DesiredState: rapid.SampledFrom([]string{api.DesiredCreated, api.DesiredRunning, api.DesiredRunning, api.DesiredStopped, api.DesiredPaused}).Draw(rt, "desired")}
	r.Spec.RestartPolicy.Name = rapid.SampledFrom([]string{api.RestartAlways, api.RestartOnFailure, api.RestartNever}).Draw(rt, "policy")
	r.Spec.UpdatePolicy.OnFailure = rapid.SampledFrom([]string{api.OnFailureRollback, api.OnFailurePause}).Draw(rt, "on failure")
	r.Spec.Default("web")
	if yes("code") {
		r.Spec.Code, r.Code = &api.Code{Path: "/srv/app", Target: "/app"}, 1
	}
	r.Status.ObservedGeneration = rapid.Int64Range(2, 3).Draw(rt, "observed")
	r.Asked = store.Requests{Start: rapid.Int64Range(0, 1).Draw(rt, "start"), Restart: rapid.Int64Range(0, 1).Draw(rt, "restart"),
		Pull: rapid.Int64Range(0, 1).Draw(rt, "pull"), Retry: rapid.Int64Range(0, 1).Draw(rt, "retry")}
	if rapid.IntRange(0, 5).Draw(rt, "deleted") == 0 {
		at := rehearsedAt
		r.DeletedAt = &at
	}
	wait := func(label string) *store.Wait {
		if !yes(label) {
			return nil
		}
		return &store.Wait{Since: rehearsedAt.Add(time.Duration(rapid.IntRange(-12, 30).Draw(rt, label+" since")) * time.Second), Length: 10 * time.Second}
	}
	placement := func(token string) store.Placement {
		p := store.Placement{Token: token, DockerName: rapid.SampledFrom([]string{"web", "web." + token}).Draw(rt, token+" name"), DockerID: rapid.SampledFrom([]string{"", "d-" + token}).Draw(rt, token+" id"),
			TemplateHash: rapid.SampledFrom([]string{api.TemplateHash(&r.Spec), "other"}).Draw(rt, token+" template"), Resources: r.Spec.Resources,
			AskedBy: rapid.Int64Range(0, 1).Draw(rt, token+" asked by"), Code: rapid.SampledFrom([]string{"", "one"}).Draw(rt, token+" code"), Stop: wait(token + " stop"), Stable: yes(token + " stable")}
		p.Runs = rapid.SampledFrom([]string{p.Code, "zero"}).Draw(rt, token+" runs")
		return p
	}
	if yes("current") {
		r.Current = placement("t1")
	}
	if yes("candidate") {
		r.Candidate = placement("t2")
	}
	if yes("previous") {
		r.Previous = placement("t3")
	}
	for i := range rapid.IntRange(0, 2).Draw(rt, "superseded") {
		r.Superseded = append(r.Superseded, placement(fmt.Sprint("s", i)))
	}
	if yes("handover") {
		r.Handover = &store.Handover{Token: rapid.SampledFrom([]string{r.Current.Token, r.Candidate.Token, "lost"}).Draw(rt, "to"), Trial: yes("trial"), Failed: rapid.SampledFrom([]string{"", "refused"}).Draw(rt, "failed")}
	}
	now := plan.Run(&plan.Container{DockerID: "d-t1", StartedAt: rehearsedAt.Add(-time.Minute)})
	r.Run.ID, r.Run.End = rapid.SampledFrom([]string{"", now}).Draw(rt, "run"), rapid.SampledFrom([]string{plan.EndCounted, plan.EndAsked, plan.EndInterrupted}).Draw(rt, "end")
	r.Run.Ended, r.Run.Streak, r.Run.Backoff = rapid.SampledFrom([]string{"", "", plan.Completed}).Draw(rt, "ended"), rapid.IntRange(0, 3).Draw(rt, "streak"), wait("backoff")
	r.Run.RestartFrom, r.Run.RestartAsked = rapid.SampledFrom([]string{"", "", now, "another"}).Draw(rt, "restart from"), yes("restart asked")
	return r
}

// owns draws what the engine has of a record. What it is removing is left out: it never ends here.
func owns(rt *rapid.T, r *store.Record) []plan.Container {
	var own []plan.Container
	for _, p := range r.AllPlacements() {
		if rapid.IntRange(0, 4).Draw(rt, p.Token+" is there") == 0 {
			continue
		}
		c := plan.Container{ID: "id", Token: p.Token, DockerID: "d-" + p.Token, Name: p.DockerName, State: rapid.SampledFrom([]string{"created", "running", "paused", "restarting", "exited", "dead"}).Draw(rt, p.Token+" state")}
		if c.State != "created" {
			c.StartedAt, c.Began = rehearsedAt.Add(-time.Minute), rehearsedAt.Add(-time.Minute)
		}
		if c.State == "exited" {
			c.FinishedAt, c.Lasted, c.ExitCode = rehearsedAt, time.Minute, rapid.SampledFrom([]int{0, 1}).Draw(rt, p.Token+" code")
			c.Interrupted = rapid.IntRange(0, 4).Draw(rt, p.Token+" interrupted") == 0
		}
		own = append(own, c)
	}
	return own
}

// Whatever the state, a record whose engine does what it is told comes to rest, and as declared.
func TestRehearse_ComesToRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := leftover(rt)
		h := rehearse(r, owns(rt, r), plan.Instant{Now: rehearsedAt})
		o := h.observe()
		switch next := plan.Plan(h.r, o); {
		case next.Resting() && next.Left() == 0 && h.r.DeletedAt == nil:
			restsAsDeclared(rt, h.r, o)
		case next.Action == plan.Finalize && h.r.DeletedAt != nil:
		default:
			rt.Fatalf("no rest after %v: %s for %s, %+v\n%s\n%+v", h.took, next.Action, next.Cause, next.Rests, api.Encode(h.r.Tracking), h.own)
		}
	})
}

func restsAsDeclared(rt *rapid.T, r *store.Record, o *plan.Observation) {
	want := map[string]string{api.DesiredRunning: "running", api.DesiredPaused: "paused"}[r.Spec.DesiredState]
	c, st := o.Current, &r.Status
	switch {
	case c == nil:
		rt.Fatalf("at rest without a container: %s", api.Encode(r.Tracking))
	case c.State == "restarting" && want != "":
		return // the engine is at it; what comes of that is an event
	case want == "" && c.Alive(), want != "" && c.State != want && (r.Run.Ended == "" || c.Alive()):
		rt.Fatalf("at rest while %s, declared %s, ended %q", c.State, r.Spec.DesiredState, r.Run.Ended)
	case st.ObservedGeneration != r.Generation, r.Handover != nil, r.Candidate.Token != "", r.Previous.Token != "", r.Current.Stop != nil, r.Run.RestartFrom != "":
		rt.Fatalf("at rest, and something is under way: %s", api.Encode(r.Tracking))
	case len(o.Superseded) > 0, c.Name != r.Name:
		rt.Fatalf("at rest as %s beside %+v", c.Name, o.Superseded)
	case !plan.Serving(r) && !plan.Exhausted(r):
		rt.Fatalf("at rest, and another one is declared: %s", api.Encode(r.Tracking))
	case len(r.Tracks.Trouble()) > 0:
		rt.Fatalf("at rest, and in trouble: %s", api.Encode(r.Tracks))
	}
}

package controller

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

var aTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// anyRecord draws a record in any state that a crash, a newer declaration or an outside hand may leave behind.
func anyRecord(rt *rapid.T) *store.Record {
	placement := rapid.Custom(func(rt *rapid.T) store.Placement {
		return store.Placement{
			Token: rapid.SampledFrom([]string{"", "t1", "t2"}).Draw(rt, "token"), DockerName: rapid.SampledFrom([]string{"web", "old"}).Draw(rt, "name"),
			DockerID:     rapid.SampledFrom([]string{"", "d1", "d2", "d3"}).Draw(rt, "docker id"),
			TemplateHash: rapid.SampledFrom([]string{"", "other"}).Draw(rt, "hash"),
		}
	})
	moment := rapid.Custom(func(rt *rapid.T) *time.Time {
		at := aTime.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "seconds")) * time.Second)
		return &at
	})
	maybe := func(label string) *time.Time {
		if rapid.Bool().Draw(rt, label) {
			return moment.Draw(rt, label)
		}
		return nil
	}
	r := &store.Record{Container: api.Container{ID: "id", Name: "web", Generation: 2}}
	r.Spec = api.Spec{Image: "app", DesiredState: rapid.SampledFrom([]string{api.DesiredCreated, api.DesiredRunning, api.DesiredStopped, api.DesiredPaused}).Draw(rt, "desired")}
	r.Spec.Default("web")
	r.Placement = placement.Draw(rt, "placement")
	if rapid.Bool().Draw(rt, "current") {
		r.Placement.TemplateHash, r.Placement.Resources = api.TemplateHash(&r.Spec), r.Spec.Resources
	}
	if rapid.Bool().Draw(rt, "replacing") {
		r.Next, r.Prev = placement.Draw(rt, "next"), placement.Draw(rt, "prev")
		r.Next.Token, r.Next.DockerName = "t3", "web.next"
		r.Prev.Token, r.Prev.DockerName, r.Prev.DockerID = "t4", "web.former", "d4"
	}
	r.Superseded = rapid.SliceOfN(placement, 0, 2).Draw(rt, "superseded")
	r.StopDeadline, r.DeletedAt, r.Status.NextRestartAt = maybe("stop deadline"), maybe("deleted"), maybe("next restart")
	r.Ended = rapid.SampledFrom([]string{"", "Completed"}).Draw(rt, "ended")
	r.Wake, r.Restart = rapid.Int64Range(0, 1).Draw(rt, "wake"), rapid.Int64Range(0, 1).Draw(rt, "restart")
	if rapid.Bool().Draw(rt, "restarting") {
		r.RestartFrom = run(&Observed{DockerID: "d1", StartedAt: aTime.Add(-time.Minute)})
	}
	if at := maybe("failure"); at != nil {
		r.Failure = &store.Failure{Generation: rapid.Int64Range(1, 2).Draw(rt, "failed generation"), RetryAt: *at}
	}
	return r
}

func anyContainers(rt *rapid.T) []Observed {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Observed {
		o := Observed{
			ID: "id", DockerID: rapid.SampledFrom([]string{"d1", "d2", "d3", "d4", "copy"}).Draw(rt, "docker id"),
			Name: rapid.SampledFrom([]string{"web", "old", "copied", "web.next", "web.former"}).Draw(rt, "name"), Token: rapid.SampledFrom([]string{"", "t1", "t2", "t3", "t4"}).Draw(rt, "token"),
			State: rapid.SampledFrom([]string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}).Draw(rt, "state"),
		}
		if o.State != "created" {
			o.StartedAt = aTime.Add(-time.Minute)
		}
		return o
	}), 0, 4).Draw(rt, "containers")
}

func TestPlan_TouchesOnlyWhatIsOwnedAndSaysWhy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, seen := anyRecord(rt), anyContainers(rt)
		next := plan(r, look(r, seen), aTime)
		if again := plan(r, look(r, seen), aTime); !reflect.DeepEqual(next, again) {
			rt.Fatalf("the same arguments gave %v and %v", next, again)
		}
		if next.on != nil && !r.Owns(next.on.Token, next.on.DockerID, next.on.Name) {
			rt.Fatalf("%s of a foreign container %+v", next.action, *next.on)
		}
		if acts := next.on != nil && next.action != settle; acts && next.cause == "" {
			rt.Fatalf("%s without a cause", next.action)
		}
		if next.action == wait && !next.until.After(aTime) {
			rt.Fatalf("waits for what is past: %v", next.until)
		}
		rest := r.Spec.DesiredState == api.DesiredCreated || r.Spec.DesiredState == api.DesiredStopped
		if next.action == start && (rest || r.DeletedAt != nil || r.StopDeadline != nil || r.Placement.DockerID == "") {
			rt.Fatalf("starts a container that shall rest, or is not recorded: %+v", r)
		}
		if next.action == bury && len(look(r, seen).former) > 0 {
			rt.Fatal("buries while a container of its own is there")
		}
	})
}

// Whatever the state, a record whose engine does what it is told comes to rest, and as declared.
func TestPlan_ComesToRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := anyRecord(rt)
		r.Failure = nil
		var own []Observed
		taken := map[string]bool{}
		for _, o := range anyContainers(rt) {
			if r.Owns(o.Token, o.DockerID, o.Name) && !taken[o.DockerID] && o.State != "removing" {
				own, taken[o.DockerID] = append(own, o), true
			}
		}
		h := rehearse(r, own, aTime)
		switch h.took[len(h.took)-1] {
		case nothing:
			restsAsDeclared(rt, h.r, look(h.r, h.own).standing)
		case bury:
		default:
			rt.Fatalf("no rest: %v %+v %+v", h.took, h.r, h.own)
		}
	})
}

func restsAsDeclared(rt *rapid.T, r *store.Record, o *Observed) {
	want := map[string]string{api.DesiredRunning: "running", api.DesiredPaused: "paused"}[r.Spec.DesiredState]
	switch {
	case o != nil && o.State == "restarting" && want != "":
		return // the engine is at it; what comes of that is an event
	case o == nil:
		rt.Fatalf("at rest without a container: %+v", r)
	case want == "" && alive(o), want != "" && o.State != want && (r.Ended == "" || alive(o)):
		rt.Fatalf("at rest while %s, declared %s, ended %q", o.State, r.Spec.DesiredState, r.Ended)
	}
}

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
		now := aTime
		for range 40 {
			next := plan(r, look(r, own), now)
			if next.action == nothing {
				restsAsDeclared(rt, r, look(r, own).standing)
			}
			if next.action == bury || next.action == nothing {
				return
			}
			own, now = carryOut(r, own, next, now)
		}
		rt.Fatalf("no rest after 40 steps: %+v %+v", r, own)
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

// carryOut is an engine and a controller that always succeed, in the fewest words.
func carryOut(r *store.Record, own []Observed, next step, now time.Time) ([]Observed, time.Time) {
	at := func(f func(o *Observed)) {
		for i := range own {
			if own[i].DockerID == next.on.DockerID {
				f(&own[i])
			}
		}
	}
	switch next.action {
	case wait:
		now = next.until
	case intend:
		if r.Placement.Token != "" {
			r.Superseded = append(r.Superseded, r.Placement)
		}
		r.Placement = store.Placement{Token: "new", DockerName: "web", TemplateHash: api.TemplateHash(&r.Spec), Resources: r.Spec.Resources}
	case create:
		p := placed(r, next)
		own = append(own, Observed{ID: "id", DockerID: "made" + p.Token, Name: p.DockerName, Token: p.Token, State: "created"})
	case record:
		placed(r, next).DockerID = next.on.DockerID
	case prepare:
		r.Supersede(r.Next)
		r.Next = store.Placement{Token: "next", DockerName: "web.next", TemplateHash: api.TemplateHash(&r.Spec), Resources: r.Spec.Resources}
	case discard:
		r.Supersede(r.Next)
		r.Next = store.Placement{}
	case attempt:
		t := r.Trial(template(r))
		r.NoteTrial(store.Trial{Template: t.Template, Attempts: t.Attempts + 1, Token: r.Next.Token})
	case swap:
		handOver(r)
	case accept:
		r.Supersede(r.Prev)
		r.Prev = store.Placement{}
	case revert:
		r.Supersede(r.Placement)
		r.Placement, r.Prev = r.Prev, store.Placement{}
	case prove:
		r.Placement.Stable = true
	case forget:
		r.Superseded = unseen(r.Superseded)
	case wake:
		r.WakeSeen, r.Ended, r.Status.NextRestartAt = r.Wake, "", nil
		for i := range own {
			r.Handled = asked(&own[i])
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
	case count:
		v := judge(r, next.on, now)
		r.Handled, r.Ended, r.EndedUnder, r.Status.NextRestartAt = v.handled, v.ended, r.Spec.RestartPolicy, timePointer(v.next)
	case start:
		at(func(o *Observed) { o.State, o.StartedAt = "running", now })
	case signal:
		deadline := now.Add(time.Second)
		r.StopDeadline = &deadline
	case kill:
		at(func(o *Observed) { o.State = "exited" })
	case freeze:
		at(func(o *Observed) { o.State = "paused" })
	case unpause:
		at(func(o *Observed) { o.State = "running" })
	case rename:
		at(func(o *Observed) { o.Name = next.name })
	case limit:
		r.Placement.Resources = r.Spec.Resources
	case remove:
		var left []Observed
		for _, o := range own {
			if o.DockerID != next.on.DockerID {
				left = append(left, o)
			}
		}
		r.StopDeadline = nil
		removed(r, next.on.DockerID)
		own = left
	}
	return own, now
}

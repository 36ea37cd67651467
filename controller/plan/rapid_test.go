package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

func TestPlan_TouchesOnlyWhatIsOwnedAndSaysWhy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, o := world{rt}.anyScene()
		next := Plan(r, o)
		if again := Plan(r, o); !reflect.DeepEqual(next, again) {
			rt.Fatalf("the same arguments gave %+v and %+v", next, again)
		}
		c := next.On
		if c != nil && !r.Owns(c.Token, c.DockerID, c.Name) {
			rt.Fatalf("%s of a foreign container %+v", next.Action, *c)
		}
		if engine(next.Action) && next.Cause == "" {
			rt.Fatalf("%s without a cause", next.Action)
		}
		if engine(next.Action) && c == nil && next.Action != Create && next.Action != Rollback {
			rt.Fatalf("%s of nothing", next.Action)
		}
		if next.Action == Finalize && (o.Current != nil || o.Candidate != nil || o.Previous != nil || len(o.Superseded) > 0) {
			rt.Fatal("finalizes while a container of its own is there")
		}
		if next.Asked != r.Asked || next.Generation != r.Generation || next.Input != input(r, next.Track) {
			rt.Fatalf("it does not say what it was planned for: %+v", next)
		}
	})
}

func TestPlan_StartsOnlyWhatMayRun(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, o := world{rt}.anyScene()
		for name, next := range map[string]Step{"Plan": Plan(r, o), "PlanDegraded": PlanDegraded(r, o)} {
			if next.Action != Start {
				continue
			}
			switch {
			case !WantsRun(r), r.DeletedAt != nil:
				rt.Fatalf("%s starts what is not to run", name)
			case next.On != o.Current, r.Current.DockerID == "", next.On.Alive():
				rt.Fatalf("%s starts another one than the current, which is recorded and does not run", name)
			case r.Current.Stop != nil:
				rt.Fatalf("%s starts what was asked to stop", name)
			case !r.Run.Begun, o.SocketMissing, o.Checking:
				rt.Fatalf("%s starts what is not prepared", name)
			case r.Asked.Start > r.Done.Start, r.Asked.Restart > r.Done.Restart:
				rt.Fatalf("%s starts before it is noted which run was asked for", name)
			}
			others := append([]Container{}, o.Superseded...)
			for _, c := range []*Container{o.Candidate, o.Previous} {
				if c != nil {
					others = append(others, *c)
				}
			}
			if slices.ContainsFunc(others, func(c Container) bool { return c.Alive() }) {
				rt.Fatalf("%s starts it while another of its containers is alive: %+v", name, others)
			}
		}
	})
}

// longest is the longest length that a wait can be of.
func longest(r *store.Record) time.Duration {
	most := max(Deadline(r), monitor(r), renewalSpread, time.Second)
	wait := func(w *store.Wait) {
		if w != nil {
			most = max(most, w.Length)
		}
	}
	for _, p := range append(r.AllPlacements(), r.Current) {
		wait(p.Stop)
	}
	wait(r.Run.Backoff)
	for track := range tracks {
		t := TrackOf(r, track)
		if t.Repaired().N >= freeRepairs {
			most = max(most, RetryDelay(r.ID, t.Repaired().N-freeRepairs+1))
		}
		if t.Failure != nil {
			wait(&t.Failure.Wait)
		}
	}
	return most
}

// No wait is longer than what it is a wait for, whatever the clock did.
func TestPlan_WaitsAreLengths(t *testing.T) {
	lengths := map[string]func(r *store.Record, track TrackID) time.Duration{
		"Monitoring": func(r *store.Record, _ TrackID) time.Duration { return Deadline(r) },
		"BackOff":    func(r *store.Record, _ TrackID) time.Duration { return r.Run.Backoff.Length },
		"Removing":   func(*store.Record, TrackID) time.Duration { return time.Second },
		"Retrying": func(r *store.Record, track TrackID) time.Duration {
			t, most := TrackOf(r, track), time.Duration(0)
			if t.Failure != nil {
				most = t.Failure.Wait.Length
			}
			if t.Repaired().N >= freeRepairs {
				most = max(most, RetryDelay(r.ID, t.Repaired().N-freeRepairs+1))
			}
			return most
		},
		"": func(r *store.Record, _ TrackID) time.Duration { return max(monitor(r), renewalSpread) },
	}
	check := func(t rapid.TB, r *store.Record, o *Observation) {
		for track, w := range Plan(r, o).Rests {
			most := longest(r)
			if of, known := lengths[w.Reason]; known && w.Left > 0 {
				most = of(r, TrackID(track))
			}
			if w.Left < 0 || w.Left > most {
				t.Fatalf("track %d waits %s for %q, which is no longer than %s", track, w.Left, w.Reason, most)
			}
		}
	}
	for _, c := range allCases() {
		o := c.scene.seen()
		o.At.Now = o.At.Now.Add(-time.Hour)
		check(t, c.scene.r, o)
	}
	rapid.Check(t, func(rt *rapid.T) {
		r, o := world{rt}.anyScene()
		check(rt, r, o)
		for i := range r.Superseded {
			if left := r.Superseded[i].Stop.Left(aTime); r.Superseded[i].Stop != nil && left > r.Superseded[i].Stop.Length {
				rt.Fatalf("a grace of %s has %s left", r.Superseded[i].Stop.Length, left)
			}
		}
	})
}

// deep copies a record with all that it points to.
func deep(t *rapid.T, r *store.Record) *store.Record {
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var c store.Record
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

// Apply may edit the record that it is given, and nothing that this shares with others: those read it meanwhile.
func TestApply_EditsNothingThatIsShared(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := world{rt}
		r, o := w.anyScene()
		next := Plan(r, o)
		res := w.result(r, o, &next)
		shared, before := *r, deep(rt, r)
		Apply(&shared, &next, res, o)
		if diff := cmp.Diff(before, deep(rt, r)); diff != "" {
			rt.Fatalf("%s changed what is shared (-before +after):\n%s", next.Action, diff)
		}
	})
}

// A request that was declared while a step was being taken is not marked as done by it, and neither is any other that the step
// was not for.
func TestApply_MarksOnlyWhatItWasPlannedFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := world{rt}
		r, o := w.anyScene()
		done := r.Done
		next := Plan(r, o)
		res := w.result(r, o, &next)
		newer := *r
		newer.Generation++
		for i, asked := range []*int64{&newer.Asked.Start, &newer.Asked.Restart, &newer.Asked.Pull, &newer.Asked.Retry} {
			if w.yes(fmt.Sprint("newer ", i)) {
				*asked = newer.Generation
			}
		}
		Apply(&newer, &next, res, o)
		marks := func(action Action, asked, before, after, planned int64) {
			if after != before && (next.Action != action || after != planned) {
				rt.Fatalf("%s, planned for %d, marks %d as done; %d is asked", next.Action, planned, after, asked)
			}
		}
		marks(ExplicitStart, newer.Asked.Start, done.Start, newer.Done.Start, r.Asked.Start)
		marks(BeginRestart, newer.Asked.Restart, done.Restart, newer.Done.Restart, r.Asked.Restart)
		marks(Resolve, newer.Asked.Pull, done.Pull, newer.Done.Pull, r.Asked.Pull)
		marks(ResetTrial, newer.Asked.Retry, done.Retry, newer.Done.Retry, r.Asked.Retry)
		if next.Resting() && !reflect.DeepEqual(newer.Status, r.Status) {
			rt.Fatal("a rest that was planned before a newer declaration writes its status")
		}
	})
}

// What fails of the update, the settings or the name holds up nothing of the process.
func TestPlan_AFailureHoldsUpItsOwnTrackAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := world{rt}
		s := newScene().with(failedBeside)
		if w.yes("another template") {
			s.with(retemplate, failedBeside)
		}
		for _, track := range []TrackID{Update, Settings, Name} {
			if !w.yes(fmt.Sprint("track ", track)) {
				TrackOf(s.r, track).Failure = nil
			}
		}
		s.o.Pulling, s.o.Copying = w.yes("pulling"), w.yes("copying")
		if w.yes("renamed") {
			s.c.Name = "away"
		}
		if w.yes("stop") {
			s.declared(api.DesiredStopped)
			s.reaches(rt, func(next Step) bool { return next.Action == Stop && next.On.DockerID == "d1" })
			return
		}
		s.ended(1).counted("")
		if w.yes("waits") {
			s.r.Run.Backoff = soon()
			s.reaches(rt, func(next Step) bool { return next.Resting() && next.Rests[Process].Left == 4*time.Second })
			s.o.At.Now = s.o.At.Now.Add(4 * time.Second)
		}
		s.reaches(rt, func(next Step) bool { return next.Action == Start && next.On.DockerID == "d1" })
	})
}

// reaches takes steps, each of which is refused but those of the process, until one is as it is to be.
func (s *scene) reaches(rt *rapid.T, ok func(next Step) bool) {
	var took []string
	for range 8 {
		o := s.seen()
		next := Plan(s.r, o)
		took = append(took, told(next))
		if ok(next) {
			return
		}
		if next.Resting() {
			break
		}
		res := &Result{}
		if next.Track != Process {
			res.Refused = &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "it does not work"}
		}
		Apply(s.r, &next, res, o)
	}
	rt.Fatalf("it did not come to it: %q", took)
}

// An engine that refuses everything is not asked again and again: each track waits before it is tried once more.
func TestPlan_RefusalsComeToRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := world{rt}
		r, o := w.anyScene()
		var took []string
		for range 40 {
			next := Plan(r, o)
			took = append(took, told(next))
			if next.Resting() || next.Action == Finalize {
				return
			}
			res := &Result{Detail: next.Detail, Seen: next.On}
			if mayFail(next.Action) {
				res.Refused = &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "it does not work"}
			}
			Apply(r, &next, res, o)
			seen := append(slices.Clone(o.Superseded), o.Foreign...)
			for _, c := range []*Container{o.Current, o.Candidate, o.Previous} {
				if c != nil {
					seen = append(seen, *c)
				}
			}
			again := Classify(r, seen)
			again.At, again.SocketMissing, again.Boot, again.Mount, again.Uptime = o.At, o.SocketMissing, o.Boot, o.Mount, o.Uptime
			o = &again
		}
		rt.Fatalf("no rest: %.300q; then %+v of %s, seen %+v", fmt.Sprint(took), r.Handover, api.Encode(r.Tracking), o.Current)
	})
}

package plan

import (
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Plan decides the next step for a record.
func Plan(r *store.Record, o *Observation) Step {
	step := decide(r, o)
	step.Asked, step.Generation, step.Input = r.Asked, r.Generation, input(r, step.Track)
	return step
}

// look is one track's part of Plan.
type look func(r *store.Record, o *Observation) verdict

func looks() [tracks]look {
	return [tracks]look{Removal: removal, Process: process, Update: update, Settings: settings, Name: name}
}

func decide(r *store.Record, o *Observation) Step {
	rest := Step{}
	for track, look := range looks() {
		v := guarded(r, o, TrackID(track), look(r, o))
		if v.acts() {
			return v.step
		}
		rest.Rests[track] = v.waiting
		if r.DeletedAt != nil {
			return rest // nothing but its removal is left to do
		}
	}
	rest.Rests[Process] = sooner(rest.Rests[Process], o.SilenceLeft)
	return rest
}

// sooner is a wait that ends by then at the latest.
func sooner(w Waiting, left time.Duration) Waiting {
	if left > 0 && (w.Left == 0 || left < w.Left) {
		w.Left = left
	}
	return w
}

// guarded is what a track decided, with what has to be so before its step is taken.
func guarded(r *store.Record, o *Observation, track TrackID, v verdict) verdict {
	v.step.Track = cmpTrack(v.step.Track, track)
	switch v.step.Action {
	case Start:
		return beforeStart(r, o, v)
	case Create:
		return beforeRun(o, v)
	}
	return v
}

// cmpTrack is the track that a step says it is of, or else the one that decided it.
func cmpTrack(said, decided TrackID) TrackID {
	if said != Removal {
		return said
	}
	return decided
}

// beforeStart lets the lower tracks go first where they have something to do now, so that what starts is what is declared.
// Where they fail they are held back, and the start is not. A handover has dealt with all but the settings itself.
func beforeStart(r *store.Record, o *Observation, start verdict) verdict {
	lower := []TrackID{Update, Settings, Name}
	if r.Handover != nil {
		lower = []TrackID{Settings}
	}
	for _, track := range lower {
		if v := guarded(r, o, track, looks()[track](r, o)); v.acts() {
			return v
		}
	}
	return ready(r, o, start)
}

// ready is a start, or what has to be so before: no other container of the record is alive, its socket is there, and what will
// run is written down.
func ready(r *store.Record, o *Observation, start verdict) verdict {
	c := start.step.On
	if other := rival(o, c); other != nil {
		return waits(Waiting{Reason: api.ReasonWaitingForStop, Message: fmt.Sprintf("container %s has to stop first", other.Name), Open: true})
	}
	if o.StartDue > 0 {
		return waits(Waiting{Reason: api.ReasonWaitingForTurn, Message: "the engine was lost a while ago, and containers are started one by one", Left: o.StartDue, Open: true})
	}
	v := beforeRun(o, start)
	if v.step.Action == Start && unnoted(r, o, c) {
		v.step.Action, v.step.Detail = IntendStart, ""
	}
	return v
}

// beforeRun takes what a container finds when it is made or started.
func beforeRun(o *Observation, next verdict) verdict {
	switch {
	case o.Checking:
		return waits(Waiting{Reason: api.ReasonCopyingCode, Message: "the code is being copied", Open: true})
	case o.SocketMissing:
		return verdict{step: Step{Action: Listen, Track: next.step.Track, Cause: api.CauseRecovery}}
	}
	return next
}

// rival is a container of the record besides c that is alive.
func rival(o *Observation, c *Container) *Container {
	others := []*Container{o.Current, o.Candidate, o.Previous}
	for i := range o.Superseded {
		others = append(others, &o.Superseded[i])
	}
	for _, other := range others {
		if other != nil && other != c && other.DockerID != c.DockerID && other.Alive() {
			return other
		}
	}
	return nil
}

// unnoted reports whether a start would be of what the record does not tell.
func unnoted(r *store.Record, o *Observation, c *Container) bool {
	n, p := &r.Run, &r.Current
	return !n.Begun || n.Boot != o.Boot || n.RestartAsked != (n.RestartFrom != "") || stale(r) || !sameVolumes(p.Anonymous, c.Anonymous) ||
		o.Mount != "" && p.Mount != o.Mount
}

func sameVolumes(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for target, volume := range a {
		if b[target] != volume {
			return false
		}
	}
	return true
}

// input names what the steps of a track are for. A failure holds the track back for as long as that is the same.
func input(r *store.Record, track TrackID) string {
	switch track {
	case Process:
		return fmt.Sprintf("%s %s %d %d %+v", r.Current.Token, r.Spec.DesiredState, r.Asked.Start, r.Asked.Restart, WantedLimits(r))
	case Update:
		return fmt.Sprintf("%s %s %d %d", Template(r), r.Spec.Image, r.Asked.Pull, r.Asked.Retry)
	case Settings:
		return fmt.Sprintf("%s %+v %s", r.Current.Token, WantedLimits(r), WantedNetwork(r))
	case Name:
		return r.Current.Token + " " + r.Previous.Token
	}
	return fmt.Sprint(r.DeletedAt != nil)
}

// TrackOf is a track's state in a record.
func TrackOf(r *store.Record, track TrackID) *store.Track {
	return [tracks]*store.Track{&r.Tracks.Removal, &r.Tracks.Process, &r.Tracks.Update, &r.Tracks.Settings, &r.Tracks.Name}[track]
}

// held is what a track waits for whose newest step failed, false where it may go on.
func held(r *store.Record, o *Observation, track TrackID) (Waiting, bool) {
	f := TrackOf(r, track).Failure
	if f == nil || f.Input != input(r, track) {
		return Waiting{}, false
	}
	left := f.Wait.Left(o.At.Now)
	if left == 0 {
		return Waiting{}, false
	}
	return Waiting{Reason: retrying, Message: "the next attempt is due at " + clockTime(o, left), Left: left}, true
}

// clockTime is when a wait is over, for people.
func clockTime(o *Observation, left time.Duration) string {
	return o.At.Wall(o.At.Now.Add(left)).Format(time.RFC3339)
}

// repairDue is how long a track waits before it puts right once more what outside hands change.
func repairDue(r *store.Record, o *Observation, track TrackID) time.Duration {
	t := TrackOf(r, track)
	done := t.Repaired()
	since := max(0, o.At.Now.Sub(done.At))
	if done.N < freeRepairs || since >= LongRun {
		return 0
	}
	return max(0, RetryDelay(r.ID, done.N-freeRepairs+1)-since)
}

// repair is a step that puts right what an outside hand changed, or the wait for it.
func repair(r *store.Record, o *Observation, track TrackID, v verdict) verdict {
	if left := repairDue(r, o, track); v.step.Cause == api.CauseDrift && left > 0 {
		return waits(Waiting{Reason: retrying, Message: "somebody else changes it again and again; it is put right at " + clockTime(o, left), Left: left})
	}
	return v
}

// Newest is the newest moment that a record's waits began at: an earlier process's clock had come so far.
func Newest(r *store.Record) time.Time {
	var newest time.Time
	note := func(at time.Time) {
		if at.After(newest) {
			newest = at
		}
	}
	wait := func(w *store.Wait) {
		if w != nil {
			note(w.Since)
		}
	}
	for _, p := range r.AllPlacements() {
		wait(p.Stop)
	}
	wait(r.Run.Backoff)
	for track := range tracks {
		t := TrackOf(r, track)
		note(t.Repaired().At)
		if t.Failure != nil {
			note(t.Failure.Wait.Since)
		}
	}
	return newest
}

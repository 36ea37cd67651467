package plan

import (
	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Result is what came of a step. What it says to people is masked.
type Result struct {
	// Refused is why the step did not work, nil where it did.
	Refused *Refusal
	// DockerID is that of the container that Create made.
	DockerID string
	// Placement is the intent of Intend and IntendReplacement; Image and Code are what its image and its code were resolved to.
	Placement *store.Placement
	Image     *store.Resolved
	Code      *store.Taken
	// Seen is the container as it was looked at once more, for ExplicitStart and BeginRestart; nil where it is gone.
	Seen *Container
	// Exit is how a run ended, for RecordExit, Commit and Rollback.
	Exit *store.Exit
	// Warning is what Create had to leave out of what was declared, "" where that was nothing.
	Warning string
	// Detail is the step's own, masked.
	Detail string
}

// Refusal is why a step did not work: a reason for machines and a sentence for people that says what to do.
type Refusal struct {
	Reason  string
	Type    api.ErrorType
	Message string
}

// Apply does to a record what a step that was taken does to it, and returns the durable events that tell of it. The record may
// have been declared anew since the step was planned.
func Apply(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	old := r.Status
	var events []api.Event
	switch {
	case res.Refused != nil:
		events = refuse(r, s, res.Refused, o)
	case s.Resting():
		if r.Generation != s.Generation {
			return nil // a newer declaration is in the queue; its turn writes
		}
		settle(r, s, o)
		observe(r, o, s)
		events = append(activities(r, &old), warnings(r, &old, o.Current)...)
	default:
		worked(r, s, res, o.At)
		events = edit(r, s, res, o)
	}
	r.Status.CrashStreak = r.Run.Streak
	if r.AtRest = s.Resting() && res.Refused == nil; r.AtRest {
		conclude(r)
	}
	return events
}

// worked notes a step that worked: its track is free again.
func worked(r *store.Record, s *Step, res *Result, at Instant) {
	t := TrackOf(r, s.Track)
	if engine(s.Action) {
		if f := t.Failure; f != nil && overcomes(s.Action, Action(f.Action)) {
			t.Failure = nil
		}
		r.Status.LastAction = &api.LastAction{Action: Word(s.Action), Cause: s.Cause, Detail: res.Detail, At: at.Wall(at.Now)}
	}
	if s.Cause == api.CauseDrift && engine(s.Action) && s.Action != Remove {
		done := t.Repaired()
		if at.Now.Sub(done.At) >= LongRun {
			done.N = 0
		}
		t.Repairs = &store.Repairs{N: done.N + 1, At: at.Now}
	}
}

// overcomes reports whether an action that worked ends a failure. A rollback may be because of it, and what is unpaused so that it
// hears that it shall stop has not stopped yet.
func overcomes(done, failed Action) bool {
	return done != Rollback && (done != Unpause || failed == Unpause)
}

// engine reports whether a step is told of as an action.
func engine(a Action) bool {
	switch a {
	case Stop, Kill, Remove, Start, Pause, Unpause, Create, Adopt, Limit, Connect, Rename, Rollback:
		return true
	}
	return false
}

// refuse notes what a step met, and how long the next attempt waits.
func refuse(r *store.Record, s *Step, f *Refusal, o *Observation) []api.Event {
	switch {
	case s.Action == Create && !s.Candidate && f.Reason == api.ReasonNameConflict && r.Current.DockerID == "" && r.Current.DockerName == r.Name:
		r.Current.DockerName = Aside(r, r.Current.Token) // it is made all the same, and named once it can be
		return note(r, &r.Tracks.Name, Name, s, f, o)
	case ofHandover(r, s, o):
		h := *r.Handover
		h.Failed = f.Message
		r.Handover = &h
		return nil
	}
	return note(r, TrackOf(r, s.Track), s.Track, s, f, o)
}

func note(r *store.Record, t *store.Track, track TrackID, s *Step, f *Refusal, o *Observation) []api.Event {
	of := input(r, track)
	if s.Track == track {
		of = s.Input // what it was tried for, whatever is declared by now
	}
	attempts, news := 1, true
	if old := t.Failure; old != nil && old.Input == of {
		attempts, news = old.Attempts+1, old.Reason != f.Reason
	}
	t.Failure = &store.Failure{Input: of, Action: string(s.Action), Reason: f.Reason, ErrorType: f.Type, Message: f.Message, Attempts: attempts,
		At: o.At.Wall(o.At.Now), Wait: store.Wait{Since: o.At.Now, Length: RetryDelay(r.ID, attempts)}, Generation: s.Generation}
	if !news {
		return nil
	}
	return []api.Event{api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID, Message: f.Message,
		Details: map[string]any{"error_type": f.Type, "reason": f.Reason, "name": r.Name}}.Event()}
}

// edit is what a step that worked does to a record.
func edit(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	switch s.Action {
	case Stop, Kill, Remove, Forget, Start, Pause, Unpause, Limit, Connect, Rename, Renew, Listen:
		editContainer(r, s, o)
	case Forgive, ExplicitStart, Suspect, BeginRestart, EndRestart, RecordStop, IntendStart:
		editRun(r, s, res, o)
	case RecordExit:
		return editExit(r, s, res, o)
	case Intend, IntendReplacement, Create, Adopt, Outdate, Resolve, SwitchCode, ResetTrial:
		editPlacement(r, s, res, o)
		return leftOut(r, res)
	case Discard, Attempt, Abandon, Promote, Commit, Rollback:
		return editUpdate(r, s, res, o)
	}
	return nil
}

// leftOut tells what a container was made without.
func leftOut(r *store.Record, res *Result) []api.Event {
	if res.Warning == "" {
		return nil
	}
	return []api.Event{api.Activity{ActivityType: api.ActivityHealth, ContainerID: r.ID, Message: res.Warning,
		Details: map[string]any{"name": r.Name, "image": r.Spec.Image}}.Event()}
}

// editRun is edit for what is noted of the process.
func editRun(r *store.Record, s *Step, res *Result, o *Observation) {
	n := &r.Run
	switch s.Action {
	case Forgive:
		forgiveOutage(r, o)
	case ExplicitStart:
		if c := res.Seen; c != nil {
			r.Done.Start = s.Asked.Start
			forgive(r)
			n.Begun = c.Alive() // what runs or is paused goes on, and that is the run that was asked for
			if !c.Alive() && c.Ran() {
				n.ID, n.End = Run(c), EndAsked
			}
		}
	case BeginRestart:
		if c := res.Seen; c != nil {
			r.Done.Restart, n.RestartFrom, n.RestartAsked = s.Asked.Restart, Run(c), false
			forgive(r)
			if !c.Alive() {
				n.RestartFrom, n.ID, n.End = "", Run(c), EndAsked
			}
		}
	case Suspect:
		n.Suspected++
	case EndRestart:
		if n.RestartFrom != Run(s.On) && !dealt(r, s.On) {
			n.ID, n.End = n.RestartFrom, EndAsked // whoever ended it: it was to end
		}
		n.RestartFrom, n.RestartAsked = "", false
	case RecordStop:
		r.Current.Stop = nil
		clearSuspicion(n, s.On)
		if ended(r, s.On) != EndCounted {
			n.ID, n.End = Run(s.On), EndAsked
		}
	case IntendStart:
		n.Begun, n.Boot, n.RestartAsked = true, o.Boot, n.RestartFrom != ""
		r.Current.Anonymous, r.Current.Carried, r.Current.Runs = s.On.Anonymous, s.On.Carried, r.Current.Code
		if o.Mount != "" {
			r.Current.Mount = o.Mount
		}
	}
}

// editExit is edit for the end of a run.
func editExit(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	e := judgeExit(r, s.On)
	events := warnings(r, &r.Status, s.On)
	if ended(r, s.On) != EndCounted {
		events = append(crash(r, s.On, res.Exit, e, o.At), events...)
	}
	if s.On.Alive() {
		r.Status.Health = s.On.Health
	}
	copyExit(&r.Status, s.On)
	applyExit(r, s, res, o.At)
	r.Status.NextRestartAt = nextRestart(r, o)
	return events
}

// noteOrigin notes what keeps the data of a container that was taken over, and its network. Of others that was written when they were
// made and started.
func noteOrigin(r *store.Record, c *Container) {
	p := &r.Current
	if p.DockerID != c.DockerID {
		return
	}
	if p.Anonymous == nil && p.Carried == nil {
		p.Anonymous, p.Carried = c.Anonymous, c.Carried
	}
	if p.Network == "" {
		p.Network = c.Network
	}
}

// settle notes what holds when there is nothing to do now. A failure of what is not to be done any more is over.
func settle(r *store.Record, s *Step, o *Observation) {
	for track := range tracks {
		t := TrackOf(r, track)
		if f := t.Failure; f != nil && (f.Input != input(r, track) || s.Rests[track].over()) {
			t.Failure = nil
		}
	}
	c := o.Current
	if c == nil {
		return
	}
	noteOrigin(r, c)
	if !c.Alive() {
		return
	}
	if o.Ready && r.Spec.Readiness == api.ReadinessSocket {
		r.Run.Ready = Run(c)
	}
	r.Run.Connected = r.Run.Connected || o.Connected
	if n := &r.Run; ended(r, c) == EndCounted && n.Ended != "" && available(r, o, c) {
		n.ID, n.End, n.Ended = "", "", "" // it was given up, and is well again by itself: its end will be another one
	}
	if available(r, o, c) && r.Handover == nil && r.Run.Available != Run(c) && ended(r, c) == "" {
		r.Run.Available, r.Current.Stable = Run(c), true
	}
}

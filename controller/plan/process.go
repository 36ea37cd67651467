package plan

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// process has the current container run, or not, as declared.
func process(r *store.Record, o *Observation) verdict {
	c := o.Current
	switch {
	case c == nil, r.Current.DockerID == "", r.Handover != nil, c.State == "dead", c.State == "removing":
		return idle()
	case explained(r, o):
		return do(Forgive, c, api.CauseRecovery)
	}
	if w, is := held(r, o, Process); is {
		return waits(w)
	}
	v := repair(r, o, Process, run(r, o, c))
	if o.SocketMissing && !v.acts() && v.waiting.Reason == "" {
		return do(Listen, nil, api.CauseRecovery)
	}
	return v
}

// explained reports whether an outage explains ends that were counted.
func explained(r *store.Record, o *Observation) bool {
	for _, end := range r.Run.Counted {
		if excused(o, end) {
			return true
		}
	}
	return false
}

func excused(o *Observation, end store.CountedEnd) bool {
	for i := range o.Outages {
		if !end.Own && o.Outages[i].Covers(end.At) {
			return true
		}
	}
	return false
}

// run has a container run as declared: stop, start, restart, pause, in the order in which they were asked for.
func run(r *store.Record, o *Observation, c *Container) verdict {
	if v, decided := ending(r, o, c); decided {
		return v
	}
	if v, decided := asked(r, o, c); decided {
		return v
	}
	return desired(r, o, c)
}

// ending sees a stop to its end, and stops what runs other code than it is to.
func ending(r *store.Record, o *Observation, c *Container) (v verdict, decided bool) {
	switch {
	case r.Current.Stop != nil && c.Alive():
		return stopping(r, o, c), true
	case r.Current.Stop != nil:
		return do(RecordStop, c, ""), true
	case !stale(r) || !c.Ran():
		return idle(), false
	case c.Alive():
		return stopping(r, o, c).because("it is to run other code"), true
	case !dealt(r, c):
		return do(RecordStop, c, ""), true
	}
	return idle(), false
}

// dealt reports whether the end of a container's newest run was dealt with.
func dealt(r *store.Record, c *Container) bool { return r.Run.ID == Run(c) }

// ended reports how the end of a container's newest run was dealt with, "" where it was not.
func ended(r *store.Record, c *Container) string {
	if !dealt(r, c) {
		return ""
	}
	return r.Run.End
}

// asked carries out explicit starts and restarts.
func asked(r *store.Record, o *Observation, c *Container) (v verdict, decided bool) {
	switch {
	case r.Asked.Start > r.Done.Start:
		return do(ExplicitStart, c, api.CauseDeclaration), true
	case r.Asked.Restart > r.Done.Restart:
		return do(BeginRestart, c, api.CauseRestart), true
	case r.Run.RestartFrom != "":
		return restarting(r, o, c), true
	}
	return idle(), false
}

// restarting replaces the noted run by another one of the same container.
func restarting(r *store.Record, o *Observation, c *Container) verdict {
	other := r.Run.RestartFrom != Run(c)
	switch {
	case other && !c.Alive() && !r.Run.RestartAsked: // an outside hand's, over before it was seen
		return do(BeginRestart, c, api.CauseRestart)
	case other, r.Spec.DesiredState != api.DesiredRunning:
		return do(EndRestart, c, api.CauseRestart)
	case c.Alive():
		v := stopping(r, o, c)
		v.step.Cause = api.CauseRestart
		return v
	}
	return do(Start, c, api.CauseRestart)
}

func desired(r *store.Record, o *Observation, c *Container) verdict {
	switch {
	case !WantsRun(r):
		if !c.Alive() {
			return idle()
		}
		v := stopping(r, o, c)
		v.step.Cause = why(r)
		return v
	case r.Spec.DesiredState == api.DesiredPaused && c.State == "running":
		return do(Pause, c, whyPause(r, c))
	case r.Spec.DesiredState == api.DesiredPaused && c.State == "paused":
		return idle()
	case c.State == "paused":
		return do(Unpause, c, why(r))
	case !c.Alive():
		return starting(r, o, c)
	}
	if v, decided := unhealthy(r, o, c); decided {
		return v
	}
	return availing(r, o, c)
}

// why tells drift from a declaration: what is to be done now though the newest generation was seen done already, an outside
// hand has undone.
func why(r *store.Record) string {
	if r.Status.ObservedGeneration >= r.Generation && len(r.Tracks.Trouble()) == 0 {
		return api.CauseDrift
	}
	return api.CauseDeclaration
}

// whyPause is why for a pause: a run that nothing was noted of yet has just begun, and is paused for the first time.
func whyPause(r *store.Record, c *Container) string {
	if at := r.Status.StartedAt; at != nil && !at.Equal(c.StartedAt) {
		return api.CauseDeclaration
	}
	return why(r)
}

// engineLost is how often the engine may be lost while a container alone is being started, until that is not started any more.
const engineLost = 2

// starting decides whether and when a container that does not run is started.
func starting(r *store.Record, o *Observation, c *Container) verdict {
	n := &r.Run
	switch end := ended(r, c); {
	case n.Suspected >= engineLost:
		return idle()
	case c.Interrupted && end != EndAsked && end != EndInterrupted && !(end == EndCounted && n.Ended == Completed && !n.Killed):
		return do(RecordExit, c, api.CauseRecovery)
	case n.Ended != "" && n.EndedUnder != r.Spec.RestartPolicy:
		return do(RecordExit, c, api.CauseDeclaration)
	case n.Ended != "" && settled(r, c):
		return idle()
	case !c.Ran(), end == EndAsked:
		return do(Start, c, why(r))
	case end == EndInterrupted:
		return do(Start, c, api.CauseRecovery)
	case end != EndCounted:
		return do(RecordExit, c, api.CauseExit)
	}
	if left := n.Backoff.Left(o.At.Now); left > 0 {
		return waits(Waiting{Reason: api.ReasonBackOff, Message: "it is started at " + clockTime(o, left), Left: left})
	}
	if n.Exit != nil && n.Exit.Unhealthy {
		return do(Start, c, api.CauseUnhealthy)
	}
	return do(Start, c, api.CauseExit)
}

// Shorter names of how a run's end was dealt with.
const (
	EndCounted     = store.EndCounted
	EndAsked       = store.EndAsked
	EndInterrupted = store.EndInterrupted
)

// settled reports whether what ended a container was its newest run, and not one before somebody else started it. One that was
// made anew has not run.
func settled(r *store.Record, c *Container) bool {
	end := ended(r, c)
	return !c.Ran() || end == EndCounted || end == EndInterrupted
}

// unhealthy restarts a container that runs and is not well, where that is declared. It shares the backoff of exits: the run
// is counted first, then stopped, and the next one waits like after any crash.
func unhealthy(r *store.Record, o *Observation, c *Container) (v verdict, decided bool) {
	policy, counted := r.Spec.RestartPolicy, ended(r, c) == EndCounted
	switch {
	case c.Health != api.HealthUnhealthy && !counted, policy.OnUnhealthy != api.UnhealthyRestart, policy.Name == api.RestartNever:
		return idle(), false
	case !counted:
		return do(RecordExit, c, api.CauseUnhealthy), true
	case r.Run.Ended != "": // given up
		return idle(), false
	}
	v = stopping(r, o, c)
	v.step.Cause = api.CauseUnhealthy
	return v, true
}

// availing waits until a run has lasted for as long as an update is watched.
func availing(r *store.Record, o *Observation, c *Container) verdict {
	if r.Run.Available == Run(c) || !isReady(r, o, c) {
		return idle()
	}
	return waits(Waiting{Left: max(0, monitor(r)-age(o, c))})
}

// age is how long a container's run has lasted. One that seems to begin later than now begins now.
func age(o *Observation, c *Container) time.Duration { return max(0, o.At.Now.Sub(c.Began)) }

// available reports whether a run is ready and has lasted for as long as an update is watched.
func available(r *store.Record, o *Observation, c *Container) bool {
	return c != nil && c.State == "running" && isReady(r, o, c) && age(o, c) >= monitor(r)
}

// isReady reports whether a container that runs is ready.
func isReady(r *store.Record, o *Observation, c *Container) bool {
	switch {
	case c.Health == api.HealthStarting, c.Health == api.HealthUnhealthy:
		return false
	case r.Spec.Readiness == api.ReadinessSocket:
		return o.Ready || r.Run.Ready == Run(c)
	}
	return true
}

func monitor(r *store.Record) time.Duration {
	if r.Spec.UpdatePolicy.Monitor == nil {
		return 0
	}
	return time.Duration(*r.Spec.UpdatePolicy.Monitor) * time.Second
}

package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// observe brings a record's status up to what was seen, given that there is nothing to do now but wait for s.
func observe(r *store.Record, o *Observation, s *Step) {
	copyFacts(r, o)
	r.Status.State = state(r, o.Current)
	if !s.Open() {
		r.Status.ObservedGeneration = r.Generation
	}
	r.Status.LastError = lastError(r, o)
	conditions(r, o, s)
}

// lastError is what is wrong: the worst failure, or a template that was taken back.
func lastError(r *store.Record, o *Observation) *api.LastError {
	if all := r.Tracks.Trouble(); len(all) > 0 {
		return &api.LastError{ErrorType: all[0].ErrorType, Message: all[0].Message, At: all[0].At}
	}
	why := TakenBack(r)
	switch old := r.Status.LastError; {
	case why == "":
		return nil
	case old != nil && old.Message == why:
		return old
	}
	return &api.LastError{ErrorType: api.DockerAPIError, Message: why, At: o.At.Wall(o.At.Now)}
}

func copyFacts(r *store.Record, o *Observation) {
	st, c := &r.Status, o.Current
	st.NextRestartAt = nextRestart(r, o)
	if c == nil {
		st.DockerID, st.Health, st.RunningGeneration, st.Ports, st.ImageID, st.ImageDigest, st.CodeRevision = "", api.HealthNone, 0, nil, "", "", ""
		st.StartedAt = nil
		return
	}
	st.DockerID, st.RunningGeneration, st.Ports = c.DockerID, r.Current.Generation, r.Current.Ports
	st.ImageID, st.ImageDigest = c.ImageID, r.Current.ImageDigest
	st.CodeRevision = r.Current.Code
	if c.Alive() {
		st.CodeRevision = r.Current.Runs
	}
	st.Health = api.HealthNone
	if c.Alive() && c.Health != "" {
		st.Health = c.Health
	}
	st.StartedAt = timePointer(c.StartedAt)
	copyExit(st, c)
}

// nextRestart is when a backoff is over, by the host's clock; nil where none holds the container back.
func nextRestart(r *store.Record, o *Observation) *time.Time {
	c, left := o.Current, r.Run.Backoff.Left(o.At.Now)
	if left == 0 || c != nil && c.Alive() && !dealt(r, c) {
		return nil
	}
	return timePointer(o.At.Wall(r.Run.Backoff.Since.Add(r.Run.Backoff.Length)))
}

// copyExit tells how the newest run ended, and nothing of one that goes on. That its memory had run out stays known: the
// engine's events, which may be the only ones to tell, are forgotten.
func copyExit(st *api.Status, c *Container) {
	known := st.OOMKilled && st.FinishedAt != nil && st.FinishedAt.Equal(c.FinishedAt)
	st.FinishedAt, st.ExitCode, st.OOMKilled = nil, nil, false
	if !c.Alive() && c.Ran() {
		code := c.ExitCode
		st.FinishedAt, st.ExitCode, st.OOMKilled = timePointer(c.FinishedAt), &code, c.OOMKilled || known
	}
}

func timePointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func state(r *store.Record, c *Container) string {
	switch {
	case r.DeletedAt != nil:
		return api.StateRemoving
	case c != nil && (c.State == "running" || c.State == "restarting"):
		return api.StateRunning
	case c != nil && c.State == "paused":
		return api.StatePaused
	case c != nil && c.State == "dead":
		return api.StateDead
	case WantsRun(r) && r.Run.Ended != "":
		return api.StateExited
	case WantsRun(r) && (r.Status.RestartCount > 0 || c != nil && c.Ran()):
		return api.StateRestarting
	case r.Spec.DesiredState == api.DesiredStopped:
		return api.StateStopped
	}
	return api.StateCreated
}

func conditions(r *store.Record, o *Observation, s *Step) {
	set := func(kind string, yes bool, reason, message string) {
		status := api.False
		if yes {
			status = api.True
		}
		r.Status.SetCondition(api.Condition{Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: r.Generation, LastTransitionAt: o.At.Wall(o.At.Now)})
	}
	ready, why := readiness(r, o)
	set(api.Ready, ready, why, "")
	lasts, why := availability(r, o, ready, why)
	set(api.Available, lasts, why, "")
	if w := s.Waiting(); w.Reason != "" {
		set(api.Progressing, true, w.Reason, w.Message)
	} else {
		set(api.Progressing, false, api.ReasonSettled, "")
	}
	reason, message := degraded(r, o)
	set(api.Degraded, reason != api.ReasonAsExpected, reason, message)
}

func readiness(r *store.Record, o *Observation) (bool, string) {
	switch st := &r.Status; {
	case st.State == api.StateRunning && st.Health == api.HealthStarting:
		return false, api.ReasonHealthStarting
	case st.State == api.StateRunning && st.Health == api.HealthUnhealthy:
		return false, api.ReasonUnhealthy
	case st.State == api.StateRunning && !isReady(r, o, o.Current):
		return false, api.ReasonWaitingForFlow
	case st.State == api.StateRunning:
		return true, api.ReasonRunning
	case st.State == api.StateExited:
		return false, r.Run.Ended
	default:
		return false, map[string]string{
			api.StateCreated: api.ReasonCreated, api.StateStopped: api.ReasonStopped, api.StatePaused: api.ReasonPaused,
			api.StateRestarting: api.ReasonBackOff, api.StateRemoving: api.ReasonRemoving, api.StateDead: api.ReasonDead,
		}[st.State]
	}
}

// availability reports whether a run is ready and has lasted.
func availability(r *store.Record, o *Observation, ready bool, why string) (bool, string) {
	switch {
	case !ready:
		return false, why
	case r.Run.Available == Run(o.Current):
		return true, api.ReasonLasting
	}
	return false, api.ReasonMonitoringRun
}

// crashLoop is how many exits in a row make a loop.
const crashLoop = 2

// CrashLoops reports whether the container ends again and again. What is paused does not.
func CrashLoops(r *store.Record) bool {
	return r.Run.Streak >= crashLoop && r.Run.Ended == "" && WantsRun(r) && r.Status.State != api.StatePaused && r.Status.Condition(api.Available).Status != api.True
}

// trouble is one thing that is wrong.
type trouble struct{ reason, message string }

// degraded is the worst of what is wrong; the rest stands in its message.
func degraded(r *store.Record, o *Observation) (reason, message string) {
	all := troubles(r, o)
	if len(all) == 0 {
		return api.ReasonAsExpected, ""
	}
	said := all[0].message
	for _, t := range all[1:] {
		said += fmt.Sprintf("; besides, %s: %s", t.reason, t.message)
	}
	return all[0].reason, said
}

func troubles(r *store.Record, o *Observation) []trouble {
	var all []trouble
	add := func(yes bool, reason, message string) {
		if yes {
			all = append(all, trouble{reason, message})
		}
	}
	failure := func(t *store.Track) {
		if f := t.Failure; f != nil {
			add(true, f.Reason, f.Message)
		}
	}
	failure(&r.Tracks.Removal)
	failure(&r.Tracks.Process)
	add(r.Run.Suspected >= engineLost && WantsRun(r) && r.DeletedAt == nil, api.ReasonEngineLost,
		"the engine was lost each time that this container alone was being started, so it is not started any more; start it explicitly once the cause is mended")
	add(r.Status.State == api.StateExited && r.Run.Ended != Completed, r.Run.Ended, exitMessage(r))
	add(CrashLoops(r), api.ReasonCrashLoop, ExitSaid(r))
	failure(&r.Tracks.Update)
	why := TakenBack(r)
	add(r.Tracks.Update.Failure == nil && why != "", api.ReasonUpdateFailed, why+said(r.Trial(Template(r)).Exit))
	failure(&r.Tracks.Settings)
	add(MountLost(r, o), api.ReasonSocketLost, "the folder of the flow's socket was made anew, and the container still has the old one; its next start gives it the new one")
	failure(&r.Tracks.Name)
	return all
}

func exitMessage(r *store.Record) string {
	if r.Status.ExitCode == nil {
		return ""
	}
	return fmt.Sprintf("it exited with code %d after %d restarts%s", *r.Status.ExitCode, r.Status.RestartCount, said(r.Run.Exit))
}

// ExitSaid is a sentence about the newest of the exits in a row, with the last that the flow said.
func ExitSaid(r *store.Record) string {
	cause := "it ended"
	if r.Run.Exit != nil {
		cause = r.Run.Exit.Cause
	}
	return fmt.Sprintf("%s, %d times in a row%s", cause, r.Run.Streak, said(r.Run.Exit))
}

// maxSaid is how much of a last line a message quotes.
const maxSaid = 500

// said quotes the last line of a run.
func said(e *store.Exit) string {
	if e == nil || len(e.Lines) == 0 {
		return ""
	}
	line := e.Lines[len(e.Lines)-1]
	return "; its last line was: " + strings.ToValidUTF8(line[:min(len(line), maxSaid)], "")
}

// activities tells people what became of a container whose status was old.
func activities(r *store.Record, old *api.Status) []api.Event {
	var events []api.Event
	tell := func(kind, what string) {
		events = append(events, api.Activity{ActivityType: kind, ContainerID: r.ID, Message: r.Name + " " + what,
			Details: map[string]any{"name": r.Name, "image": r.Spec.Image}}.Event())
	}
	now := r.Status.State
	if old.ObservedGeneration == 0 && r.Status.ObservedGeneration > 0 && r.Status.DockerID != "" {
		tell(api.ActivityCreated, "was created")
	}
	if now == api.StateRunning && old.State != now {
		tell(api.ActivityStarted, "is running")
	}
	if now == api.StateStopped && (old.State == api.StateRunning || old.State == api.StatePaused) {
		tell(api.ActivityStopped, "was stopped")
	}
	return events
}

// warnings tell of a container that is not well, where its status did not tell so before. What the check said is masked already.
func warnings(r *store.Record, old *api.Status, c *Container) []api.Event {
	if c == nil || !c.Alive() || c.Health != api.HealthUnhealthy || old.Health == api.HealthUnhealthy {
		return nil
	}
	warning := api.HealthWarning{ContainerID: r.ID, Health: c.Health, FailingStreak: c.FailingStreak, Output: c.HealthOutput}
	activity := api.Activity{ActivityType: api.ActivityHealth, ContainerID: r.ID, Message: r.Name + " is unhealthy",
		Details: map[string]any{"name": r.Name, "failing_streak": c.FailingStreak, "on_unhealthy": r.Spec.RestartPolicy.OnUnhealthy}}
	return []api.Event{warning.Event(), activity.Event()}
}

// crash are the events of an exit that nobody asked for; one with code 0 is no crash, nor is an interruption, nor what is
// decided anew about a container that never ran.
func crash(r *store.Record, c *Container, said *store.Exit, e exit, at Instant) []api.Event {
	if c == nil || c.Alive() || !c.Ran() || c.Interrupted || c.ExitCode == 0 && !c.OOMKilled || said == nil {
		return nil
	}
	lines := said.Lines
	if lines == nil {
		lines = []string{}
	}
	crash := api.Crash{ContainerID: r.ID, ExitCode: c.ExitCode, OOMKilled: c.OOMKilled, RestartCount: r.Status.RestartCount,
		Details: api.CrashDetails{Error: said.Cause, Logs: lines}}
	if e.ended == "" {
		crash.RestartCount, crash.NextRestartAt = crash.RestartCount+1, timePointer(at.Wall(at.Now.Add(e.delay)))
	}
	activity := api.Activity{ActivityType: api.ActivityCrash, ContainerID: r.ID, Message: r.Name + " crashed: " + crash.Details.Error,
		Details: map[string]any{"name": r.Name, "exit_code": c.ExitCode, "oom_killed": c.OOMKilled, "streak": e.streak, "ended": e.ended}}
	return []api.Event{crash.Event(), activity.Event()}
}

func updateFailed(r *store.Record, why, what string) api.Event {
	return api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID, Message: "the update of " + r.Name + " " + what + ": " + why,
		Details: map[string]any{"error_type": api.DockerAPIError, "reason": api.ReasonUpdateFailed, "name": r.Name}}.Event()
}

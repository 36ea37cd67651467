package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// observe brings a record's status up to what was seen, given the step that plan decided upon next. It is pure but for
// the record it edits.
func observe(r *store.Record, s sight, next step, now time.Time) {
	copyFacts(r, s.standing)
	if r.Failure == nil || r.Failure.Generation != r.Generation {
		r.Status.LastError = lastError(r, now)
	}
	r.Status.State = state(r, s.standing, next)
	if next.action == nothing {
		converged(r, now)
	} else if next.action == wait && r.Failure == nil && r.StopDeadline == nil && r.DeletedAt == nil && !onTrial(r) {
		r.Status.ObservedGeneration = r.Generation
	}
	if o := s.standing; o != nil && s.ready && r.Spec.Readiness == api.ReadinessSocket {
		r.ReadyRun = run(o)
	}
	conditions(r, s, next, s.standing != nil && r.ReadyRun == run(s.standing), now)
}

// converged is what holds when there is nothing to do.
func converged(r *store.Record, now time.Time) {
	r.Failure, r.Status.LastError = nil, lastError(r, now)
	r.Status.ObservedGeneration = r.Generation
	outcome := store.Outcome{Generation: r.Generation, State: r.Status.State}
	if e := r.Status.LastError; e != nil {
		outcome.ErrorType, outcome.Message = e.ErrorType, e.Message
	}
	if r.Ended != "" && r.Ended != "Completed" {
		outcome.ErrorType, outcome.Message = api.DockerAPIError, exitMessage(r)
	}
	r.Conclude(outcome)
}

// lastError is what stays wrong though there is nothing to do: a template that was taken back.
func lastError(r *store.Record, now time.Time) *api.LastError {
	why := takenBack(r)
	switch old := r.Status.LastError; {
	case why == "":
		return nil
	case old != nil && old.Message == why:
		return old
	}
	return &api.LastError{ErrorType: api.DockerAPIError, Message: why, At: now.UTC()}
}

func copyFacts(r *store.Record, o *Observed) {
	st := &r.Status
	if o == nil {
		st.DockerID, st.Health, st.RunningGeneration, st.Ports, st.ImageID, st.ImageDigest, st.CodeRevision = "", api.HealthNone, 0, nil, "", "", ""
		st.StartedAt = nil
		return
	}
	st.DockerID, st.RunningGeneration, st.Ports = o.DockerID, r.Placement.Generation, r.Placement.Ports
	st.ImageID, st.ImageDigest = o.ImageID, r.Placement.ImageDigest
	st.CodeRevision = r.Placement.Code
	if alive(o) {
		st.CodeRevision = r.Placement.Runs
	}
	st.Health = api.HealthNone
	if alive(o) && o.Health != "" {
		st.Health = o.Health
	}
	st.StartedAt = timePointer(o.StartedAt)
	if alive(o) {
		st.NextRestartAt = nil
	}
	copyExit(st, o)
}

// copyExit tells how the newest run ended, and nothing of one that goes on. That its memory had run out stays known: the
// engine's events, which may be the only ones to tell, are forgotten.
func copyExit(st *api.Status, o *Observed) {
	known := st.OOMKilled && st.FinishedAt != nil && st.FinishedAt.Equal(o.FinishedAt)
	st.FinishedAt, st.ExitCode, st.OOMKilled = nil, nil, false
	if !alive(o) && !o.StartedAt.IsZero() {
		code := o.ExitCode
		st.FinishedAt, st.ExitCode, st.OOMKilled = timePointer(o.FinishedAt), &code, o.OOMKilled || known
	}
}

func timePointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func state(r *store.Record, o *Observed, next step) string {
	wantsRun := r.Spec.DesiredState == api.DesiredRunning || r.Spec.DesiredState == api.DesiredPaused
	switch {
	case r.DeletedAt != nil:
		return api.StateRemoving
	case o != nil && (o.State == "running" || o.State == "restarting"):
		return api.StateRunning
	case o != nil && o.State == "paused":
		return api.StatePaused
	case o != nil && o.State == "dead":
		return api.StateDead
	case wantsRun && r.Ended != "":
		return api.StateExited
	case wantsRun && (r.Status.RestartCount > 0 || o != nil && !o.StartedAt.IsZero()):
		return api.StateRestarting
	case r.Spec.DesiredState == api.DesiredStopped:
		return api.StateStopped
	}
	return api.StateCreated
}

func conditions(r *store.Record, s sight, next step, said bool, now time.Time) {
	set := func(kind string, yes bool, reason, message string) {
		status := api.False
		if yes {
			status = api.True
		}
		r.Status.SetCondition(api.Condition{Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: r.Generation, LastTransitionAt: now.UTC()})
	}
	ready, why := readiness(r, said)
	set(api.Ready, ready, why, "")
	busy, doing, until := progress(r, s, next)
	set(api.Progressing, busy, doing, until)
	if f := r.Failure; f != nil && r.Status.LastError != nil {
		set(api.Degraded, true, f.Reason, r.Status.LastError.Message)
	} else if r.Status.LastError != nil {
		set(api.Degraded, true, "UpdateFailed", r.Status.LastError.Message)
	} else if r.Status.State == api.StateExited && why != "Completed" {
		set(api.Degraded, true, why, exitMessage(r))
	} else {
		set(api.Degraded, false, "AsExpected", "")
	}
}

func readiness(r *store.Record, said bool) (bool, string) {
	switch st := &r.Status; {
	case st.State == api.StateRunning && st.Health == api.HealthStarting:
		return false, "HealthStarting"
	case st.State == api.StateRunning && st.Health == api.HealthUnhealthy:
		return false, "Unhealthy"
	case st.State == api.StateRunning && r.Spec.Readiness == api.ReadinessSocket && !said:
		return false, "WaitingForFlow"
	case st.State == api.StateRunning:
		return true, "Running"
	case st.State == api.StateExited:
		return false, r.Ended
	default:
		return false, map[string]string{
			api.StateCreated: "Created", api.StateStopped: "Stopped", api.StatePaused: "Paused",
			api.StateRestarting: "BackOff", api.StateRemoving: "Removing", api.StateDead: "Dead",
		}[st.State]
	}
}

func exitMessage(r *store.Record) string {
	if r.Status.ExitCode == nil {
		return ""
	}
	return fmt.Sprintf("it exited with code %d after %d restarts", *r.Status.ExitCode, r.Status.RestartCount)
}

func progress(r *store.Record, s sight, next step) (busy bool, reason, message string) {
	switch {
	case next.action == nothing:
		return false, "Settled", ""
	case next.action == pulling:
		return true, "Pulling", "the image is being pulled"
	case next.action == copying:
		return true, "CopyingCode", "the code is being copied"
	case next.action == wait && r.StopDeadline != nil:
		return true, "Stopping", "it is killed at " + next.until.UTC().Format(time.RFC3339)
	case next.action == wait && onTrial(r):
		return true, "Monitoring", "the update has proven itself at " + next.until.UTC().Format(time.RFC3339)
	case next.action == wait && r.Failure != nil:
		return true, "Retrying", "the next attempt is due at " + next.until.UTC().Format(time.RFC3339)
	case next.action == wait && s.removing():
		return true, "Removing", "the engine is removing its container" // no time: each look would write another one
	case next.action == wait:
		return true, "BackOff", "it is started at " + next.until.UTC().Format(time.RFC3339)
	case next.action == intend || next.action == create || next.action == record:
		return true, "Creating", ""
	}
	return true, "Acting", ""
}

// removing tells whether one of the record's own containers is on its way out already.
func (s sight) removing() bool {
	return s.standing != nil && s.standing.State == "removing" ||
		slices.ContainsFunc(s.former, func(o Observed) bool { return o.State == "removing" })
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

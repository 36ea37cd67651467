package controller

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// planStart decides whether and when a container that is not running is started.
func planStart(r *store.Record, o *Observed, now time.Time) step {
	next := r.Status.NextRestartAt
	switch {
	case o.Interrupted && r.Handled != asked(o) && r.Handled != interrupted(o):
		return step{action: count, on: o, cause: api.CauseRecovery}
	case r.Ended != "" && r.EndedUnder != r.Spec.RestartPolicy:
		return step{action: count, on: o, cause: api.CauseDeclaration}
	case r.Ended != "" && settled(r, o):
		return step{}
	case o.StartedAt.IsZero(), r.Handled == asked(o):
		return step{action: start, on: o, cause: why(r)}
	case r.Handled == interrupted(o):
		return step{action: start, on: o, cause: api.CauseRecovery}
	case r.Handled != run(o):
		return step{action: count, on: o, cause: api.CauseExit}
	case next != nil && now.Before(*next):
		return step{action: wait, until: *next}
	}
	return step{action: start, on: o, cause: api.CauseExit}
}

// settled tells whether what ended a container was its newest run, and not one before somebody else started it. One that was
// made anew has not run.
func settled(r *store.Record, o *Observed) bool {
	return o.StartedAt.IsZero() || r.Handled == run(o) || r.Handled == interrupted(o)
}

// asked stands in Tracking.Handled for a run whose end does not count, because an explicit start came after it.
func asked(o *Observed) string { return "asked:" + run(o) }

// interrupted stands in Tracking.Handled for a run that was found to have been interrupted.
func interrupted(o *Observed) string { return "interrupted:" + run(o) }

// run names one run of one container.
func run(o *Observed) string {
	return o.DockerID[:min(12, len(o.DockerID))] + "@" + o.StartedAt.UTC().Format(time.RFC3339Nano)
}

// verdict is what the restart policy says about an exit: a restart at next, or none because of ended.
type verdict struct {
	handled string
	counted *time.Time // for Tracking.CountedEnd
	streak  int
	next    time.Time
	ended   string
}

// judge applies the restart policy to a run that ended by itself.
func judge(r *store.Record, o *Observed, now time.Time) verdict {
	switch {
	case o.StartedAt.IsZero():
		return reconsider(r, now)
	case o.Interrupted:
		return excuse(r, o, now)
	}
	v := verdict{handled: run(o), streak: r.Status.CrashStreak}
	if r.Handled != run(o) { // else it was counted, under another policy
		v.streak++
	}
	ended := o.FinishedAt
	if alive(o) { // it is about to be ended because it is not well
		ended = now
	}
	v.counted = timePointer(ended)
	if ended.Sub(o.StartedAt) >= longRun {
		v.streak = 1
	}
	policy := r.Spec.RestartPolicy
	switch {
	case policy.Name == api.RestartNever, policy.Name == api.RestartOnFailure && o.ExitCode == 0 && !alive(o):
		v.ended = "Completed"
		if o.ExitCode != 0 {
			v.ended = "Failed"
		}
	case policy.MaxAttempts > 0 && v.streak > policy.MaxAttempts:
		v.ended = "GaveUp"
	default:
		v.next = now.Add(restartDelay(r.ID, v.streak))
	}
	return v
}

// reconsider applies another restart policy to an end of which nothing is left to see, because the container was made anew
// since.
func reconsider(r *store.Record, now time.Time) verdict {
	v := verdict{handled: r.Handled, counted: r.CountedEnd, streak: r.Status.CrashStreak, ended: r.Ended}
	switch policy := r.Spec.RestartPolicy; {
	case policy.Name == api.RestartNever, policy.Name == api.RestartOnFailure && r.Ended == "Completed":
	case policy.MaxAttempts > 0 && v.streak > policy.MaxAttempts:
		v.ended = "GaveUp"
	default:
		v.ended, v.next = "", now
	}
	return v
}

// excuse applies the restart policy to a run that was interrupted. It counts for no streak, also where it was counted
// before anybody knew, or another run was before it that was interrupted as well.
func excuse(r *store.Record, o *Observed, now time.Time) verdict {
	v := verdict{handled: interrupted(o), streak: r.Status.CrashStreak, next: now}
	if r.Handled == run(o) || o.InterruptedBefore {
		v.streak = max(v.streak-1, 0)
	}
	if r.Spec.RestartPolicy.Name == api.RestartNever {
		v.ended = "Interrupted"
	}
	return v
}

package controller

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// action is one thing to do; the zero value is nothing.
type action string

const (
	nothing action = ""
	wait    action = "wait"    // until the step's time
	intend  action = "intend"  // write a create intent
	create  action = "create"  // make the intended container
	record  action = "record"  // write the Docker id of the container that the intent led to
	listen  action = "listen"  // open the flow's socket
	start   action = "start"   // give it a process
	signal  action = "stop"    // ask to stop and note the deadline
	kill    action = "kill"    // the deadline is past
	settle  action = "settle"  // note that what was asked to stop has stopped
	count   action = "exit"    // note an exit nobody asked for
	wake    action = "wake"    // note an explicit start
	renew   action = "renew"   // note which run a restart replaces
	renewed action = "renewed" // the restart is done, or no longer wanted
	freeze  action = "pause"   // stop its process without ending it
	unpause action = "unpause" // let it go on
	limit   action = "limit"   // change limits in place
	rename  action = "rename"  // give the container its name back
	remove  action = "remove"  // take a container away
	forget  action = "forget"  // a superseded container is gone
	bury    action = "bury"    // nothing is left: drop the record
)

// step is what plan decided: an action, upon which container, why, and for wait until when.
type step struct {
	action action
	on     *Observed
	cause  string
	detail string
	until  time.Time
}

// sight is what was seen of one record's containers.
type sight struct {
	standing *Observed  // the one of the current placement
	former   []Observed // those of superseded placements
	foreign  []Observed // those that bear its labels and are not its own
	deaf     bool       // nobody listens at the flow's socket
}

// look sorts what bears the record's id into what is its own and what is not.
func look(r *store.Record, seen []Observed) sight {
	var s sight
	for i := range seen {
		o := seen[i]
		switch {
		case r.Placement.Owns(o.Token, o.DockerID, o.Name):
			s.standing = &o
		case r.Owns(o.Token, o.DockerID, o.Name):
			s.former = append(s.former, o)
		default:
			s.foreign = append(s.foreign, o)
		}
	}
	return s
}

// plan decides the next action for a record. It is a pure function: whatever it needs to know is an argument, and the same
// arguments give the same step.
func plan(r *store.Record, s sight, now time.Time) step {
	next := decide(r, s, now)
	if s.deaf && hears(r, s, next) {
		return step{action: listen, cause: api.CauseRecovery}
	}
	return next
}

// hears tells whether a flow's socket has to be there by now: before its container is made or started, and at rest.
func hears(r *store.Record, s sight, next step) bool {
	return next.action == create || next.action == start || next.action == nothing && s.standing != nil && r.DeletedAt == nil
}

func decide(r *store.Record, s sight, now time.Time) step {
	if f := r.Failure; f != nil && f.Generation == r.Generation && now.Before(f.RetryAt) {
		return step{action: wait, until: f.RetryAt}
	}
	if len(s.former) > 0 {
		return retire(r, &s.former[0], now)
	}
	if len(unseen(r.Superseded)) < len(r.Superseded) {
		return step{action: forget}
	}
	if r.DeletedAt != nil {
		return planDelete(r, s, now)
	}
	if s.standing == nil {
		return planAbsent(r)
	}
	return planStanding(r, s.standing, now)
}

// maxUnseen is how many intents that led to nothing yet are kept for a container that may still come of them.
const maxUnseen = 4

// unseen are the placements that no container is known of: the engine may finish a create long after we stopped waiting for it.
func unseen(superseded []store.Placement) []store.Placement {
	var kept []store.Placement
	for _, p := range superseded {
		if p.DockerID == "" {
			kept = append(kept, p)
		}
	}
	return kept[max(0, len(kept)-maxUnseen):]
}

// planDelete ends with a tombstone once nothing is left.
func planDelete(r *store.Record, s sight, now time.Time) step {
	if s.standing == nil {
		return step{action: bury, cause: api.CauseDeclaration}
	}
	return retire(r, s.standing, now)
}

// retire stops a container and takes it away.
func retire(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case alive(o):
		return stopping(r, o, now)
	case o.State == "removing":
		return step{action: wait, until: now.Add(time.Second)}
	}
	return step{action: remove, on: o, cause: api.CauseDeclaration}
}

func alive(o *Observed) bool {
	return o.State == "running" || o.State == "paused" || o.State == "restarting"
}

// stopping asks, waits for the deadline, and kills.
func stopping(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case o.State == "paused":
		return step{action: unpause, on: o, cause: api.CauseDeclaration, detail: "a paused container cannot hear that it shall stop"}
	case r.StopDeadline == nil:
		return step{action: signal, on: o, cause: api.CauseDeclaration}
	case now.Before(*r.StopDeadline):
		return step{action: wait, until: *r.StopDeadline}
	}
	return step{action: kill, on: o, cause: api.CauseDeclaration, detail: "it did not stop within its grace"}
}

// planAbsent makes the container. A placement that has a Docker id and no container was removed behind our back.
func planAbsent(r *store.Record) step {
	p := &r.Placement
	switch {
	case p.Token == "":
		return step{action: intend, cause: api.CauseDeclaration}
	case p.DockerID != "":
		return step{action: intend, cause: api.CauseDrift, detail: "the container was removed behind our back"}
	case !current(r):
		return step{action: intend, cause: api.CauseDeclaration}
	}
	return step{action: create, cause: why(r)}
}

// why tells drift from a declaration: what is to be done now though the newest generation was seen done already, an
// outside hand has undone.
func why(r *store.Record) string {
	if r.Status.ObservedGeneration >= r.Generation && r.Failure == nil {
		return api.CauseDrift
	}
	return api.CauseDeclaration
}

// current tells whether the placement was made from a template that serves the declaration.
func current(r *store.Record) bool {
	return r.Placement.TemplateHash == api.TemplateHash(&r.Spec) &&
		api.ResourceCost(r.Placement.Resources, r.Spec.Resources) < api.CostRecreate
}

func planStanding(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case r.Placement.DockerID == "":
		return step{action: record, on: o, cause: api.CauseRecovery}
	case !current(r):
		return retire(r, o, now)
	case o.State == "dead" || o.State == "removing":
		next := retire(r, o, now)
		next.cause = api.CauseDrift
		return next
	case r.StopDeadline != nil && alive(o):
		return stopping(r, o, now)
	case r.StopDeadline != nil:
		return step{action: settle, on: o}
	case o.Name != r.Placement.DockerName:
		return step{action: rename, on: o, cause: api.CauseDrift, detail: "it was renamed to " + o.Name}
	case r.Placement.Resources != r.Spec.Resources:
		return step{action: limit, on: o, cause: api.CauseDeclaration}
	}
	return planProcess(r, o, now)
}

func planProcess(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case r.Wake > r.WakeSeen:
		return step{action: wake}
	case r.Restart > r.RestartSeen:
		return step{action: renew, on: o, cause: api.CauseRestart}
	case r.RestartFrom != "":
		return planRestart(r, o, now)
	}
	return planDesired(r, o, now)
}

// planRestart replaces the noted run by another one of the same container.
func planRestart(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case r.RestartFrom != run(o) && !alive(o) && !r.RestartAsked: // an outside hand's, over before it was seen
		return step{action: renew, on: o, cause: api.CauseRestart}
	case r.RestartFrom != run(o), r.Spec.DesiredState != api.DesiredRunning:
		return step{action: renewed, on: o, cause: api.CauseRestart}
	case alive(o):
		next := stopping(r, o, now)
		next.cause = api.CauseRestart
		return next
	}
	return step{action: start, on: o, cause: api.CauseRestart}
}

func planDesired(r *store.Record, o *Observed, now time.Time) step {
	switch r.Spec.DesiredState {
	case api.DesiredCreated, api.DesiredStopped:
		if alive(o) {
			next := stopping(r, o, now)
			next.cause = why(r)
			return next
		}
		return step{}
	case api.DesiredPaused:
		if o.State == "running" {
			return step{action: freeze, on: o, cause: why(r)}
		}
		if o.State == "paused" {
			return step{}
		}
	}
	if o.State == "paused" {
		return step{action: unpause, on: o, cause: why(r)}
	}
	if alive(o) {
		return step{}
	}
	return planStart(r, o, now)
}

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
	if o.FinishedAt.Sub(o.StartedAt) >= longRun {
		v.streak = 1
	}
	policy := r.Spec.RestartPolicy
	switch {
	case policy.Name == api.RestartNever, policy.Name == api.RestartOnFailure && o.ExitCode == 0:
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
	v := verdict{handled: r.Handled, streak: r.Status.CrashStreak, ended: r.Ended}
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
// before anybody knew.
func excuse(r *store.Record, o *Observed, now time.Time) verdict {
	v := verdict{handled: interrupted(o), streak: r.Status.CrashStreak, next: now}
	if r.Handled == run(o) {
		v.streak = max(v.streak-1, 0)
	}
	if r.Spec.RestartPolicy.Name == api.RestartNever {
		v.ended = "Interrupted"
	}
	return v
}

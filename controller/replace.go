package controller

import (
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// A container whose template has changed is replaced: the next one is made beside it under a name of its own; then the
// standing one is stopped, the two change names, and the next one is started and watched. What stood before is kept until
// then, and takes over again where the new one does not stay up. Where only the code differs, the next one is the same
// container: it is given other code, stopped and started, and what stood before is itself with its old code. Each of these steps is written down before the one that
// follows, so that dying between any two is repaired by planning again.

// planChange decides the next step towards a container of another template; nothing where none is wanted, or none any more.
func planChange(r *store.Record, s sight, now time.Time) step {
	switch {
	case current(r) || exhausted(r):
		if r.Next.Token != "" {
			return step{action: discard}
		}
		return step{}
	case held(r, now):
		return step{action: wait, until: r.Failure.RetryAt}
	case serves(&r.Prev, r):
		return step{action: revert, cause: api.CauseDeclaration, update: true}
	case fits(&r.Placement, &r.Spec) && r.Next.Token != "":
		return step{action: discard}
	case fits(&r.Placement, &r.Spec):
		return step{action: recode, on: s.standing, cause: api.CauseDeclaration, update: true}
	}
	if next := planNext(r, s, nothing); next.action != nothing {
		return next
	}
	return planHandover(r, s, now)
}

// planNext makes the next container; then is what follows once it is there.
func planNext(r *store.Record, s sight, then action) step {
	next := step{cause: api.CauseDeclaration, next: true, update: true}
	switch {
	case !serves(&r.Next, r), s.next == nil && r.Next.DockerID != "":
		next.action = prepare
	case s.next == nil:
		next.action = create
	case s.next.State == "dead" || s.next.State == "removing":
		next.action = prepare
	case r.Next.DockerID == "":
		next.action, next.on, next.cause = record, s.next, api.CauseRecovery
	default:
		next.action, next.on = then, s.next
	}
	return next
}

// planHandover stops the standing container for the next one. That it is kept from its work, and for which, is counted before.
func planHandover(r *store.Record, s sight, now time.Time) step {
	o := s.standing
	switch {
	case interrupts(r, o) && r.Trial(template(r)).Token != r.Next.Token:
		return step{action: attempt, cause: api.CauseDeclaration}
	case !alive(o):
		return step{action: swap, on: s.next, cause: api.CauseDeclaration}
	}
	next := stopping(r, o, now)
	next.detail = "it makes room for its update"
	return next
}

// interrupts tells whether what stands does its work and would be kept from it by another container in its place, or by other
// code: it runs, or it is known to work and about to be started.
func interrupts(r *store.Record, o *Observed) bool {
	due := r.Placement.Stable && r.Ended == "" && r.Status.CrashStreak == 0
	return wantsRun(r) && (alive(o) || due)
}

// template names what the spec asks a container to be made from and to run.
func template(r *store.Record) string { return templateName(api.TemplateHash(&r.Spec), r.Code) }

// madeFrom is template for what a container was made from and was given to run.
func madeFrom(p *store.Placement) string { return templateName(p.TemplateHash, p.AskedBy) }

func templateName(hash string, code int64) string {
	if code == 0 {
		return hash
	}
	return fmt.Sprintf("%s-%d", hash, code)
}

func wantsRun(r *store.Record) bool {
	return r.Spec.DesiredState == api.DesiredRunning || r.Spec.DesiredState == api.DesiredPaused
}

// exhausted tells whether what is declared was tried as often as it may be, and taken back. It is tried all the same where
// what stands is not known to work either.
func exhausted(r *store.Record) bool {
	t := r.Trial(template(r))
	return t.Failed != "" && t.Attempts >= max(r.Spec.UpdatePolicy.MaxAttempts, 1) && !current(r) && r.Placement.Stable
}

// aside is the name of a container that does not stand yet, former that of one that does not any more. They differ, for a
// create that the engine finishes late may still take the first.
func aside(r *store.Record, token string) string { return r.Name + "." + token }

func former(r *store.Record, token string) string { return aside(r, token) + ".former" }

// onTrial tells whether the standing container has yet to prove itself.
func onTrial(r *store.Record) bool { return r.Prev.Token != "" }

// lost tells whether a container on trial could not be started.
func lost(r *store.Record) bool {
	return onTrial(r) && r.Failure != nil && r.Failure.Generation == r.Generation && r.Failure.Action == string(start)
}

// planTrial judges a container that took the place of another one. Undecided means that it is treated like any other.
func planTrial(r *store.Record, o *Observed, now time.Time) (next step, decided bool) {
	switch {
	case lost(r) && r.Status.LastError != nil:
		return failed(r, r.Status.LastError.Message), true
	case alive(o):
		return planWatch(r, o, now), true
	case r.Ended != "" && settled(r, o): // interrupted, and its policy does not start it again: nothing more will come
		return step{action: accept, cause: api.CauseDeclaration}, true
	case o.StartedAt.IsZero(), o.Interrupted, r.Handled == asked(o), r.Handled == interrupted(o):
		return step{}, false
	case judge(r, o, now).ended == "Completed":
		return step{action: accept, cause: api.CauseDeclaration}, true
	}
	return failed(r, api.NewRedactor(r.Spec.Environment).Text(crashCause(o))), true
}

// planWatch watches a container on trial while it runs.
func planWatch(r *store.Record, o *Observed, now time.Time) step {
	proven, deadline := o.StartedAt.Add(monitor(r)), o.StartedAt.Add(deadline(r))
	switch {
	case checked(o) && o.Health != api.HealthHealthy && !now.Before(deadline):
		return failed(r, "it was not healthy in time")
	case checked(o) && o.Health != api.HealthHealthy:
		return step{action: wait, until: deadline}
	case now.Before(proven):
		return step{action: wait, until: proven}
	}
	return step{action: accept, cause: api.CauseDeclaration}
}

// failed is what the update policy makes of a container that did not prove itself.
func failed(r *store.Record, why string) step {
	if r.Spec.UpdatePolicy.OnFailure == api.OnFailurePause {
		return step{action: accept, cause: api.CauseDeclaration, detail: why}
	}
	return step{action: revert, cause: api.CauseExit, detail: why}
}

// planProven notes when a container has run for as long as an update is watched: a rollback goes only to such a one.
func planProven(r *store.Record, o *Observed, now time.Time) step {
	proven := o.StartedAt.Add(monitor(r))
	switch {
	case r.Placement.Stable, checked(o) && o.Health != api.HealthHealthy:
		return step{}
	case now.Before(proven):
		return step{until: proven}
	}
	return step{action: prove}
}

// checked tells whether the engine checks a container's health.
func checked(o *Observed) bool { return o.Health != "" && o.Health != api.HealthNone }

func monitor(r *store.Record) time.Duration {
	if r.Spec.UpdatePolicy.Monitor == nil {
		return 0
	}
	return time.Duration(*r.Spec.UpdatePolicy.Monitor) * time.Second
}

// Docker's own values of a healthcheck that names none.
const (
	healthInterval = 30
	healthTimeout  = 30
	healthRetries  = 3
)

// deadline is when a container on trial has to be healthy: what is declared, or as long as the engine may need to find out.
func deadline(r *store.Record) time.Duration {
	seconds := r.Spec.UpdatePolicy.Deadline
	if seconds == 0 {
		h := api.Healthcheck{}
		if r.Spec.Healthcheck != nil {
			h = *r.Spec.Healthcheck
		}
		seconds = h.StartPeriod + (orElse(h.Interval, healthInterval)+orElse(h.Timeout, healthTimeout))*(orElse(h.Retries, healthRetries)+1)
	}
	return time.Duration(seconds)*time.Second + monitor(r)
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// takenBack says why what is declared is not what stands, or stands though it failed; "" where neither is so.
func takenBack(r *store.Record) string {
	t := r.Trial(template(r))
	if t.Failed == "" {
		return ""
	}
	if current(r) {
		return fmt.Sprintf("the update has failed and is left as it is: %s", t.Failed)
	}
	return fmt.Sprintf("the update was taken back: %s; declare another one, or update_container with retry to try this one again", t.Failed)
}

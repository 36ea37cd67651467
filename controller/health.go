package controller

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// hear takes in what the flow itself says: whether it is ready, and whether it is silent for too long. It is called before plan
// with what is standing, and makes silence a matter of health like any other.
func (k *Controller) hear(r *store.Record, s *sight, now time.Time) {
	o := s.standing
	if o == nil || !alive(o) {
		return
	}
	last, ready := k.Endpoints.Heard(r.ID)
	s.ready = !ready.IsZero() && !ready.Before(o.StartedAt)
	if r.Spec.Liveness == nil {
		return
	}
	limit := time.Duration(r.Spec.Liveness.Heartbeat) * time.Second
	spoke := !last.IsZero() && !last.Before(o.StartedAt)
	o.Health, s.look = liveness(o.Health, spoke, silentFrom(last, o.StartedAt, k.began).Add(limit), now)
	if s.look.IsZero() {
		s.look = now.Add(limit)
	}
}

// silentFrom is when a flow's silence began: with its last word, with its start, or with this process, which heard nothing before.
func silentFrom(moments ...time.Time) time.Time {
	var newest time.Time
	for _, at := range moments {
		if at.After(newest) {
			newest = at
		}
	}
	return newest
}

// liveness is a flow's health where silence is a matter of it, and when it will be too long; zero where it is already.
func liveness(engines string, spoke bool, deadline, now time.Time) (health string, due time.Time) {
	switch {
	case !now.Before(deadline):
		return api.HealthUnhealthy, time.Time{}
	case engines == api.HealthUnhealthy || engines == api.HealthStarting:
		return engines, deadline
	case spoke:
		return api.HealthHealthy, deadline
	}
	return api.HealthStarting, deadline
}

// Look has a container looked at: its flow has said something that may matter. It never blocks.
func (k *Controller) Look(id string) { k.queue.Add(id) }

// planHealth restarts a container that runs and is not well, where that is declared. It shares the backoff of exits: the run
// is counted first, then stopped, and the next one waits like after any crash.
func planHealth(r *store.Record, o *Observed, now time.Time) (next step, decided bool) {
	policy := r.Spec.RestartPolicy
	switch {
	case o.Health != api.HealthUnhealthy && r.Handled != run(o), policy.OnUnhealthy != api.UnhealthyRestart, policy.Name == api.RestartNever:
		return step{}, false
	case r.Handled != run(o):
		return step{action: count, on: o, cause: api.CauseUnhealthy}, true
	case r.Ended != "": // given up
		return step{}, false
	}
	next = stopping(r, o, now)
	next.cause = api.CauseUnhealthy
	return next, true
}

// warnings tell of a container that is not well, where its status did not tell so before.
func warnings(r *store.Record, old *api.Status, o *Observed, redactor api.Redactor) []api.Event {
	if o == nil || !alive(o) || o.Health != api.HealthUnhealthy || old.Health == api.HealthUnhealthy {
		return nil
	}
	output := redactor.Text(o.HealthOutput)
	warning := api.HealthWarning{ContainerID: r.ID, Health: o.Health, FailingStreak: o.FailingStreak, Output: output}
	activity := api.Activity{ActivityType: api.ActivityHealth, ContainerID: r.ID, Message: r.Name + " is unhealthy",
		Details: map[string]any{"name": r.Name, "failing_streak": o.FailingStreak, "on_unhealthy": r.Spec.RestartPolicy.OnUnhealthy}}
	return []api.Event{warning.Event(), activity.Event()}
}

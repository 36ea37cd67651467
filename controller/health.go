package controller

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// addHealth adds to an observation what the flow itself says: whether it is ready, and whether it is silent for too long. It
// makes silence a matter of health like any other.
func (k *Controller) addHealth(r *store.Record, o *plan.Observation) {
	c := o.Current
	if c == nil || !c.Alive() {
		return
	}
	last, ready := k.Endpoints.Heard(r.ID)
	age := o.At.Now.Sub(c.Began)
	within := func(at time.Time) bool { return !at.IsZero() && time.Since(at) <= age }
	o.Ready, o.Connected = within(ready), within(last) || k.Endpoints.Connected(r.ID)
	if r.Spec.Liveness == nil {
		return
	}
	silence := min(age, o.Uptime) // nobody listened before this process did
	if within(last) {
		silence = min(silence, time.Since(last))
	}
	limit := time.Duration(r.Spec.Liveness.Heartbeat) * time.Second
	c.Health, o.SilenceLeft = liveness(c.Health, within(last), limit-silence, limit)
}

// liveness is a flow's health where silence is a matter of it, and how long until it is to be looked at again.
func liveness(engines string, spoke bool, left, limit time.Duration) (health string, again time.Duration) {
	switch {
	case left <= 0:
		return api.HealthUnhealthy, limit
	case engines == api.HealthUnhealthy || engines == api.HealthStarting:
		return engines, left
	case spoke:
		return api.HealthHealthy, left
	}
	return api.HealthStarting, left
}

// Look has a container looked at: its flow has said something that may matter. It never blocks.
func (k *Controller) Look(id string) { k.queue.Add(id) }

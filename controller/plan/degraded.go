package plan

import (
	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// PlanDegraded is Plan for while the store cannot be written: nothing but the restart of what has ended by itself.
func PlanDegraded(r *store.Record, o *Observation) Step {
	c, rest := o.Current, Step{}
	switch {
	case c == nil, c.Alive(), c.State != "exited", r.Current.DockerID == "", r.Handover != nil:
		return rest
	case r.DeletedAt != nil, r.Spec.DesiredState != api.DesiredRunning, r.Current.Stop != nil, r.Run.RestartFrom != "", !r.Run.Begun:
		return rest // it is not to run, or was not running by itself
	case stale(r):
		return rest
	}
	v := process(r, o)
	v.step.Track = Process
	switch {
	case v.step.Action == RecordExit, v.step.Action == Forgive, !v.acts():
	case restarts(&v.step):
		if v = ready(r, o, v); v.step.Action == Start && detached(r, c) {
			v = networked(r, o, v)
		}
	default:
		return rest // that is no restart
	}
	if v.acts() {
		v.step.Asked, v.step.Generation, v.step.Input = r.Asked, r.Generation, input(r, v.step.Track)
		return v.step
	}
	rest.Rests[Process] = v.waiting
	return rest
}

// networked has what is about to start attached to its network first, unless that has failed just now.
func networked(r *store.Record, o *Observation, start verdict) verdict {
	if _, is := held(r, o, Settings); is {
		return start
	}
	v := do(Connect, o.Current, api.CauseRecovery)
	v.step.Track = Settings
	return v
}

// restarts reports whether a step is the start of what has ended by itself.
func restarts(s *Step) bool {
	return s.Action == Start && (s.Cause == api.CauseExit || s.Cause == api.CauseRecovery || s.Cause == api.CauseUnhealthy)
}

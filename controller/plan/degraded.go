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
	v.step.Track, v.step.Asked, v.step.Generation, v.step.Input = Process, r.Asked, r.Generation, input(r, Process)
	rest.Rests[Process] = v.waiting
	switch v.step.Action {
	case RecordExit, Forgive:
		return v.step
	case Start:
		if v.step.Cause == api.CauseExit || v.step.Cause == api.CauseRecovery || v.step.Cause == api.CauseUnhealthy {
			return ready(r, o, v.step)
		}
	}
	return rest // that is no restart
}

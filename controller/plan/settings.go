package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// settings keeps what can be changed about a standing container as it is to be: limits, the engine's restart policy, the
// network, and the folder of its socket.
func settings(r *store.Record, o *Observation) verdict {
	c := o.Current
	if c == nil || r.Current.DockerID == "" || r.Current.Stop != nil || c.State == "dead" || c.State == "removing" {
		return idle()
	}
	if w, is := held(r, o, Settings); is {
		return waits(w)
	}
	wanted := WantedLimits(r)
	switch {
	case detached(r, c) && !c.Alive() && WantsRun(r): // a start that failed may have taken it off; the next one is not to go without
		return do(Connect, c, api.CauseRecovery).because("it is not attached to its network " + WantedNetwork(r))
	case detached(r, c):
		return repair(r, o, Settings, do(Connect, c, api.CauseDrift).because("it is not attached to its network "+WantedNetwork(r)))
	case r.Current.Resources != wanted:
		return do(Limit, c, api.CauseDeclaration)
	case drifted(c, wanted):
		return repair(r, o, Settings, do(Limit, c, api.CauseDrift).because(fmt.Sprintf("its limits or its restart policy were changed to %+v, %q", c.Limits, c.RestartPolicy)))
	case MountLost(r, o) && renewable(r, o):
		if left := renewalDue(r, o); left > 0 {
			return waits(Waiting{Left: left})
		}
		return repair(r, o, Settings, do(Renew, c, api.CauseDrift).because("the folder of its socket was made anew, and it has the old one"))
	}
	return idle()
}

// WantedLimits are those of the generation that stands: what is declared, where the current container serves it, and else what
// it was made with.
func WantedLimits(r *store.Record) api.Resources {
	if Fits(&r.Current, &r.Spec) {
		return r.Spec.Resources
	}
	return r.Current.Resources
}

// drifted reports whether somebody else has changed what the engine holds the container to. A limit that is not declared may
// be set: it cannot be taken away in place.
func drifted(c *Container, wanted api.Resources) bool {
	differs := func(declared, seen int64) bool { return declared > 0 && seen >= 0 && seen != declared }
	known := c.RestartPolicy != ""
	return known && (c.RestartPolicy != "no" || differs(wanted.MemoryBytes, c.Limits.MemoryBytes) || differs(wanted.NanoCPUs, c.Limits.NanoCPUs) ||
		differs(wanted.PidsLimit, c.Limits.PidsLimit))
}

// detached reports whether the container is not attached to the network that it is to have.
func detached(r *store.Record, c *Container) bool {
	network := WantedNetwork(r)
	if c.Networks == nil || network == "" || network == api.NetworkNone || network == api.NetworkHost {
		return false
	}
	return !slices.Contains(c.Networks, network)
}

// WantedNetwork is that of the generation that stands, "" where it is not known.
func WantedNetwork(r *store.Record) string {
	if Fits(&r.Current, &r.Spec) {
		return r.Spec.Network
	}
	return r.Current.Network
}

// MountLost reports whether the container runs with another folder than the one that the flow's socket is in now.
func MountLost(r *store.Record, o *Observation) bool {
	return o.Current != nil && o.Current.Alive() && r.Current.Mount != "" && o.Mount != "" && r.Current.Mount != o.Mount
}

// renewable reports whether the flow needs its socket enough to be restarted for it, and is not being restarted anyway.
func renewable(r *store.Record, o *Observation) bool {
	return r.Spec.DesiredState == api.DesiredRunning && r.Handover == nil && r.Run.RestartFrom == "" &&
		(r.Run.Connected || o.Connected || r.Spec.Readiness == api.ReadinessSocket || r.Spec.Liveness != nil)
}

// renewalSpread is over how long the restarts are spread of flows that have lost their sockets while the manager was away.
const renewalSpread = 30 * time.Second

func renewalDue(r *store.Record, o *Observation) time.Duration {
	return time.Duration(fraction(r.ID, 0)%uint32(renewalSpread/time.Millisecond))*time.Millisecond - o.Uptime
}

// name gives the containers their names.
func name(r *store.Record, o *Observation) verdict {
	if w, is := held(r, o, Name); is {
		return waits(w)
	}
	return rename(r, o)
}

// rename decides the next change of a name. What stood before makes room first.
func rename(r *store.Record, o *Observation) verdict {
	if c := o.Previous; c != nil && r.Previous.DockerID != "" && r.Previous.Token != r.Current.Token && c.Name != former(r, r.Previous.Token) {
		v := do(Rename, c, api.CauseUpdate)
		v.step.Name = former(r, r.Previous.Token)
		return v
	}
	c := o.Current
	if slices.ContainsFunc(o.Superseded, func(c Container) bool { return c.Name == r.Name }) {
		return idle() // it makes room first
	}
	if c == nil || r.Current.DockerID == "" || c.Name == r.Name || c.State == "removing" || c.State == "dead" {
		return idle()
	}
	v := do(Rename, c, api.CauseUpdate)
	if c.Name != Aside(r, r.Current.Token) && c.Name != former(r, r.Current.Token) {
		v = do(Rename, c, api.CauseDrift).because("it was renamed to " + c.Name)
	}
	v.step.Name = r.Name
	return repair(r, o, Name, v)
}

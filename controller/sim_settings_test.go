//go:build sim

package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// simUse is how much memory a process takes whose name is simGlutton: the engine does not hold it to less while it runs.
const (
	simGlutton = "db"
	simUse     = 96 << 20
)

// refusesLocked reports whether the engine does not hold a container to limits.
func (e *simEngine) refusesLocked(c *simContainer, r api.Resources) bool {
	return e.refused[c.template.Name].After(time.Now()) || c.alive() && c.template.Name == simGlutton && r.MemoryBytes > 0 && r.MemoryBytes < simUse
}

// limitLocked is `docker update`: what is zero stays.
func (e *simEngine) limitLocked(c *simContainer, r api.Resources) error {
	e.court.limits(c, r)
	if e.refusesLocked(c, r) {
		return errEngine
	}
	c.limited = r
	if r.MemoryBytes != 0 {
		c.Limits.MemoryBytes = r.MemoryBytes
	}
	c.Limits.PidsLimit, c.RestartPolicy = r.PidsLimit, "no"
	e.tellLocked(c, Changed)
	return nil
}

// limits holds that a container is not given the limits of a template that it is not of.
func (c *court) limits(o *simContainer, r api.Resources) {
	d := c.model.all[o.ID]
	if d == nil || d.unsure != nil || time.Since(d.changed) <= simSlack || o.Hash == api.TemplateHash(&d.spec) {
		return
	}
	if r == d.spec.Resources && r != o.limited {
		c.violate("%s is given the limits of what it is not", o.Name)
	}
}

// alterLocked is somebody else's `docker update`.
func (e *simEngine) alterLocked(c *simContainer, arg int) {
	if arg&1 == 0 {
		c.Limits.PidsLimit = 7
	} else {
		c.RestartPolicy = "always"
	}
	if c.template.Spec.Resources.MemoryBytes > 0 && arg&2 == 0 {
		c.Limits.MemoryBytes = 32 << 20
	}
	e.tellLocked(c, Changed)
}

// connectLocked attaches a container to a network.
func (e *simEngine) connectLocked(c *simContainer, network string) error {
	if slices.Contains(c.Networks, network) {
		return ErrConflict
	}
	c.Networks = []string{network}
	return nil
}

// disconnectLocked takes a container off all its networks. No event of the container tells of that.
func (e *simEngine) disconnectLocked(c *simContainer) {
	c.Networks = []string{}
}

// settingsAsDeclared tells how what the engine holds a container to differs from what stands.
func settingsAsDeclared(c *simContainer, wanted api.Resources, r *store.Record) error {
	differs := func(declared, held int64) bool { return declared > 0 && declared != held }
	switch {
	case differs(wanted.MemoryBytes, c.Limits.MemoryBytes), differs(wanted.PidsLimit, c.Limits.PidsLimit):
		return fmt.Errorf("its limits are %+v and not %+v", c.Limits, wanted)
	case c.RestartPolicy != "no":
		return fmt.Errorf("the engine's own policy for it is %q", c.RestartPolicy)
	case !slices.Contains(c.Networks, r.Spec.Network):
		return fmt.Errorf("it is attached to %v and not to %s", c.Networks, r.Spec.Network)
	}
	return nil
}

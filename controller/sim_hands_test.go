//go:build sim

package controller

import (
	"errors"
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// hand is what somebody else does to a container of ours.
func (e *simEngine) hand(kind, name string, arg int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.oursLocked(name)
	switch kind {
	case "hand-take", "hand-leave":
		e.squatLocked(kind, name, c)
		return
	case "hand-borrow": // the name is taken and given back
		e.squatLocked("hand-take", name, c)
		e.borrowed[name] = true
		time.AfterFunc([4]time.Duration{20 * time.Millisecond, 2 * time.Second, 15 * time.Second, 4 * time.Minute}[arg%4], func() { e.hand("hand-leave", name, 0) })
		return
	}
	if c == nil {
		return
	}
	e.court.touched(c.ID, kind)
	switch kind {
	case "exit":
		e.endLocked(c, [4]int{0, 1, 137, 3}[arg%4])
	case "hand-stop":
		if c.alive() && c.State == "running" {
			e.endLocked(c, 143)
		}
	case "hand-kill":
		e.endLocked(c, 137)
	case "hand-remove":
		e.endLocked(c, 137)
		e.court.removed(c)
		e.dropLocked(c)
	case "hand-start":
		_ = e.startLocked(c, true) // where it cannot be started, the hand is told so
	case "hand-restart":
		if c.State == "running" {
			e.endLocked(c, 143)
			_ = e.startLocked(c, true) // where it cannot be started, the hand is told so
		}
	case "hand-pause":
		_ = e.pauseLocked(c)
	case "hand-unpause":
		_ = e.unpauseLocked(c)
	case "health":
		if c.State == "running" {
			c.Health = [4]string{api.HealthStarting, api.HealthHealthy, api.HealthUnhealthy, api.HealthUnhealthy}[arg%4]
			e.court.file(c.ID).failed[c.Hash] = true
			if c.Health == api.HealthUnhealthy {
				e.court.falls(c)
			}
			e.tellLocked(c, Changed)
		}
	case "hand-limit":
		e.alterLocked(c, arg)
	case "hand-disconnect":
		e.disconnectLocked(c)
	case "hand-rename":
		e.carryOffLocked(c, fmt.Sprintf("%s-%d", name, arg))
	case "hand-copy":
		e.copyLocked(c, fmt.Sprintf("copy-%d", e.serial))
	}
}

// carryOffLocked renames a container.
func (e *simEngine) carryOffLocked(c *simContainer, name string) {
	c.carried = e.renameLocked(c, name) == nil || c.carried
}

// copyLocked is `docker commit` and a run of the image: another container with the same labels.
func (e *simEngine) copyLocked(c *simContainer, name string) {
	copied := e.addLocked(name)
	copied.ID, copied.Token, copied.Hash, copied.Instance, copied.Flow = c.ID, c.Token, c.Hash, c.Instance, c.Flow
	copied.State, copied.StartedAt = "running", e.stampLocked()
	copied.born = copied.Container
	e.tellLocked(copied, Changed)
}

// squatLocked puts a foreign container under a name of ours, or takes it away again.
func (e *simEngine) squatLocked(kind, name string, ours *simContainer) {
	holder, err := e.findLocked(name)
	switch {
	case kind == "hand-leave" && err == nil && !holder.ours:
		e.dropLocked(holder)
		return
	case kind == "hand-leave":
		return
	case err == nil && holder.ours:
		e.carryOffLocked(holder, name+"-moved")
	}
	if ours != nil {
		e.court.touched(ours.ID, kind)
	}
	if _, err := e.findLocked(name); errors.Is(err, ErrAbsent) {
		c := e.addLocked(name)
		c.State, c.StartedAt = "running", e.stampLocked()
		c.born = c.Container
	}
}

// brokenLocked tells whether a container cannot be started.
func (e *simEngine) brokenLocked(dockerID string) bool {
	c, ok := e.containers[dockerID]
	return ok && c.template.Spec.Image == "broken"
}

// squatter tells whether somebody else has a name.
func (e *simEngine) squatterLocked(name string) bool {
	c, err := e.findLocked(name)
	return err == nil && !c.ours
}

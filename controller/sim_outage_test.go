//go:build sim

package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// stopping sees the engine begin to end containers, for it is being stopped.
func (c *court) stopping(lasts time.Duration) {
	c.outage()
	for id := range c.model.all {
		c.file(id).doubt = time.Now().Add(lasts)
	}
}

// completes notes which runs were told to have completed.
func (c *court) completes() {
	if c.model.life.isDead() {
		return // nobody is told what it finds out
	}
	for id, d := range c.model.all {
		r, ok := c.model.life.store.Get(id)
		f := c.file(id)
		if asked := ok && (r.Asked.Start > r.Done.Start || r.Asked.Restart > r.Done.Restart); ok && !asked && d.unsure == nil && !f.halted[f.run] && r.Run.Ended == plan.Completed && r.Run.ID == f.run && r.Status.ObservedGeneration == d.generation {
			f.done = f.run
		}
	}
}

// signalLocked asks all processes to end, as an engine does that is being stopped.
func (e *simEngine) signalLocked() {
	for _, c := range e.containers {
		if c.alive() {
			e.tellLocked(c, Killed)
			c.signalled = c.run
			e.court.halts(c)
		}
	}
}

// halts notes that the engine has asked a run to end, whichever comes first, that or its own end. One that was counted before, because
// it was not well, stays counted.
func (c *court) halts(o *simContainer) {
	run := plan.Run(&o.Container)
	if r, ok := c.model.life.store.Get(o.ID); ok && slices.ContainsFunc(r.Run.Counted, func(end store.CountedEnd) bool { return end.Run == run }) {
		return
	}
	c.file(o.ID).halted[run] = true
}

// stopLocked ends those that were asked.
func (e *simEngine) stopLocked(code int) {
	for _, c := range e.containers {
		if c.alive() && c.signalled == c.run {
			e.endLocked(c, code)
			c.born.State, c.born.ExitCode, c.born.FinishedAt = c.State, c.ExitCode, c.FinishedAt
		}
	}
}

// blamed tells of an end that is held against a container though the engine was stopped.
func (c *court) blamed(r *store.Record) error {
	for _, end := range r.Run.Counted {
		// A manager that was not there when the clock was set back does not know from when to when the engine was away.
		if w := c.model.life.world; c.file(r.ID).halted[end.Run] && (w.lives == 1 || w.engine.skew.Load() >= 0) {
			return fmt.Errorf("that the engine was stopped counts as an exit of it: %s", end.Run)
		}
	}
	return nil
}

package controller

import (
	"context"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// replace writes what a step of a replacement changes. None of them asks the engine for anything.
func (k *Controller) replace(ctx context.Context, r *store.Record, s sight, next step) error {
	switch next.action {
	case recode:
		return k.recode(ctx, r, s)
	case discard:
		return k.edit(ctx, r, func(c *store.Record) {
			c.Supersede(c.Next)
			c.Next = store.Placement{}
		})
	case attempt:
		return k.edit(ctx, r, func(c *store.Record) {
			t := c.Trial(template(r))
			c.NoteTrial(store.Trial{Template: t.Template, Attempts: t.Attempts + 1, Token: r.Next.Token})
		})
	case swap:
		return k.edit(ctx, r, handOver)
	case accept:
		return k.accept(ctx, r, next.detail)
	case revert:
		return k.revert(ctx, r, s, next)
	case again:
		return k.edit(ctx, r, func(c *store.Record) {
			c.RetrySeen, c.Failure = r.Retry, nil
			c.NoteTrial(store.Trial{Template: template(r)})
		})
	}
	return k.edit(ctx, r, func(c *store.Record) { c.Placement.Stable = true })
}

// handOver makes the next container the standing one. The one before is kept where it is known to work and was stopped for
// this; else nothing could be gone back to.
func handOver(c *store.Record) {
	old, tried := c.Placement, c.Trial(template(c)).Token == c.Next.Token
	switch {
	case onTrial(c) && c.Prev.Token == old.Token: // it is kept with the code that it was known to work with
		c.Prev.Runs, c.Prev.DockerName = old.Runs, former(c, old.Token)
	case tried && old.Stable && !onTrial(c):
		old.DockerName = former(c, old.Token)
		c.Prev = old
	default:
		c.Supersede(old)
	}
	c.Placement, c.Next = c.Next, store.Placement{}
	c.Placement.DockerName = c.Name
	c.StopDeadline = nil
	forgive(c)
}

// accept ends a trial. With why, the container stays though it has failed.
func (k *Controller) accept(ctx context.Context, r *store.Record, why string) error {
	var events []api.Event
	if why != "" {
		events = append(events, updateFailed(r, why, "is left as it is"))
	}
	return k.edit(ctx, r, func(c *store.Record) {
		t := c.Trial(madeFrom(&c.Placement))
		supersedePrev(c)
		c.Prev, c.Failure = store.Placement{}, nil
		c.Placement.Stable = why == ""
		if t.Failed = why; why == "" {
			t.Attempts = 0
		}
		c.NoteTrial(t)
	}, events...)
}

// revert lets what stood before take over again: because the one on trial failed, or because it is declared again.
func (k *Controller) revert(ctx context.Context, r *store.Record, s sight, next step) error {
	var events []api.Event
	if next.detail != "" {
		events = append(k.trialCrash(ctx, r, s), updateFailed(r, next.detail, "was taken back"))
	}
	now := time.Now().UTC()
	did := k.lastAction(r, revert, next, now)
	return k.edit(ctx, r, func(c *store.Record) {
		failed := madeFrom(&c.Placement)
		takeOver(c)
		c.StopDeadline = nil
		forgive(c)
		if s.prev != nil {
			c.Handled = asked(s.prev)
		}
		c.Status.LastAction = did
		if next.detail != "" {
			k.takeBack(c, failed, next.detail, now)
		}
	}, events...)
}

// supersedePrev lets go of what stood before, where that is another container.
func supersedePrev(c *store.Record) {
	if c.Prev.Token != c.Placement.Token {
		c.Supersede(c.Prev)
	}
}

// takeOver lets what stood before stand again.
func takeOver(c *store.Record) {
	if c.Prev.Token == c.Placement.Token {
		c.Prev.Runs = c.Placement.Runs
	} else {
		c.Supersede(c.Placement)
	}
	c.Placement, c.Prev = c.Prev, store.Placement{}
	c.Placement.DockerName = c.Name
}

// takeBack notes that an attempt at a template has failed, and when the next one is due, where one is left. What is declared by
// now may be another one, which nothing is known against.
func (k *Controller) takeBack(c *store.Record, failed, why string, now time.Time) {
	t := c.Trial(failed)
	t.Failed = why
	c.NoteTrial(t)
	if failed == template(c) && !exhausted(c) {
		c.Failure = &store.Failure{Generation: c.Generation, Attempts: t.Attempts, Reason: "UpdateFailed", Action: string(revert), Update: true,
			RetryAt: now.Add(retryDelay(c.ID, t.Attempts))}
		c.Status.LastError = &api.LastError{ErrorType: api.DockerAPIError, Message: takenBack(c), At: now}
	}
}

// trialCrash tells of the end of a container on trial like of any other.
func (k *Controller) trialCrash(ctx context.Context, r *store.Record, s sight) []api.Event {
	if s.standing == nil || alive(s.standing) {
		return nil
	}
	return k.crash(ctx, r, s.standing, verdict{ended: "UpdateFailed"})
}

func updateFailed(r *store.Record, why, what string) api.Event {
	return api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID, Message: "the update of " + r.Name + " " + what + ": " + why,
		Details: map[string]any{"error_type": api.DockerAPIError, "reason": "UpdateFailed", "name": r.Name}}.Event()
}

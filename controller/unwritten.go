package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// While the store cannot be written, nothing is stopped, replaced or removed, for what is done could not be noted. What may be
// done without a note on disk is starting a container again that has ended by itself: its intent and its Docker id are there
// already. The exit and the backoff are kept in memory and written as soon as a commit works. Where the process dies before,
// the exits of that time were not counted; no container is made or started twice for it.

// unwrittenPace is how often a record is looked at meanwhile; what the flow does wakes it as ever.
const unwrittenPace = 2 * time.Second

// unwritten holds, by id, the controller's half of records as it is to be written. Nobody else writes that half.
type unwritten struct {
	mu    sync.Mutex
	notes map[string]note
}

type note struct {
	status   api.Status
	tracking store.Tracking
	events   []api.Event // of the newest exit
}

func newUnwritten() *unwritten { return &unwritten{notes: map[string]note{}} }

// recall is a record as it would be, had it been written.
func (u *unwritten) recall(r *store.Record) *store.Record {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, ok := u.notes[r.ID]
	if !ok {
		return r
	}
	next := *r
	next.Status, next.Tracking = n.status, n.tracking
	return &next
}

// jot notes what edit makes of a recalled record, and returns that.
func (u *unwritten) jot(r *store.Record, edit func(*store.Record), events ...api.Event) *store.Record {
	next := *r
	edit(&next)
	u.mu.Lock()
	defer u.mu.Unlock()
	n := note{next.Status, next.Tracking, events}
	if len(events) == 0 {
		n.events = u.notes[r.ID].events
	}
	u.notes[r.ID] = n
	return &next
}

func (u *unwritten) take(id string) (note, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, ok := u.notes[id]
	return n, ok
}

func (u *unwritten) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.notes, id)
}

// catchUp writes what could not be written of a record, before anything else is decided about it.
func (k *Controller) catchUp(ctx context.Context, id string) error {
	n, ok := k.unwritten.take(id)
	if !ok {
		return nil
	}
	_, err := k.Store.Observe(ctx, id, func(c *store.Record) []api.Event {
		c.Status, c.Tracking = n.status, n.tracking
		return n.events
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("write what happened while the store could not be written: %w", err)
	}
	k.unwritten.forget(id)
	return nil
}

// keepUp is reconcile for while the store cannot be written.
func (k *Controller) keepUp(ctx context.Context, id string) (time.Duration, error) {
	committed, ok := k.Store.Get(id)
	if !ok {
		return unwrittenPace, nil // what is left of a deleted container stays for now
	}
	r, now := k.unwritten.recall(committed), time.Now()
	s, err := k.see(ctx, r, now)
	if err != nil {
		return 0, err
	}
	next := planUnwritten(r, s, now)
	switch next.action {
	case count:
		v := judge(r, next.on, now)
		k.unwritten.jot(r, func(c *store.Record) { noteExit(c, r, next.on, v) }, k.crash(ctx, r, next.on, v)...)
		return time.Millisecond, nil
	case start:
		return time.Millisecond, k.startUnwritten(ctx, r, s, next)
	case wait:
		return min(until(next, now), unwrittenPace), nil
	}
	return unwrittenPace, nil
}

// planUnwritten is plan for while the store cannot be written. It is a pure function.
func planUnwritten(r *store.Record, s sight, now time.Time) step {
	o := s.standing
	switch {
	case o == nil, alive(o), o.State != "exited", r.Placement.DockerID == "":
		return step{}
	case r.DeletedAt != nil, r.Spec.DesiredState != api.DesiredRunning, r.StopDeadline != nil, r.RestartFrom != "", !r.Ran:
		return step{} // it is not to run, or was not running by itself
	case held(r, now) && !r.Failure.Update:
		return step{action: wait, until: r.Failure.RetryAt}
	}
	next := planStart(r, o, now)
	if next.action == start && next.cause != api.CauseExit && next.cause != api.CauseRecovery {
		return step{} // that is no restart
	}
	return next
}

// startUnwritten starts a container that has ended by itself.
func (k *Controller) startUnwritten(ctx context.Context, r *store.Record, s sight, next step) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := k.startAgain(ctx, r, s, next.on)
	k.observer.mark(r.ID, next.on.DockerID)
	now := time.Now().UTC()
	log := k.logFor(r).With().Str("operation", string(start)).Str("cause", next.cause).Logger()
	if err != nil {
		log.Warn().Err(err).Msg("it could not be started again; trying again later, though the store cannot be written")
		k.unwritten.jot(r, func(c *store.Record) { failedStart(c, now) })
		return nil
	}
	log.Info().Msg("started again, though the store cannot be written")
	if next.cause == api.CauseExit {
		k.metrics.restarted.Observe(now.Sub(next.on.FinishedAt).Seconds())
	}
	k.unwritten.jot(r, func(c *store.Record) {
		c.Boot, c.Failure = k.Boot, nil
		c.Status.LastAction = &api.LastAction{Action: string(start), Cause: next.cause, Detail: next.detail, At: now}
	})
	return nil
}

// startAgain is what start does, but for what it notes.
func (k *Controller) startAgain(ctx context.Context, r *store.Record, s sight, o *Observed) error {
	if s.deaf {
		if err := k.listen(r); err != nil {
			return err
		}
	}
	spec, _, err := k.specOf(r)
	if err != nil {
		return err
	}
	if err := k.permit(ctx, r, &r.Placement, spec); err != nil {
		return err
	}
	return k.Runtime.Start(ctx, o.DockerID)
}

// failedStart puts the next attempt off. What was wrong is found out when it can be written.
func failedStart(c *store.Record, now time.Time) {
	attempts := 1
	if c.Failure != nil && c.Failure.Generation == c.Generation {
		attempts = c.Failure.Attempts + 1
	}
	c.Failure = &store.Failure{Generation: c.Generation, Attempts: attempts, Reason: "StartFailed", Action: string(start), RetryAt: now.Add(retryDelay(c.ID, attempts))}
}

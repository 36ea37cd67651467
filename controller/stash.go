package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// While the store cannot be written, nothing is stopped, replaced or removed, for what is done could not be noted. What may be
// done without a note on disk is starting a container again that has ended by itself: its intent and its Docker id are there
// already. The exit and the backoff are kept in memory and written as soon as a commit works. Where the process dies before,
// the exits of that time were not counted; no container is made or started twice for it.

// degradedInterval is how often a record is looked at meanwhile; what the flow does wakes it as ever.
const degradedInterval = 2 * time.Second

// stash holds, by id, the controller's half of records as it is to be written. Nobody else writes that half.
type stash struct {
	mu    sync.Mutex
	notes map[string]stashed
}

type stashed struct {
	status   api.Status
	tracking store.Tracking
	events   []api.Event // of the newest exit
}

func newStash() *stash { return &stash{notes: map[string]stashed{}} }

// overlay is a record as it would be, had it been written.
func (s *stash) overlay(r *store.Record) *store.Record {
	n, ok := s.get(r.ID)
	if !ok {
		return r
	}
	next := *r
	next.Status, next.Tracking = n.status, n.tracking
	return &next
}

// put notes what a step does to an overlaid record.
func (s *stash) put(r *store.Record, next *plan.Step, res *plan.Result, o *plan.Observation) {
	c := *r
	events := plan.Apply(&c, next, res, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(events) == 0 {
		events = s.notes[r.ID].events
	}
	s.notes[r.ID] = stashed{c.Status, c.Tracking, events}
}

func (s *stash) get(id string) (stashed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.notes[id]
	return n, ok
}

func (s *stash) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.notes, id)
}

// flush writes what could not be written of a record, before anything else is decided about it.
func (k *Controller) flush(ctx context.Context, id string) error {
	n, ok := k.stash.get(id)
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
	k.stash.forget(id)
	return nil
}

// reconcileDegraded is reconcile for while the store cannot be written.
func (k *Controller) reconcileDegraded(ctx context.Context, id string) (time.Duration, error) {
	committed, ok := k.Store.Get(id)
	if !ok {
		return degradedInterval, nil // what is left of a deleted container stays for now
	}
	r := k.stash.overlay(committed)
	if left := k.rates.due(r); left > 0 {
		return left, nil
	}
	o, err := k.observe(ctx, r)
	if err != nil {
		return 0, err
	}
	next := plan.PlanDegraded(r, o)
	if next.Resting() {
		return min(orDegradedInterval(next.Left()), degradedInterval), nil
	}
	return time.Millisecond, k.takeDegraded(ctx, r, &next, o)
}

func orDegradedInterval(left time.Duration) time.Duration {
	if left == 0 {
		return degradedInterval
	}
	return left
}

// takeDegraded takes one of the few steps that are taken while the store cannot be written.
func (k *Controller) takeDegraded(ctx context.Context, r *store.Record, next *plan.Step, o *plan.Observation) error {
	res, err := k.act(ctx, r, o, next)
	log := k.logFor(r).With().Str("operation", string(next.Action)).Str("cause", next.Cause).Logger()
	switch {
	case errors.Is(err, errCopying), errors.Is(err, errStateChanged):
		return nil
	case err != nil && unrelatedError(ctx, err):
		return err
	case err != nil:
		log.Warn().Err(err).Msg("this step did not work; trying again later, though the store cannot be written")
		reason, told := explain(next, r, err)
		res = k.refused(r, reason, told)
	case next.Action == plan.Start:
		log.Info().Msg("started again, though the store cannot be written")
	}
	if err == nil {
		k.measureRestart(next, o)
	}
	if res != nil {
		o.At = k.clock.now()
		k.stash.put(r, next, res, o)
	}
	return nil
}

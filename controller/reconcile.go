package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

const (
	// callTimeout bounds one engine call of a worker.
	callTimeout = 30 * time.Second
	// maxSteps bounds one turn; a plan that has not settled by then is put at the end of the queue.
	maxSteps = 12
)

// reconcile acts until there is nothing to do now or stopping ends, and says when to look again (0: when something happens).
func (k *Controller) reconcile(stopping, ctx context.Context, id string) (time.Duration, error) {
	for step := 0; step < maxSteps && stopping.Err() == nil; step++ {
		if k.Store.Err() != nil {
			return k.keepUp(ctx, id)
		}
		if err := k.catchUp(ctx, id); err != nil {
			return 0, err
		}
		r, ok := k.Store.Get(id)
		if !ok {
			return 0, k.reconcileDeleted(ctx, id)
		}
		now := time.Now()
		s, err := k.see(ctx, r, now)
		if err != nil {
			return 0, err
		}
		k.reportForeign(ctx, r, s.foreign)
		next := plan(r, s, now)
		if next.rests() {
			return until(next, now), k.write(ctx, r, s, next)
		}
		if err := k.do(ctx, r, s, next); err != nil {
			return 0, err
		}
	}
	return time.Millisecond, nil
}

// see gathers all that plan is to know beside the record.
func (k *Controller) see(ctx context.Context, r *store.Record, now time.Time) (sight, error) {
	seen, err := k.observer.see(ctx, r.ID)
	if err != nil {
		return sight{}, err
	}
	s := look(r, seen)
	s.deaf = !k.Endpoints.Listening(r.ID)
	if o := s.standing; o != nil && !alive(o) {
		o.Interrupted = k.observer.brokeAround(o.FinishedAt) || k.rebooted(r, o)
		o.InterruptedBefore = o.Interrupted && r.CountedEnd != nil && k.observer.brokeAround(*r.CountedEnd)
	}
	s.pulling = k.pullsFor(r, s.standing != nil)
	s.copying, s.checking = k.copiesFor(r)
	k.hear(r, &s, now)
	return s, nil
}

// rebooted tells whether a run ended because the host did. One whose end was settled before the host went down did not.
func (k *Controller) rebooted(r *store.Record, o *Observed) bool {
	settled := r.Handled == run(o) && r.Ended != ""
	return !o.StartedAt.IsZero() && r.Boot != "" && k.Boot != "" && r.Boot != k.Boot && !settled
}

func until(next step, now time.Time) time.Duration {
	if next.until.IsZero() {
		return 0
	}
	return max(next.until.Sub(now), time.Millisecond)
}

// write brings the status up to date; where nothing changed nothing is written.
func (k *Controller) write(ctx context.Context, r *store.Record, s sight, next step) error {
	now := time.Now()
	k.Fail("before-status")
	redactor := k.redactor(r)
	_, err := k.Store.Observe(ctx, r.ID, func(c *store.Record) []api.Event {
		if c.Generation != r.Generation {
			return nil // a newer declaration is in the queue; its turn writes
		}
		old := c.Status
		observe(c, s, next, now)
		k.measure(c, &old, now)
		return append(activities(c, &old), warnings(c, &old, s.standing, redactor)...)
	})
	k.Fail("after-status")
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// measure times what a status write completes.
func (k *Controller) measure(r *store.Record, old *api.Status, now time.Time) {
	if r.Status.ObservedGeneration > old.ObservedGeneration && r.Failure == nil {
		k.metrics.converged.Observe(now.Sub(r.DeclaredAt).Seconds())
	}
}

// do takes one step. What the engine refuses becomes the record's failure; that the engine is away is nobody's failure.
func (k *Controller) do(ctx context.Context, r *store.Record, s sight, next step) error {
	began := time.Now()
	err := k.act(ctx, r, s, next)
	log := k.logFor(r).With().Str("operation", string(next.action)).Str("cause", next.cause).Dur("took", time.Since(began)).Logger()
	switch {
	case errors.Is(err, errPulling), errors.Is(err, errCopying):
		log.Debug().Msg(err.Error())
		return nil
	case err == nil:
		log.Debug().Msg("done")
		return nil
	case ctx.Err() != nil, errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errUnsettled), isStoreError(err):
		return err
	}
	log.Warn().Err(err).Msg("this step did not work; trying again later")
	return k.fail(ctx, r, s, next, err)
}

func isStoreError(err error) bool {
	return errors.Is(err, store.ErrNotWritable) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrNotFound)
}

// fail notes what went wrong and when to try again.
func (k *Controller) fail(ctx context.Context, r *store.Record, s sight, next step, cause error) error {
	reason, told := explain(next, r, cause)
	if f := k.probe(ctx, r, next, cause); f != nil {
		reason, told = f.reason, f.told
	}
	now := time.Now().UTC()
	told = told.Masked(k.redactor(r))
	var events []api.Event
	if f := r.Failure; f == nil || f.Generation != r.Generation || f.Reason != reason {
		events = append(events, api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID, Message: told.Message,
			Details: map[string]any{"error_type": told.Type, "reason": reason, "name": r.Name}}.Event())
	}
	return k.edit(ctx, r, func(c *store.Record) {
		attempts := 1
		if c.Failure != nil && c.Failure.Generation == r.Generation {
			attempts = c.Failure.Attempts + 1
		}
		at := now.Add(retryDelay(c.ID, attempts))
		c.Failure = &store.Failure{Generation: r.Generation, Attempts: attempts, Reason: reason, Action: string(next.action), Update: next.update, RetryAt: at}
		c.Status.LastError = &api.LastError{ErrorType: told.Type, Message: told.Message, At: now}
		c.Status.ObservedGeneration = max(c.Status.ObservedGeneration, r.Generation)
		observe(c, s, step{action: wait, until: at}, now)
		c.Conclude(store.Outcome{Generation: r.Generation, State: c.Status.State, ErrorType: told.Type, Message: told.Message})
	}, events...)
}

// startFailed is the reason of a start that fails and nothing says why.
const startFailed = "StartFailed"

// explain gives an engine's refusal a reason and a sentence that says what to do.
func explain(next step, r *store.Record, err error) (reason string, told *api.Error) {
	if left, ok := errors.AsType[*leftoverError](err); ok {
		return left.explain()
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		switch e.Type {
		case api.PolicyError:
			return "PolicyViolation", e
		case api.SocketError:
			return "SocketFailed", e
		case api.ConflictError:
			if next.action == intend {
				return "NoFreePort", e
			}
			return "NameConflict", e
		}
		if reason, known := e.Details["reason"].(string); known {
			return reason, e
		}
		return "ActionFailed", e
	}
	if failed, ok := errors.AsType[*pullError](err); ok {
		return failed.explain(r)
	}
	if failed, ok := errors.AsType[*codeError](err); ok {
		return failed.explain(r)
	}
	switch {
	case next.action == create && errors.Is(err, ErrAbsent):
		missing := imageNotFound(r)
		return missing.reason, missing.told
	case next.action == create && errors.Is(err, ErrInvalid):
		return "InvalidSpec", api.Errorf(api.DockerAPIError, "the engine cannot make this container: %v", err)
	case next.action == start:
		return startFailed, api.Errorf(api.DockerAPIError, "the engine could not start the container: %v", err)
	}
	return "EngineError", api.Errorf(api.DockerAPIError, "the engine could not %s the container: %v", next.action, err)
}

// reconcileDeleted takes away what is left of a deleted container and reports what only looks like it.
func (k *Controller) reconcileDeleted(ctx context.Context, id string) error {
	seen, err := k.observer.see(ctx, id)
	if err != nil || len(seen) == 0 {
		return err
	}
	stone, known := k.Store.Tombstone(id)
	for i := range seen {
		o := &seen[i]
		if !known || !stone.Owns(o.Token, o.DockerID, o.Name) {
			k.reportStranger(o)
			continue
		}
		if err := k.collect(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (k *Controller) collect(ctx context.Context, o *Observed) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k.logID(o.ID).Info().Str("operation", "collect").Str("docker_id", o.DockerID).Msg("removing what is left of a deleted container")
	if alive(o) {
		if err := k.Runtime.Kill(ctx, o.DockerID, ""); err != nil && !gone(err) {
			return fmt.Errorf("kill a deleted container: %w", err)
		}
	}
	if err := k.Runtime.Remove(ctx, o.DockerID); err != nil && !gone(err) {
		return fmt.Errorf("remove a deleted container: %w", err)
	}
	k.observer.mark(o.ID, o.DockerID)
	return nil
}

// gone tells that an action found nothing to do: the container is absent or already in another state.
func gone(err error) bool { return errors.Is(err, ErrAbsent) || errors.Is(err, ErrConflict) }

// reportForeign tells once of each container that bears a record's labels but is not its own.
func (k *Controller) reportForeign(ctx context.Context, r *store.Record, foreign []Observed) {
	for i := range foreign {
		o := &foreign[i]
		if !k.observer.report(o.DockerID) {
			continue
		}
		k.logFor(r).Warn().Str("operation", "adopt").Str("docker_id", o.DockerID).Str("docker_name", o.Name).Msg("a foreign container bears this container's labels; it is left alone")
		event := api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID,
			Message: fmt.Sprintf("container %s bears the labels of %s but was not made for it; it is left alone", o.Name, r.Name),
			Details: map[string]any{"reason": "ForeignContainer", "docker_id": o.DockerID, "docker_name": o.Name}}.Event()
		if _, err := k.Store.Observe(ctx, r.ID, func(*store.Record) []api.Event { return []api.Event{event} }); err != nil {
			k.logFor(r).Warn().Err(err).Str("operation", "adopt").Msg("the foreign container could not be noted")
		}
	}
}

func (k *Controller) reportStranger(o *Observed) {
	if k.observer.report(o.DockerID) {
		k.logID(o.ID).Warn().Str("operation", "adopt").Str("docker_id", o.DockerID).Str("docker_name", o.Name).
			Msg("a container bears our labels and belongs to nothing declared here; it is left alone")
	}
}

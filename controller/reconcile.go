package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

const (
	// callTimeout bounds one engine call of a worker.
	callTimeout = 30 * time.Second
	// maxSteps bounds one reconcile; a plan that has not settled by then is put at the end of the queue.
	maxSteps = 12
)

// reconcile acts until there is nothing to do now or stopping ends, and says when to look again (0: when something happens).
func (k *Controller) reconcile(stopping, ctx context.Context, id string) (time.Duration, error) {
	ctx = owing(ctx, id)
	for step := 0; step < maxSteps && stopping.Err() == nil; step++ {
		if k.Store.Err() != nil {
			return k.reconcileDegraded(ctx, id)
		}
		if err := k.flush(ctx, id); err != nil {
			return 0, err
		}
		r, ok := k.Store.Get(id)
		if !ok {
			return k.reconcileDeleted(ctx, id)
		}
		if left := k.rates.due(r); left > 0 {
			return left, nil
		}
		o, err := k.observe(ctx, r)
		if err != nil {
			return 0, err
		}
		if latest, ok := k.Store.Get(id); k.Store.Err() != nil || !ok || latest.Revision != r.Revision {
			continue // the look at the engine took long, and something else is declared by now, or nothing can be written any more
		}
		k.reportForeign(ctx, r, o.Foreign)
		next := plan.Plan(r, o)
		if next.Resting() {
			return restFor(&next), k.rest(ctx, r, &next, o)
		}
		if err := k.takeStep(ctx, r, o, &next); err != nil {
			return 0, err
		}
	}
	return time.Millisecond, nil
}

// observe gathers all that plan is to know beside the record.
func (k *Controller) observe(ctx context.Context, r *store.Record) (*plan.Observation, error) {
	seen, err := k.observer.observe(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	o := plan.Classify(r, seen)
	o.At, o.Uptime, o.Boot, o.Outages = k.clock.now(), k.clock.uptime(), k.Boot, k.observer.newestOutages()
	o.SocketMissing = !k.Endpoints.Listening(r.ID)
	if !o.SocketMissing {
		o.Mount = k.Endpoints.Mount(r.ID)
	}
	if c := o.Current; c != nil && !c.Alive() {
		c.Interrupted = c.Ran() && (!c.Own && k.observer.duringOutage(c.FinishedAt) || k.rebooted(r, c))
	}
	o.StartDue = k.starts.due(r.ID)
	o.Pulling = k.pullsFor(r, o.Current != nil)
	o.Copying, o.Checking = k.copiesFor(r)
	k.addHealth(r, &o)
	return &o, nil
}

// rebooted reports whether a run ended because the host did. One whose end was settled before the host went down did not.
func (k *Controller) rebooted(r *store.Record, c *plan.Container) bool {
	settled := r.Run.ID == plan.Run(c) && r.Run.End == plan.EndCounted && r.Run.Ended != ""
	return r.Run.Boot != "" && k.Boot != "" && r.Run.Boot != k.Boot && !settled
}

func restFor(next *plan.Step) time.Duration {
	if left := next.Left(); left > 0 {
		return max(left, time.Millisecond)
	}
	return 0
}

// rest brings the status up to date; where nothing changed nothing is written.
func (k *Controller) rest(ctx context.Context, r *store.Record, next *plan.Step, o *plan.Observation) error {
	k.Fail("before-status")
	err := k.writeStep(ctx, r, next, &plan.Result{}, o)
	k.Fail("after-status")
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// writeStep writes what a step does to a record.
func (k *Controller) writeStep(ctx context.Context, r *store.Record, next *plan.Step, res *plan.Result, o *plan.Observation) error {
	var events []api.Event
	written, err := k.Store.Observe(ctx, r.ID, func(c *store.Record) []api.Event {
		old := c.Status
		events = plan.Apply(c, next, res, o)
		k.measure(c, &old, o.At)
		return events
	})
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	if written.Revision != r.Revision {
		k.rates.spend(r.ID)
	}
	k.tell(r, written, next, res, events)
	if letGo(r, written) {
		k.requestSweep()
	}
	k.recentActions.note(r.ID, written.Status.LastAction)
	return nil
}

// measure times what a status write completes.
func (k *Controller) measure(r *store.Record, old *api.Status, at plan.Instant) {
	if r.Status.ObservedGeneration > old.ObservedGeneration && len(r.Tracks.Trouble()) == 0 {
		k.metrics.converged.Observe(at.Wall(at.Now).Sub(r.DeclaredAt).Seconds())
	}
}

// takeStep takes one step. What the engine refuses becomes the failure of the step's track; that the engine is away is nobody's.
func (k *Controller) takeStep(ctx context.Context, r *store.Record, o *plan.Observation, next *plan.Step) error {
	began := time.Now()
	res, err := k.act(ctx, r, o, next)
	log := k.logFor(r).With().Str("operation", string(next.Action)).Str("cause", next.Cause).Dur("took", time.Since(began)).Logger()
	switch {
	case errors.Is(err, errPulling), errors.Is(err, errCopying), errors.Is(err, errStateChanged):
		log.Debug().Msg(err.Error())
		return nil
	case err == nil:
		log.Debug().Msg("done")
		return k.writeSuccess(ctx, r, next, res, o)
	case unrelatedError(ctx, err) && !k.silent(r, err):
		return err
	}
	log.Warn().Err(err).Msg("this step did not work; trying again later")
	reason, told := explain(next, r, err)
	if f := k.probe(ctx, r, next, err); f != nil {
		reason, told = f.reason, f.told
	}
	o.At = k.clock.now() // the wait for the next attempt begins now, however long this one took
	return k.writeStep(ctx, r, next, k.refused(r, reason, told), o)
}

// refused is what a step brought that did not work, masked.
func (k *Controller) refused(r *store.Record, reason string, told *api.Error) *plan.Result {
	told = told.Masked(k.redactor(r))
	return &plan.Result{Refused: &plan.Refusal{Reason: reason, Type: told.Type, Message: told.Message}}
}

// measureRestart times the start that follows an exit.
func (k *Controller) measureRestart(next *plan.Step, o *plan.Observation) {
	if next.Action == plan.Start && next.Cause == api.CauseExit {
		k.metrics.restarted.Observe(o.At.Wall(k.clock.now().Now).Sub(next.On.FinishedAt).Seconds())
	}
}

// silentTurns is how many turns in a row may end because the engine does not answer, before that is told as a failure.
const silentTurns = 3

// silent reports whether a step failed because the engine does not answer it, again and again, though it answers others.
func (k *Controller) silent(r *store.Record, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && !isStoreError(err) && k.observer.ready() && k.retryBackoffs.count(r.ID) >= silentTurns
}

// writeSuccess writes a step that worked.
func (k *Controller) writeSuccess(ctx context.Context, r *store.Record, next *plan.Step, res *plan.Result, o *plan.Observation) error {
	if res == nil {
		return nil // it is written already, or there is nothing to write
	}
	k.measureRestart(next, o)
	k.failAt(beforeNote(), next)
	res.Detail = k.redactor(r).Text(next.Detail) // it may quote a name that somebody else gave
	o.At = k.clock.now()
	err := k.writeStep(ctx, r, next, res, o)
	k.failAt(afterNote(), next)
	k.Fail("step-" + string(next.Action))
	return err
}

// failAt is where a test may want the process to die.
func (k *Controller) failAt(points map[plan.Action]string, next *plan.Step) {
	if point := points[next.Action]; point != "" {
		k.Fail(point)
	}
}

// beforeNote are points after the engine did as it was asked, and before that is written.
func beforeNote() map[plan.Action]string {
	return map[plan.Action]string{plan.Start: "after-start", plan.Stop: "during-stop", plan.Remove: "during-delete", plan.Rename: "after-rename", plan.Create: "after-create"}
}

// afterNote are points after something was written that the next step relies upon.
func afterNote() map[plan.Action]string {
	return map[plan.Action]string{plan.Intend: "after-intent", plan.IntendReplacement: "after-intent", plan.Create: "after-record"}
}

// unrelatedError reports whether an error says nothing of the record that a step was taken for.
func unrelatedError(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errUnsettled) || isStoreError(err)
}

func isStoreError(err error) bool {
	return errors.Is(err, store.ErrNotWritable) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrNotFound)
}

// explain gives an engine's refusal a reason and a sentence that says what to do.
func explain(next *plan.Step, r *store.Record, err error) (reason string, told *api.Error) {
	if left, ok := errors.AsType[*leftoverError](err); ok {
		return left.explain()
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		switch e.Type {
		case api.PolicyError:
			return api.ReasonPolicyViolation, e
		case api.SocketError:
			return api.ReasonSocketFailed, e
		case api.ConflictError:
			if next.Action == plan.Intend || next.Action == plan.IntendReplacement {
				return api.ReasonNoFreePort, e
			}
			return api.ReasonNameConflict, e
		}
		if reason, known := e.Details["reason"].(string); known {
			return reason, e
		}
		return api.ReasonActionFailed, e
	}
	if failed, ok := errors.AsType[*pullError](err); ok {
		return failed.explain(r)
	}
	if failed, ok := errors.AsType[*codeError](err); ok {
		return failed.explain(r)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return api.ReasonEngineTimeout, api.Errorf(api.TimeoutError, "the engine did not %s the container within %s, again and again, though it answers otherwise; look at the engine's log and at its disk. It is tried again", plan.Word(next.Action), callTimeout)
	case next.Action == plan.Create && errors.Is(err, ErrAbsent):
		missing := imageNotFound(r)
		return missing.reason, missing.told
	case next.Action == plan.Create && errors.Is(err, ErrInvalid):
		return api.ReasonInvalidSpec, api.Errorf(api.DockerAPIError, "the engine cannot make this container: %v", err)
	case next.Action == plan.Start:
		return api.ReasonStartFailed, api.Errorf(api.DockerAPIError, "the engine could not start the container: %v", err)
	case next.Action == plan.Limit:
		return api.ReasonLimitsRefused, api.Errorf(api.DockerAPIError, "the engine does not hold the container to %s: %v; declare limits that it can have while it runs, or roll back", limitsText(r.Spec.Resources), err)
	}
	return api.ReasonEngineError, api.Errorf(api.DockerAPIError, "the engine could not %s the container: %v", plan.Word(next.Action), err)
}

func limitsText(l api.Resources) string {
	return fmt.Sprintf("%d bytes of memory, %d billionths of a CPU, %d processes", l.MemoryBytes, l.NanoCPUs, l.PidsLimit)
}

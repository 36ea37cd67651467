package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// errStateChanged means that a container was found in another state than was seen: the next look shows which.
var errStateChanged = errors.New("it is in another state than was seen")

// act takes a step and tells what it brought, nil where nothing is left to be written. Each of its branches may be repeated
// after dying anywhere within.
func (k *Controller) act(ctx context.Context, r *store.Record, o *plan.Observation, next *plan.Step) (*plan.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch next.Action {
	case plan.Resolve:
		return k.resolve(ctx, r)
	case plan.Intend, plan.IntendReplacement:
		return k.intend(ctx, r, o, next)
	case plan.Create:
		return k.create(ctx, r, next)
	case plan.SwitchCode:
		return k.switchCode(r)
	case plan.Listen:
		return nil, k.listen(r)
	case plan.RecordExit, plan.Commit, plan.Rollback:
		return k.exitResult(ctx, r, o, next), nil
	case plan.ExplicitStart, plan.BeginRestart:
		return k.observeAgain(ctx, r, next.On)
	case plan.Finalize:
		return nil, k.finalize(ctx, r)
	case plan.Stop, plan.Kill, plan.Remove, plan.Start, plan.Pause, plan.Unpause, plan.Limit, plan.Connect, plan.Rename:
		return k.engineStep(ctx, r, o, next)
	}
	return &plan.Result{}, nil
}

// engineStep has the engine do what a step says. Whatever came of it, the container is looked at before the next step.
func (k *Controller) engineStep(ctx context.Context, r *store.Record, o *plan.Observation, next *plan.Step) (*plan.Result, error) {
	asked := k.clock.now().Now
	err := k.callEngine(ctx, r, next)
	if next.Action == plan.Start {
		k.observer.started(next.On.DockerID, asked)
	}
	k.observer.invalidate(r.ID, next.On.DockerID)
	switch {
	case err == nil:
		return &plan.Result{}, nil
	case errors.Is(err, errStateChanged):
		return nil, err
	case next.Action == plan.Rename && errors.Is(err, ErrConflict):
		return nil, k.nameTaken(ctx, r, next.Name)
	case alreadyDone(err):
		return nil, k.unexpectedState(ctx, r, next, err)
	}
	return nil, err
}

// callEngine makes the one engine call of a step.
func (k *Controller) callEngine(ctx context.Context, r *store.Record, next *plan.Step) error {
	id := next.On.DockerID
	switch next.Action {
	case plan.Start:
		return k.start(ctx, r, next.On)
	case plan.Stop:
		k.Endpoints.Lifecycle(r.ID, lifecycle(r, next), *r.Spec.StopGrace)
		return k.Runtime.Kill(ctx, id, stopSignal(next.On))
	case plan.Kill:
		return k.Runtime.Kill(ctx, id, "")
	case plan.Pause:
		return k.Runtime.Pause(ctx, id)
	case plan.Unpause:
		return k.Runtime.Unpause(ctx, id)
	case plan.Limit:
		return k.Runtime.Limit(ctx, id, plan.WantedLimits(r))
	case plan.Connect:
		return k.Runtime.Connect(ctx, id, plan.WantedNetwork(r), r.Name)
	case plan.Rename:
		return k.Runtime.Rename(ctx, id, next.Name)
	case plan.Remove:
		return k.Runtime.Remove(ctx, id)
	}
	return fmt.Errorf("no such action: %s", next.Action)
}

// lifecycle is what a flow is told before it is asked to stop.
func lifecycle(r *store.Record, next *plan.Step) string {
	switch {
	case next.Cause == api.CauseRestart, next.Cause == api.CauseUnhealthy:
		return "restarting"
	case next.On.DockerID == r.Current.DockerID && r.Handover != nil:
		return "updating"
	}
	return "stopping"
}

// stopSignal is the one that a container was made with: its declaration's, else its image's. What an image says may be none.
func stopSignal(c *plan.Container) string {
	if !api.IsSignal(c.StopSignal) {
		return "SIGTERM"
	}
	return c.StopSignal
}

// unexpectedState handles an action that found its container in another state than was seen. Usually the next look shows why; an
// action that meets it again and again counts as failed.
func (k *Controller) unexpectedState(ctx context.Context, r *store.Record, next *plan.Step, cause error) error {
	o, err := k.observe(ctx, r)
	if err != nil {
		return err
	}
	if again := plan.Plan(r, o); again.Action == next.Action && again.On != nil && again.On.DockerID == next.On.DockerID {
		return fmt.Errorf("the engine does not take it in this state: %w", cause)
	}
	return errStateChanged
}

// start checks what may have changed since the declaration before the process comes to life.
func (k *Controller) start(ctx context.Context, r *store.Record, c *plan.Container) error {
	spec, _, err := k.specOf(r)
	if err != nil {
		return err
	}
	if err := errors.Join(k.permit(ctx, r, &r.Current, spec), spare(c)); err != nil {
		return err
	}
	if err := k.attach(r, &r.Current); err != nil {
		return err
	}
	if !k.Endpoints.Listening(r.ID) || !k.starts.begin(r.ID) { // reading the code may have taken long
		return errStateChanged
	}
	err = k.Runtime.Start(ctx, c.DockerID)
	if err == nil || !errors.Is(err, ErrAbsent) {
		return err
	}
	if _, missing := k.Runtime.Inspect(ctx, c.DockerID); errors.Is(missing, ErrAbsent) {
		return err // the container itself; the next look shows it
	}
	return k.reconnect(ctx, spec, r, c.DockerID, err)
}

// spare refuses to start what an engine may die of. What is made does not have such a check; other hands may have put it there.
func spare(c *plan.Container) error {
	if !c.Deadly {
		return nil
	}
	return withoutCommand()
}

// reconnect gives a container that the engine cannot start for something is missing its network anew, which was removed and
// made again under its name, and starts it.
func (k *Controller) reconnect(ctx context.Context, spec *api.Spec, r *store.Record, dockerID string, cause error) error {
	missing := func(err error) error { return fmt.Errorf("something that it needs is missing: %s", err.Error()) }
	if _, err := k.Runtime.NetworkName(ctx, spec.Network); err != nil {
		return missing(cause) // the probe says what
	}
	if err := k.Runtime.Connect(ctx, dockerID, spec.Network, r.Name); err != nil {
		return missing(cause)
	}
	if err := k.Runtime.Start(ctx, dockerID); err != nil {
		return missing(err)
	}
	return nil
}

// listen opens the flow's socket. That needs no note: it is looked at before each step.
func (k *Controller) listen(r *store.Record) error {
	if err := k.Endpoints.Open(r.ID); err != nil {
		return fmt.Errorf("open the flow's socket: %w", err)
	}
	return nil
}

// observeAgain looks at a container once more. Whether a run had ended before it was asked for another one may not be left to
// events that can be lost.
func (k *Controller) observeAgain(ctx context.Context, r *store.Record, c *plan.Container) (*plan.Result, error) {
	k.observer.invalidate(r.ID, c.DockerID)
	seen, err := k.observer.observe(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	o := plan.Classify(r, seen)
	if o.Current == nil {
		return nil, errStateChanged
	}
	return &plan.Result{Seen: o.Current}, nil
}

// exitResult tells how a run ended, and the last that it said: masked.
func (k *Controller) exitResult(ctx context.Context, r *store.Record, o *plan.Observation, next *plan.Step) *plan.Result {
	c := next.On
	if next.Action == plan.Rollback {
		c = o.Current
	}
	res := &plan.Result{}
	if c == nil || !c.Ran() || c.Interrupted || next.Action != plan.RecordExit && next.Detail == "" {
		return res
	}
	redactor := k.redactor(r)
	c.HealthOutput = redactor.Text(c.HealthOutput)
	res.Exit = &store.Exit{Code: c.ExitCode, OOMKilled: c.OOMKilled, Cause: redactor.Text(plan.ExitCause(c)), Unhealthy: c.Alive()}
	switch {
	case c.Alive() && c.HealthOutput != "":
		res.Exit.Lines = strings.Split(strings.TrimRight(c.HealthOutput, "\n"), "\n")
	default:
		res.Exit.Lines = k.lastLines(ctx, r, c)
	}
	return res
}

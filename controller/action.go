package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// act takes a step. Each of its branches may be repeated after dying anywhere within.
func (k *Controller) act(ctx context.Context, r *store.Record, s sight, next step) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch next.action {
	case resolve:
		return k.resolve(ctx, r)
	case intend, prepare:
		return k.intend(ctx, r, s, next)
	case create:
		return k.create(ctx, r, placed(r, next))
	case record:
		return k.record(ctx, r, placed(r, next).Token, next.on.DockerID)
	case discard, attempt, swap, accept, revert, again, prove, recode:
		err := k.replace(ctx, r, s, next)
		k.Fail("step-" + string(next.action))
		return err
	case listen:
		return k.listen(r)
	case forget:
		return k.edit(ctx, r, func(c *store.Record) { c.Superseded = unseen(c.Superseded) })
	case count:
		return k.count(ctx, r, next.on)
	case wake:
		return k.wake(ctx, r, s.standing)
	case renew:
		return k.renew(ctx, r, next.on)
	case renewed:
		return k.edit(ctx, r, func(c *store.Record) { c.RestartFrom, c.RestartAsked = "", false })
	case settle:
		return k.settle(ctx, r, next.on)
	case bury:
		return k.bury(ctx, r)
	}
	err := k.call(ctx, r, next)
	k.observer.mark(r.ID, next.on.DockerID) // whatever came of it, look before the next step
	if err != nil && !gone(err) {
		return err
	}
	if err != nil {
		return k.impasse(ctx, r, next, err)
	}
	return k.called(ctx, r, next)
}

// call makes the one engine call of a step.
func (k *Controller) call(ctx context.Context, r *store.Record, next step) error {
	id := next.on.DockerID
	switch next.action {
	case start:
		return k.start(ctx, r, next.on)
	case signal:
		k.Endpoints.Lifecycle(r.ID, lifecycle(r, next), *r.Spec.StopGrace)
		return k.Runtime.Kill(ctx, id, stopSignal(&r.Spec))
	case kill:
		return k.Runtime.Kill(ctx, id, "")
	case freeze:
		return k.Runtime.Pause(ctx, id)
	case unpause:
		return k.Runtime.Unpause(ctx, id)
	case limit:
		return k.Runtime.Limit(ctx, id, r.Spec.Resources)
	case rename:
		return k.Runtime.Rename(ctx, id, next.name)
	case remove:
		return k.Runtime.Remove(ctx, id)
	}
	return fmt.Errorf("no such action: %s", next.action)
}

// lifecycle is what a flow is told before it is asked to stop.
func lifecycle(r *store.Record, next step) string {
	switch {
	case next.cause == api.CauseRestart:
		return "restarting"
	case next.on.DockerID == r.Placement.DockerID && (r.Next.Token != "" || stale(r)):
		return "updating"
	}
	return "stopping"
}

func stopSignal(s *api.Spec) string {
	if s.StopSignal == "" {
		return "SIGTERM"
	}
	return s.StopSignal
}

// called writes what a step that worked leaves behind.
func (k *Controller) called(ctx context.Context, r *store.Record, next step) error {
	now := time.Now().UTC()
	if next.action == start && next.cause == api.CauseExit {
		k.metrics.restarted.Observe(now.Sub(next.on.FinishedAt).Seconds())
	}
	if point, ok := map[action]string{start: "after-start", signal: "during-stop", remove: "during-delete", rename: "after-rename"}[next.action]; ok {
		k.Fail(point)
	}
	did := k.lastAction(r, next.action, next, now)
	return k.edit(ctx, r, func(c *store.Record) {
		c.Status.LastAction = did
		switch next.action {
		case signal:
			deadline := now.Add(time.Duration(*c.Spec.StopGrace) * time.Second)
			c.StopDeadline = &deadline
		case limit:
			c.Placement.Resources = r.Spec.Resources
		case remove:
			c.StopDeadline = nil
			removed(c, next.on.DockerID)
		}
	})
}

// removed forgets the container of a placement, but not what the next one made in its place keeps of it.
func removed(c *store.Record, dockerID string) {
	switch dockerID {
	case c.Placement.DockerID:
		p := &c.Placement
		c.Placement = store.Placement{Ports: p.Ports, TemplateHash: p.TemplateHash, Generation: p.Generation, Stable: p.Stable, Carried: p.Volumes(),
			Code: p.Code, AskedBy: p.AskedBy}
	case c.Next.DockerID:
		c.Next = store.Placement{}
	case c.Prev.DockerID:
		c.Prev = store.Placement{}
	}
}

// settle notes that what was asked to stop has stopped. That is no exit of its own accord, whatever is declared by now.
func (k *Controller) settle(ctx context.Context, r *store.Record, o *Observed) error {
	return k.edit(ctx, r, func(c *store.Record) {
		c.StopDeadline = nil
		if c.Handled != run(o) {
			c.Handled = asked(o)
		}
	})
}

func (k *Controller) lastAction(r *store.Record, done action, next step, now time.Time) *api.LastAction {
	detail := k.redactor(r).Text(next.detail) // it may quote a name that somebody else gave
	return &api.LastAction{Action: string(done), Cause: next.cause, Detail: detail, At: now}
}

// impasse is an action that found its container in another state than was seen. Usually the next look shows why; an
// action that meets it again and again counts as failed.
func (k *Controller) impasse(ctx context.Context, r *store.Record, next step, cause error) error {
	now := time.Now()
	s, err := k.see(ctx, r, now)
	if err != nil {
		return err
	}
	if again := plan(r, s, now); again.action == next.action && again.on != nil && again.on.DockerID == next.on.DockerID {
		return fmt.Errorf("the engine does not take it in this state: %w", cause)
	}
	return nil
}

// start checks what may have changed since the declaration before the process comes to life.
func (k *Controller) start(ctx context.Context, r *store.Record, o *Observed) error {
	spec, _, err := k.specOf(r)
	if err != nil {
		return err
	}
	if err := k.permit(ctx, r, &r.Placement, spec); err != nil {
		return err
	}
	if err := k.attach(r, &r.Placement); err != nil {
		return err
	}
	if err := k.noteStart(ctx, r, o); err != nil {
		return err
	}
	err = k.Runtime.Start(ctx, o.DockerID)
	if err == nil || !errors.Is(err, ErrAbsent) {
		return err
	}
	if _, missing := k.Runtime.Inspect(ctx, o.DockerID); errors.Is(missing, ErrAbsent) {
		return err // the container itself; the next look shows it
	}
	return fmt.Errorf("something that it needs is missing: %s", err.Error())
}

// listen opens the flow's socket. That needs no note: it is looked at before each step.
func (k *Controller) listen(r *store.Record) error {
	if err := k.Endpoints.Open(r.ID); err != nil {
		return fmt.Errorf("open the flow's socket: %w", err)
	}
	return nil
}

// noteStart writes under which boot of the host the container runs, that it does, which code, and on which volumes, before it
// can be so.
func (k *Controller) noteStart(ctx context.Context, r *store.Record, o *Observed) error {
	asked := r.RestartFrom != ""
	if r.Ran && r.Boot == k.Boot && r.RestartAsked == asked && !stale(r) && maps.Equal(r.Placement.Anonymous, o.Anonymous) {
		return nil
	}
	return k.edit(ctx, r, func(c *store.Record) {
		c.Ran, c.Boot, c.RestartAsked, c.Placement.Anonymous = true, k.Boot, asked, o.Anonymous
		c.Placement.Runs = c.Placement.Code
	})
}

// forgive resets what earlier exits led to.
func forgive(c *store.Record) {
	c.Status.CrashStreak, c.Status.NextRestartAt, c.Status.LastError, c.Ended, c.Failure, c.Ran = 0, nil, nil, "", nil, false
}

// count notes an exit that nobody asked for, once per run, and what the restart policy makes of it.
func (k *Controller) count(ctx context.Context, r *store.Record, o *Observed) error {
	v := judge(r, o, time.Now())
	return k.edit(ctx, r, func(c *store.Record) { noteExit(c, r, o, v) }, append(k.crash(ctx, r, o, v), warnings(r, &r.Status, o, k.redactor(r))...)...)
}

// noteExit writes into c what the restart policy of r makes of an exit.
func noteExit(c, r *store.Record, o *Observed, v verdict) {
	decided := c.Handled == run(o) && c.Ended == "" // to be restarted, and counted for it
	c.EndedUnder = r.Spec.RestartPolicy
	if alive(o) {
		c.Status.Health = o.Health
	}
	copyExit(&c.Status, o) // whoever waits is told of the streak and of this in one
	c.Handled, c.CountedEnd, c.Ended, c.Status.CrashStreak, c.Status.NextRestartAt = v.handled, v.counted, v.ended, v.streak, nil
	if v.ended != "" {
		return
	}
	c.Status.NextRestartAt = timePointer(v.next)
	if !decided {
		c.Status.RestartCount++
	}
}

// afresh looks at a container once more. Whether a run had ended before it was asked for another one may not be left to
// events that can be lost.
func (k *Controller) afresh(ctx context.Context, r *store.Record, o *Observed) (*Observed, error) {
	k.observer.mark(r.ID, o.DockerID)
	seen, err := k.observer.see(ctx, r.ID)
	return look(r, seen).standing, err
}

// wake acts upon an explicit start: whatever kept the container down is forgiven.
func (k *Controller) wake(ctx context.Context, r *store.Record, o *Observed) error {
	o, err := k.afresh(ctx, r, o)
	if err != nil || o == nil {
		return err // gone meanwhile: the next step makes another
	}
	return k.edit(ctx, r, func(c *store.Record) {
		c.WakeSeen = r.Wake
		forgive(c)
		c.Ran = alive(o) // what runs or is paused goes on, and that is the run that was asked for
		if !alive(o) && !o.StartedAt.IsZero() {
			c.Handled = asked(o)
		}
	})
}

// renew notes which run a restart replaces. What does not run is simply started.
func (k *Controller) renew(ctx context.Context, r *store.Record, o *Observed) error {
	o, err := k.afresh(ctx, r, o)
	if err != nil || o == nil {
		return err
	}
	return k.edit(ctx, r, func(c *store.Record) {
		c.RestartSeen, c.RestartFrom, c.RestartAsked = r.Restart, run(o), false
		forgive(c)
		if !alive(o) {
			c.RestartFrom, c.Handled = "", asked(o)
		}
	})
}

func (k *Controller) edit(ctx context.Context, r *store.Record, edit func(*store.Record), events ...api.Event) error {
	written, err := k.Store.Observe(ctx, r.ID, func(c *store.Record) []api.Event { edit(c); return events })
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	k.actions.note(r.ID, written.Status.LastAction)
	return nil
}

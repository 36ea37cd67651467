package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// act takes a step. Each of its branches may be repeated after dying anywhere within.
func (k *Controller) act(ctx context.Context, r *store.Record, s sight, next step) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch next.action {
	case intend:
		return k.intend(ctx, r, next)
	case create:
		return k.create(ctx, r)
	case record:
		return k.record(ctx, r, next.on.DockerID)
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
		return k.edit(ctx, r, func(c *store.Record) { c.StopDeadline = nil })
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
		return k.start(ctx, r, id)
	case signal:
		k.Endpoints.Lifecycle(r.ID, lifecycle(next.cause), *r.Spec.StopGrace)
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
		return k.Runtime.Rename(ctx, id, r.Placement.DockerName)
	case remove:
		return k.Runtime.Remove(ctx, id)
	}
	return fmt.Errorf("no such action: %s", next.action)
}

// lifecycle is what a flow is told before it is asked to stop.
func lifecycle(cause string) string {
	if cause == api.CauseRestart {
		return "restarting"
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
	if point, ok := map[action]string{start: "after-start", signal: "during-stop", remove: "during-delete"}[next.action]; ok {
		k.Fail(point)
	}
	return k.edit(ctx, r, func(c *store.Record) {
		c.Status.LastAction = &api.LastAction{Action: string(next.action), Cause: next.cause, Detail: next.detail, At: now}
		switch next.action {
		case signal:
			deadline := now.Add(time.Duration(*c.Spec.StopGrace) * time.Second)
			c.StopDeadline = &deadline
		case limit:
			c.Placement.Resources = r.Spec.Resources
		case remove:
			c.StopDeadline = nil
			if c.Placement.DockerID == next.on.DockerID {
				c.Placement = store.Placement{Ports: c.Placement.Ports, TemplateHash: c.Placement.TemplateHash}
			}
		}
	})
}

// impasse is an action that found its container in another state than was seen. Usually the next look shows why; an
// action that meets it again and again counts as failed.
func (k *Controller) impasse(ctx context.Context, r *store.Record, next step, cause error) error {
	seen, err := k.observer.see(ctx, r.ID)
	if err != nil {
		return err
	}
	if again := plan(r, look(r, seen), time.Now()); again.action == next.action && again.on != nil && again.on.DockerID == next.on.DockerID {
		return fmt.Errorf("the engine does not take it in this state: %w", cause)
	}
	return nil
}

// start checks what may have changed since the declaration before the process comes to life.
func (k *Controller) start(ctx context.Context, r *store.Record, dockerID string) error {
	if err := k.Policy.Check(&r.Spec); err != nil {
		return err
	}
	if err := k.noteStart(ctx, r); err != nil {
		return err
	}
	err := k.Runtime.Start(ctx, dockerID)
	if err == nil || !errors.Is(err, ErrAbsent) {
		return err
	}
	if _, missing := k.Runtime.Inspect(ctx, dockerID); errors.Is(missing, ErrAbsent) {
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

// noteStart writes under which boot of the host the container runs, and that it does, before it can be so.
func (k *Controller) noteStart(ctx context.Context, r *store.Record) error {
	asked := r.RestartFrom != ""
	if r.Ran && r.Boot == k.Boot && r.RestartAsked == asked {
		return nil
	}
	return k.edit(ctx, r, func(c *store.Record) { c.Ran, c.Boot, c.RestartAsked = true, k.Boot, asked })
}

// intend writes what is about to be created. The former placement is kept until its container is known to be gone.
func (k *Controller) intend(ctx context.Context, r *store.Record, next step) error {
	ports, err := k.ports.pick(r, k.Store)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	err = k.edit(ctx, r, func(c *store.Record) {
		if c.Placement.Token != "" {
			c.Superseded = append(append([]store.Placement{}, c.Superseded...), c.Placement)
		}
		if hash := api.TemplateHash(&r.Spec); c.Placement.TemplateHash != "" && c.Placement.TemplateHash != hash {
			forgive(c)
		}
		if next.cause == api.CauseDrift && c.Ran && c.Ended == "" && r.Spec.RestartPolicy.Name == api.RestartNever {
			c.Ended, c.EndedUnder = "Interrupted", r.Spec.RestartPolicy // it runs once for each explicit start
		}
		c.Placement = store.Placement{Token: xid.New().String(), DockerName: r.Name, Generation: r.Generation,
			TemplateHash: api.TemplateHash(&r.Spec), Resources: r.Spec.Resources, Ports: ports}
		c.Status.LastAction = &api.LastAction{Action: "create", Cause: next.cause, Detail: next.detail, At: now}
	})
	k.Fail("after-intent")
	return err
}

// forgive resets what earlier exits led to.
func forgive(c *store.Record) {
	c.Status.CrashStreak, c.Status.NextRestartAt, c.Status.LastError, c.Ended, c.Failure, c.Ran = 0, nil, nil, "", nil, false
}

// create makes the intended container and records it. A taken name is either our own, made before we died, or somebody else's.
func (k *Controller) create(ctx context.Context, r *store.Record) error {
	if err := k.Policy.Check(&r.Spec); err != nil {
		return err
	}
	dockerID, err := k.Runtime.Create(ctx, k.template(r))
	k.Fail("after-create")
	if errors.Is(err, ErrConflict) {
		return k.nameTaken(ctx, r)
	}
	if err != nil {
		return err
	}
	return k.record(ctx, r, dockerID)
}

func (k *Controller) template(r *store.Record) Template {
	return Template{ID: r.ID, Name: r.Name, DockerName: r.Placement.DockerName, Token: r.Placement.Token, Hash: r.Placement.TemplateHash,
		Instance: k.Store.Instance(), Spec: r.Spec, Ports: r.Placement.Ports, SocketDir: k.Endpoints.Dir(r.ID)}
}

// errUnsettled means that a name is taken by a container that is not there: it has just gone, or the engine is still making
// it, for us perhaps, who gave up waiting. Either way a moment later will tell.
var errUnsettled = errors.New("its holder is coming or going")

func (k *Controller) nameTaken(ctx context.Context, r *store.Record) error {
	o, err := k.Runtime.Inspect(ctx, r.Placement.DockerName)
	switch {
	case errors.Is(err, ErrAbsent):
		return fmt.Errorf("name %s: %w", r.Placement.DockerName, errUnsettled)
	case err != nil:
		return fmt.Errorf("inspect the holder of the name: %w", err)
	case r.Owns(o.Token, o.DockerID, o.Name):
		k.observer.mark(r.ID, o.DockerID)
		return nil
	}
	return api.Errorf(api.ConflictError, "the Docker name %q belongs to container %.12s, which is not the manager's; rename or remove that one, and this one is made", o.Name, o.DockerID).
		With("docker_id", o.DockerID)
}

// record writes the Docker id before the first start.
func (k *Controller) record(ctx context.Context, r *store.Record, dockerID string) error {
	k.observer.mark(r.ID, dockerID)
	err := k.edit(ctx, r, func(c *store.Record) {
		if c.Placement.Token == r.Placement.Token {
			c.Placement.DockerID = dockerID
			c.Status.DockerID = dockerID
		}
	})
	k.Fail("after-record")
	return err
}

// count notes an exit that nobody asked for, once per run, and what the restart policy makes of it.
func (k *Controller) count(ctx context.Context, r *store.Record, o *Observed) error {
	v := judge(r, o, time.Now())
	return k.edit(ctx, r, func(c *store.Record) {
		decided := c.Handled == run(o) && c.Ended == "" // to be restarted, and counted for it
		c.EndedUnder = r.Spec.RestartPolicy
		copyExit(&c.Status, o) // whoever waits is told of the streak and of this in one
		c.Handled, c.Ended, c.Status.CrashStreak, c.Status.NextRestartAt = v.handled, v.ended, v.streak, nil
		if v.ended != "" {
			return
		}
		c.Status.NextRestartAt = timePointer(v.next)
		if !decided {
			c.Status.RestartCount++
		}
	}, k.crash(ctx, r, o, v)...)
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

// bury removes what the container leaves beside itself and drops the record. A create whose answer was lost may have left
// a container that no list has shown yet: the intent's name is looked at first.
func (k *Controller) bury(ctx context.Context, r *store.Record) error {
	if p := &r.Placement; p.Token != "" && p.DockerID == "" {
		if o, err := k.Runtime.Inspect(ctx, p.DockerName); err == nil && p.Owns(o.Token, o.DockerID, o.Name) {
			k.observer.mark(r.ID, o.DockerID)
			return nil
		} else if err != nil && !errors.Is(err, ErrAbsent) {
			return fmt.Errorf("look for a created container: %w", err)
		}
	}
	if err := k.removeVolumes(ctx, r); err != nil {
		return err
	}
	if err := k.Endpoints.Remove(r.ID); err != nil {
		return fmt.Errorf("remove the flow's socket: %w", err)
	}
	event := api.Activity{ActivityType: api.ActivityDeleted, ContainerID: r.ID, Message: r.Name + " was deleted", Details: map[string]any{"name": r.Name, "deleted_by": r.DeletedBy}}.Event()
	return k.Store.Bury(ctx, r.ID, event)
}

func (k *Controller) removeVolumes(ctx context.Context, r *store.Record) error {
	if !r.RemoveVolumes {
		return nil
	}
	for _, m := range r.Spec.Mounts() {
		if m.IsHostPath() {
			continue
		}
		if err := k.Runtime.RemoveVolume(ctx, m.Source, k.Store.Instance()); err != nil && !gone(err) {
			return fmt.Errorf("remove volume %s: %w", m.Source, err)
		}
	}
	return nil
}

func (k *Controller) edit(ctx context.Context, r *store.Record, edit func(*store.Record), events ...api.Event) error {
	_, err := k.Store.Observe(ctx, r.ID, func(c *store.Record) []api.Event { edit(c); return events })
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

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

// reconcileDeleted takes away what is left of a deleted container and reports what only looks like it.
func (k *Controller) reconcileDeleted(ctx context.Context, id string) (time.Duration, error) {
	seen, err := k.observer.observe(ctx, id)
	if err != nil {
		return 0, err
	}
	stone, known := k.Store.Tombstone(id)
	var left []*plan.Container
	for i := range seen {
		c := &seen[i]
		if !known || !stone.Owns(c.Token, c.DockerID, c.Name) {
			k.reportStranger(c)
			if !known {
				k.observer.disregard(c.DockerID)
			}
			continue
		}
		left = append(left, c)
	}
	if len(left) == 0 {
		k.collectBackoffs.forget(id)
		return 0, nil
	}
	if due := k.collectBackoffs.due(id); due > 0 {
		return due, nil
	}
	for _, c := range left {
		if err := k.collect(ctx, c); err != nil {
			k.logID(id).Warn().Err(err).Str("operation", "collect").Msg("what is left of a deleted container could not be removed; trying again later")
		}
	}
	return k.collectBackoffs.next(id), nil
}

// backoffs are how often something was tried for each id, and when it is to be tried next: less and less often.
type backoffs struct {
	mu   sync.Mutex
	byID map[string]*backoff
}

type backoff struct {
	n    int
	next time.Time
}

func newBackoffs() *backoffs { return &backoffs{byID: map[string]*backoff{}} }

func (a *backoffs) due(id string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.byID[id]; one != nil {
		return time.Until(one.next)
	}
	return 0
}

// count is how many attempts there were in a row.
func (a *backoffs) count(id string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.byID[id]; one != nil {
		return one.n
	}
	return 0
}

// next counts an attempt and returns how long the next one waits.
func (a *backoffs) next(id string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.byID[id]
	if one == nil {
		one = &backoff{}
		a.byID[id] = one
	}
	one.n++
	wait := plan.RetryDelay(id, one.n)
	one.next = time.Now().Add(wait)
	return wait
}

func (a *backoffs) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byID, id)
}

func (k *Controller) collect(ctx context.Context, o *plan.Container) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	k.logID(o.ID).Info().Str("operation", "collect").Str("docker_id", o.DockerID).Msg("removing what is left of a deleted container")
	if o.Alive() {
		if err := k.Runtime.Kill(ctx, o.DockerID, ""); err != nil && !alreadyDone(err) {
			return fmt.Errorf("kill a deleted container: %w", err)
		}
	}
	err := k.Runtime.Remove(ctx, o.DockerID)
	k.observer.invalidate(o.ID, o.DockerID)
	if err != nil && !alreadyDone(err) {
		return fmt.Errorf("remove a deleted container: %w", err)
	}
	return nil
}

// alreadyDone reports whether an action found nothing to do: the container is absent or already in another state.
func alreadyDone(err error) bool { return errors.Is(err, ErrAbsent) || errors.Is(err, ErrConflict) }

// reportForeign tells once of each container that bears a record's labels but is not its own.
func (k *Controller) reportForeign(ctx context.Context, r *store.Record, foreign []plan.Container) {
	for i := range foreign {
		o := &foreign[i]
		if !k.observer.report(o.DockerID) {
			continue
		}
		k.logFor(r).Warn().Str("operation", "adopt").Str("docker_id", o.DockerID).Str("docker_name", o.Name).Msg("a foreign container bears this container's labels; it is left alone")
		event := api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID,
			Message: fmt.Sprintf("container %s bears the labels of %s but was not made for it; it is left alone", o.Name, r.Name),
			Details: map[string]any{"reason": api.ReasonForeignContainer, "docker_id": o.DockerID, "docker_name": o.Name}}.Event()
		if _, err := k.Store.Observe(ctx, r.ID, func(*store.Record) []api.Event { return []api.Event{event} }); err != nil {
			k.logFor(r).Warn().Err(err).Str("operation", "adopt").Msg("the foreign container could not be noted")
		}
	}
}

func (k *Controller) reportStranger(o *plan.Container) {
	if k.observer.report(o.DockerID) {
		k.logID(o.ID).Warn().Str("operation", "adopt").Str("docker_id", o.DockerID).Str("docker_name", o.Name).
			Msg("a container bears our labels and belongs to nothing declared here; it is left alone")
	}
}

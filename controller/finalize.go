package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// finalize removes what the container leaves beside itself and drops the record. A create whose answer was lost may have left
// a container that no list has shown yet: the intent's name is looked at first.
func (k *Controller) finalize(ctx context.Context, r *store.Record) error {
	for _, p := range r.AllPlacements() {
		if p.DockerID != "" {
			continue
		}
		if o, err := k.Runtime.Inspect(ctx, p.DockerName); err == nil && p.Owns(o.Token, o.DockerID, o.Name) {
			k.observer.invalidate(r.ID, o.DockerID)
			return nil
		} else if err != nil && !errors.Is(err, ErrAbsent) {
			return fmt.Errorf("look for a created container: %w", err)
		}
	}
	k.pulls.cancel(r.ID)
	k.copies.drop(r.ID)
	if err := k.removeVolumes(ctx, r); err != nil {
		return &leftoverError{api.VolumesNotRemoved, err}
	}
	if err := k.Endpoints.Remove(r.ID); err != nil {
		return &leftoverError{api.SocketNotRemoved, fmt.Errorf("remove the flow's socket: %w", err)}
	}
	for _, p := range r.AllPlacements() {
		if err := k.unlink(&p); err != nil {
			return &leftoverError{api.CodeNotRemoved, err}
		}
	}
	event := api.Activity{ActivityType: api.ActivityDeleted, ContainerID: r.ID, Message: r.Name + " was deleted", Details: map[string]any{"name": r.Name, "deleted_by": r.DeletedBy}}.Event()
	return k.Store.Bury(ctx, r.ID, event)
}

// leftoverError is something of a deleted container that could not be taken away.
type leftoverError struct {
	reason string
	err    error
}

func (e *leftoverError) Error() string { return e.err.Error() }
func (e *leftoverError) Unwrap() error { return e.err }

func (e *leftoverError) explain() (reason string, told *api.Error) {
	kind := map[string]api.ErrorType{api.VolumesNotRemoved: api.DockerAPIError, api.SocketNotRemoved: api.SocketError}[e.reason]
	return e.reason, api.Errorf(cmp.Or(kind, api.SystemError), "%v", e.err)
}

func (k *Controller) removeVolumes(ctx context.Context, r *store.Record) error {
	for _, name := range r.Current.Carried {
		if err := k.Runtime.RemoveCarried(ctx, name); err != nil && !alreadyDone(err) {
			return fmt.Errorf("remove anonymous volume %s: %w", name, err)
		}
	}
	if !r.RemoveVolumes {
		return nil
	}
	for _, m := range r.Spec.Mounts() {
		if m.IsHostPath() {
			continue
		}
		if err := k.Runtime.RemoveVolume(ctx, m.Source, k.Store.Instance()); err != nil && !alreadyDone(err) {
			return fmt.Errorf("remove volume %s: %w", m.Source, err)
		}
	}
	return nil
}

package controller

import (
	"context"
	"errors"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// Snapshots keep the code of flows. Take and Verify read a whole tree and end with their context; the rest is short.
type Snapshots interface {
	// Take copies the folder at path, which must be absolute and free of links. Collect spares the copy until release.
	Take(ctx context.Context, path string) (digest string, release func(), err error)
	// Verify reads a snapshot back.
	Verify(ctx context.Context, digest string) error
	// Link makes name's link lead to a snapshot.
	Link(name, digest string) error
	Linked(name string) (digest string, ok bool)
	// LinkPath is what is mounted; the engine finds out at every start where it leads.
	LinkPath(name string) string
	Links() ([]string, error)
	Unlink(name string) error
	// Collect removes the snapshots that no link leads to and that are not in what keep returns.
	Collect(ctx context.Context, keep func() map[string]bool) (removed []string, err error)
}

// errCopying means that the code is not there yet and is being read; the step is taken when that has ended.
var errCopying = errors.New("the code is being copied")

// codeError is code that could not be taken, or that was found damaged. It hides its cause: that a reading took too long says
// nothing of the engine.
type codeError struct{ err error }

func (e *codeError) Error() string { return "get the code: " + e.err.Error() }

// explain gives what the snapshots have against it a reason.
func (e *codeError) explain(r *store.Record) (reason string, told *api.Error) {
	told, known := errors.AsType[*api.Error](e.err)
	switch {
	case !known && errors.Is(e.err, context.DeadlineExceeded):
		return api.ReasonCodeCopyTimeout, api.Errorf(api.TimeoutError, "the code of %s could not be read within %s; leave out what the flow does not need, and it is tried again", r.Name, copyTimeout)
	case !known:
		return api.ReasonCodeCopyFailed, api.Errorf(api.SystemError, "the code of %s could not be read, and it is tried again: %v", r.Name, e.err)
	case told.Type == api.PolicyError:
		return api.ReasonPolicyViolation, told
	case told.Type == api.ValidationError:
		return api.ReasonCodeRefused, told
	case told.Type == api.ConflictError:
		return api.ReasonCodeChanging, told
	}
	return api.ReasonCodeCopyFailed, told
}

// copiesFor tells whether the declared code of a record is being read, or the snapshot of one of its containers. What it does not
// want any more is not read on for it.
func (k *Controller) copiesFor(r *store.Record) (copying, checking bool) {
	wanted := r.Code
	if r.DeletedAt != nil {
		wanted = 0
	}
	return k.copies.takes(r.ID, wanted), k.copies.checks(r.ID)
}

// code is the snapshot that the declared code is in, "" where none is declared.
func (k *Controller) code(r *store.Record) (string, error) {
	if r.Spec.Code == nil {
		return "", nil
	}
	path := r.Spec.Code.Path
	return k.copies.fetch(r.ID, r.Code, r.Taken(r.Code), func(ctx context.Context) (string, func(), error) {
		real, err := k.codePlace(r, path)
		if err != nil {
			return "", nil, err
		}
		return k.Snapshots.Take(ctx, real)
	})
}

// codePlace is the folder that a code path leads to, judged now.
func (k *Controller) codePlace(r *store.Record, path string) (string, error) {
	return k.Policy.resolve(path, false, k.claims(func(o *store.Record) bool { return o.ID == r.ID }), false)
}

// attach makes the link of a container lead to its code. What it has led to so far goes on until the next start.
func (k *Controller) attach(r *store.Record, p *store.Placement) error {
	if p.Code == "" {
		return nil
	}
	if linked, ok := k.Snapshots.Linked(p.Token); ok && linked == p.Code {
		return nil
	}
	if _, err := k.copies.fetch(r.ID, 0, p.Code, nil); err != nil {
		return err
	}
	if err := k.Snapshots.Link(p.Token, p.Code); err != nil {
		return &codeError{err}
	}
	k.Fail("after-link")
	k.copies.dropUsed(r.ID, p.Code)
	return nil
}

// unlink takes the link of a container's code away.
func (k *Controller) unlink(p *store.Placement) error {
	if p.Code == "" {
		return nil
	}
	return k.Snapshots.Unlink(p.Token)
}

// codeMount is the source of the mount of a container's code, "" where it has none.
func (k *Controller) codeMount(p *store.Placement) string {
	if p.Code == "" {
		return ""
	}
	return k.Snapshots.LinkPath(p.Token)
}

// switchCode finds the snapshot that the current container is to run from its next start on.
func (k *Controller) switchCode(r *store.Record) (*plan.Result, error) {
	digest, err := k.code(r)
	if err != nil {
		return nil, err
	}
	return &plan.Result{Code: &store.Taken{Code: r.Code, Digest: digest}}, nil
}

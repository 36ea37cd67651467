package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// errPulling means that the image is not there yet and is being brought; the step is taken when that has ended.
var errPulling = errors.New("the image is being pulled")

// errPulledAndGone means that a pull has ended well and that the engine has no such image all the same.
var errPulledAndGone = errors.New("it was pulled, and has been removed from the engine since")

// pullError is a pull that came to nothing, or none that may be made.
type pullError struct{ err error }

func (e *pullError) Error() string { return "get the image: " + e.err.Error() }
func (e *pullError) Unwrap() error { return e.err }

// explain says what to do about an image that cannot be had.
func (e *pullError) explain(r *store.Record) (reason string, told *api.Error) {
	switch {
	case errors.Is(e.err, ErrAbsent) && r.Spec.ImagePullPolicy == api.PullNever:
		return api.ReasonImageNotFound, api.Errorf(api.ImageNotFound, "image %q is not on this engine, and image_pull_policy is never; load it there, or declare another policy", r.Spec.Image)
	case errors.Is(e.err, ErrAbsent):
		return api.ReasonImageNotFound, api.Errorf(api.ImageNotFound, "image %q is neither on this engine nor in its registry; check its name and tag", r.Spec.Image)
	case errors.Is(e.err, ErrUnauthorized):
		return api.ReasonImagePullUnauthorized, api.Errorf(api.ImageNotFound, "the registry does not give image %q to this host: log in there with docker login as the user that runs the manager, or check the name: %v", r.Spec.Image, e.err)
	}
	return api.ReasonImagePullFailed, api.Errorf(api.DockerAPIError, "image %q could not be pulled, and it is tried again: %v", r.Spec.Image, e.err)
}

// pullsFor tells whether a record waits for its image. What it does not want any more is not pulled on for it.
func (k *Controller) pullsFor(r *store.Record, stands bool) bool {
	st := k.pulls.state(r.ID)
	if st.ref == "" || st.done {
		return false
	}
	if st.ref != r.Spec.Image || r.DeletedAt != nil || stands && plan.Fits(&r.Current, &r.Spec) && r.Asked.Pull <= r.Done.Pull {
		k.pulls.cancel(r.ID)
		return false
	}
	return true
}

// image is what the image of a spec means: what it was resolved to for this template before, where the engine still has
// that, else what the reference means now, by the pull policy.
func (k *Controller) image(ctx context.Context, r *store.Record, s *api.Spec) (store.Resolved, error) {
	known := r.Image(api.TemplateHash(s))
	if known.ID == "" {
		return k.lookUp(ctx, r, s, s.ImagePullPolicy == api.PullAlways)
	}
	_, err := k.Runtime.Image(ctx, known.ID)
	if errors.Is(err, ErrAbsent) {
		return k.lookUp(ctx, r, s, false)
	}
	return known, err
}

// lookUp resolves a reference. A pull that it needs is begun, and its end brings the record back into the queue.
func (k *Controller) lookUp(ctx context.Context, r *store.Record, s *api.Spec, anew bool) (store.Resolved, error) {
	st := k.pulls.state(r.ID)
	ours := st.ref == s.Image && st.done
	if ours && st.err != nil {
		k.pulls.cancel(r.ID) // the next attempt is another pull
		return store.Resolved{}, &pullError{st.err}
	}
	wanted := max(r.TemplateGeneration, r.Asked.Pull, r.Asked.Retry)
	pulled := ours && st.wanted >= wanted
	if !anew || pulled {
		image, err := k.Runtime.Image(ctx, s.Image)
		switch {
		case err == nil:
			k.pulls.cancel(r.ID)
			return store.Resolved{Template: api.TemplateHash(s), ID: image.ID, Digest: image.Digest}, nil
		case !errors.Is(err, ErrAbsent):
			return store.Resolved{}, fmt.Errorf("look up image %s: %w", s.Image, err)
		case s.ImagePullPolicy == api.PullNever:
			return store.Resolved{}, &pullError{err}
		case pulled:
			k.pulls.cancel(r.ID) // the next attempt is another pull
			return store.Resolved{}, &pullError{errPulledAndGone}
		}
	}
	k.pulls.beginFor(r.ID, s.Image, wanted)
	k.rates.charge(ctx)
	return store.Resolved{}, errPulling
}

// resolve looks up anew what the declared reference means, whatever it meant before.
func (k *Controller) resolve(ctx context.Context, r *store.Record) (*plan.Result, error) {
	image, err := k.lookUp(ctx, r, &r.Spec, r.Spec.ImagePullPolicy != api.PullNever)
	if err != nil {
		return nil, err
	}
	return &plan.Result{Image: &image}, nil
}

// imageFor is what a container is made from, and how it is called: by the reference, which people recognise, as long as that
// means the same, else by the id.
func (k *Controller) imageFor(ctx context.Context, s *api.Spec, p *store.Placement) (name string, image Image, err error) {
	image, err = k.Runtime.Image(ctx, s.Image)
	switch {
	case err != nil && !errors.Is(err, ErrAbsent):
		return "", Image{}, fmt.Errorf("look up image %s: %w", s.Image, err)
	case p.ImageID == "", err == nil && image.ID == p.ImageID:
		return s.Image, image, nil
	}
	image, err = k.Runtime.Image(ctx, p.ImageID)
	if err != nil && !errors.Is(err, ErrAbsent) {
		return "", Image{}, fmt.Errorf("look up image %s: %w", p.ImageID, err)
	}
	return p.ImageID, image, nil // the engine tells of one that is not there
}

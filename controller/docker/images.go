package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

const (
	// askTimeout bounds the question that explains a failed pull.
	askTimeout = 10 * time.Second
	// maxText bounds what is told of a failed pull: a registry can put anything into an error.
	maxText = 1 << 10
)

// Image implements controller.Runtime.
func (r *Runtime) Image(ctx context.Context, ref string) (controller.Image, error) {
	parsed, err := reference.ParseAnyReference(ref)
	if err != nil {
		return controller.Image{}, fmt.Errorf("%w: image reference %q: %w", controller.ErrInvalid, ref, err)
	}
	seen, err := r.client.ImageInspect(ctx, ref)
	if err != nil {
		return controller.Image{}, classed(err)
	}
	return imageOf(&seen, parsed), nil
}

func imageOf(seen *image.InspectResponse, ref reference.Reference) controller.Image {
	i := controller.Image{ID: seen.ID, Digest: digestOf(seen.RepoDigests, ref)}
	if c := seen.Config; c != nil {
		i.Volumes = slices.Sorted(maps.Keys(c.Volumes))
		i.Deadly = c.Healthcheck != nil && api.CheckWithoutCommand(c.Healthcheck.Test)
	}
	return i
}

// digestOf finds the digest that the reference's repository knows an image by. One image can have a digest in each of
// several repositories, and several in one whose manifests lead to the same configuration.
func digestOf(digests []string, ref reference.Reference) string {
	name, named := ref.(reference.Named)
	want, digested := ref.(reference.Digested)
	for _, d := range digests {
		parsed, err := reference.ParseNormalizedNamed(d)
		known, ok := parsed.(reference.Canonical)
		switch {
		case err != nil, !ok, named && known.Name() != name.Name():
		case named && digested && known.Digest() != want.Digest():
		default:
			return known.Digest().String()
		}
	}
	return ""
}

// Pull implements controller.Runtime.
func (r *Runtime) Pull(ctx context.Context, ref string, progress func(api.PullProgress)) error {
	name, err := pullable(ref)
	if err != nil {
		return err
	}
	who, err := findLogin(reference.Domain(name))
	if err != nil {
		return fmt.Errorf("pull %s: %w", ref, err)
	}
	tell := func(m *message) { progress(progressOf(ref, m)) }
	if err := r.pull(ctx, name, who, tell); err != nil {
		return fmt.Errorf("pull %s: %w", ref, r.explain(ctx, name, who, err))
	}
	if err := r.verify(ctx, name); err != nil {
		return fmt.Errorf("pull %s: %w", ref, err)
	}
	return nil
}

// pullable parses before the engine does, whose errors about a reference have no class.
func pullable(ref string) (reference.Named, error) {
	parsed, err := reference.ParseAnyReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: image reference %q: %w", controller.ErrInvalid, ref, err)
	}
	name, ok := parsed.(reference.Named)
	if !ok {
		return nil, fmt.Errorf("%w: %s is an image's id; a registry knows names and digests of names only", controller.ErrInvalid, ref)
	}
	return name, nil
}

func (r *Runtime) pull(ctx context.Context, name reference.Named, who *login, tell func(*message)) error {
	stream, err := r.client.ImagePull(ctx, name.String(), image.PullOptions{RegistryAuth: who.header})
	if err != nil {
		return err
	}
	defer stream.Close()
	return follow(stream, tell)
}

// message is what matters of one line of a pull's stream; the engine's own type comes with all that draws it on a terminal.
// An error there can have a code, which no engine sets for a pull.
type message struct {
	ID       string                          `json:"id"`
	Status   string                          `json:"status"`
	Progress *struct{ Current, Total int64 } `json:"progressDetail"`
	Error    *struct{ Message string }       `json:"errorDetail"`
}

// follow reads a pull to its end. The engine has said 200 by then, so what fails is an error among the messages, or a
// stream that breaks off.
func follow(stream io.Reader, tell func(*message)) error {
	var failed error
	for decoder := json.NewDecoder(stream); ; {
		var m message
		err := decoder.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return failed
		case err != nil:
			return errors.Join(failed, fmt.Errorf("read the engine's answer: %w", err))
		case m.Error != nil:
			failed = errors.New(m.Error.Message)
		case m.Status != "":
			tell(&m)
		}
	}
}

// progressOf takes an id for a layer's only where there are details: else it is a tag's or a reference's.
func progressOf(ref string, m *message) api.PullProgress {
	p := api.PullProgress{Image: ref, Status: m.Status}
	if m.Progress != nil {
		p.Layer, p.Current, p.Total = m.ID, m.Progress.Current, m.Progress.Total
	}
	return p
}

// verify does not take the engine's word: that a digest is there is what its declarer relies on.
func (r *Runtime) verify(ctx context.Context, name reference.Named) error {
	got, err := r.Image(ctx, name.String())
	want, digested := name.(reference.Digested)
	switch {
	case errors.Is(err, controller.ErrAbsent):
		return errors.New("the engine pulled it, and has not got it now")
	case err != nil:
		return fmt.Errorf("look at the pulled image: %w", err)
	case digested && got.Digest != want.Digest().String():
		return errors.New("the engine pulled it, and has not got that digest")
	}
	return nil
}

// explain gives a pull's failure its class. The engine tells hardly any apart: a refused password is an error of its own to
// it, and refused access looks like an image that does not exist. So the registry is asked once more, for the manifest
// alone, because there the engine hands on the status of the registry's answer. What stays without a class is transient.
func (r *Runtime) explain(ctx context.Context, name reference.Named, who *login, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	class := pullClass(err)
	if class != controller.ErrUnavailable {
		if asked := r.ask(ctx, name, who); asked != nil {
			class = asked
		}
	}
	return told(class, clipped{err}, who)
}

// told says who asked wherever that may have been the cause.
func told(class error, err clipped, who *login) error {
	switch class {
	case nil:
		return fmt.Errorf("%w (%s)", err, who)
	case controller.ErrUnauthorized:
		return fmt.Errorf("%w: %w (%s)", class, err, who)
	}
	return fmt.Errorf("%w: %w", class, err)
}

func (r *Runtime) ask(ctx context.Context, name reference.Named, who *login) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := r.client.DistributionInspect(ctx, name.String(), who.header)
	return pullClass(err)
}

// pullClass is narrower than classOf: that a registry is away or slow does not make the engine unavailable.
func pullClass(err error) error {
	switch {
	case client.IsErrConnectionFailed(err):
		return controller.ErrUnavailable
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return controller.ErrUnauthorized
	case errdefs.IsNotFound(err):
		return controller.ErrAbsent
	case errdefs.IsInvalidArgument(err):
		return controller.ErrInvalid
	}
	return nil
}

// clipped is an error whose text has a bound.
type clipped struct{ error }

// Error implements error.
func (c clipped) Error() string {
	text := c.error.Error()
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + " [..]"
}

// Unwrap gives the whole error.
func (c clipped) Unwrap() error { return c.error }

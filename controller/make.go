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

// intend writes what is about to be created. The former placement is kept until its container is known to be gone.
func (k *Controller) intend(ctx context.Context, r *store.Record, s sight, next step) error {
	spec, generation, err := k.made(r, next)
	if err != nil {
		return err
	}
	code, asked, err := k.madeCode(r, next)
	if err != nil {
		return err
	}
	image, err := k.image(ctx, r, spec)
	if err != nil {
		return err
	}
	ports, err := k.ports.pick(r, k.Store)
	if err != nil {
		return err
	}
	places, err := k.places(r, spec)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	p := store.Placement{Token: xid.New().String(), DockerName: r.Name, Generation: generation,
		TemplateHash: api.TemplateHash(spec), Resources: r.Spec.Resources, Ports: ports, HostMounts: places, Carried: carried(r, s),
		Stable: !next.next && exhausted(r), ImageID: image.ID, ImageDigest: image.Digest,
		Code: code, AskedBy: asked}
	did := k.lastAction(r, create, next, now)
	err = k.edit(ctx, r, func(c *store.Record) {
		c.NoteImage(image)
		if code != "" {
			c.NoteTaken(store.Taken{Code: asked, Digest: code})
		}
		c.Status.LastAction = did
		if next.next {
			p.DockerName = aside(r, p.Token)
			c.Supersede(c.Next)
			c.Next = p
			return
		}
		if next.cause == api.CauseDrift && c.Ran && c.Ended == "" && r.Spec.RestartPolicy.Name == api.RestartNever {
			c.Ended, c.EndedUnder = "Interrupted", r.Spec.RestartPolicy // it runs once for each explicit start
		}
		if c.Placement.TemplateHash != "" && c.Placement.TemplateHash != p.TemplateHash {
			forgive(c)
		}
		c.Supersede(c.Placement)
		c.Placement = p
	})
	k.Fail("after-intent")
	return err
}

// carried are the anonymous volumes that a new container takes over from the standing one.
func carried(r *store.Record, s sight) map[string]string {
	stands := r.Placement
	if s.standing != nil {
		stands.Anonymous = s.standing.Anonymous
	}
	return stands.Volumes()
}

// made is the spec that a container is to be made from, and its generation: what is declared, or where that was taken back,
// what stood before it.
func (k *Controller) made(r *store.Record, next step) (*api.Spec, int64, error) {
	if next.next || !exhausted(r) {
		return &r.Spec, r.TemplateGeneration, nil
	}
	return k.specOf(r)
}

// madeCode is the snapshot that a container is to run, and the request that led to it.
func (k *Controller) madeCode(r *store.Record, next step) (digest string, asked int64, err error) {
	if next.next || !exhausted(r) {
		digest, err = k.code(r)
		return digest, r.Code, err
	}
	return r.Placement.Code, r.Placement.AskedBy, nil
}

// specOf is what the standing container is made from, and its generation.
func (k *Controller) specOf(r *store.Record) (*api.Spec, int64, error) {
	if current(r) || r.Placement.Generation == 0 {
		return &r.Spec, r.TemplateGeneration, nil
	}
	v, err := k.Store.Declared(r.ID, r.Placement.Generation)
	if err != nil {
		return nil, 0, fmt.Errorf("read what the container is made from: %w", err)
	}
	return &v.Spec, v.Generation, nil
}

// placed is the placement that a step is about.
func placed(r *store.Record, next step) *store.Placement {
	if next.next {
		return &r.Next
	}
	return &r.Placement
}

// create makes the intended container and records it. A taken name is either our own, made before we died, or somebody else's.
func (k *Controller) create(ctx context.Context, r *store.Record, p *store.Placement) error {
	spec, err := &r.Spec, error(nil)
	if p == &r.Placement {
		if spec, _, err = k.specOf(r); err != nil {
			return err
		}
	}
	if err := errors.Join(k.permit(ctx, r, p, spec), k.checkVolumes(ctx, spec)); err != nil {
		return err
	}
	if err := k.attach(r, p); err != nil {
		return err
	}
	made := *spec
	if made.Image, err = k.imageName(ctx, spec, p); err != nil {
		return err
	}
	dockerID, err := k.Runtime.Create(ctx, Template{ID: r.ID, Name: r.Name, DockerName: p.DockerName, Token: p.Token, Hash: p.TemplateHash,
		Instance: k.Store.Instance(), Spec: made, Ports: p.Ports, SocketDir: k.Endpoints.Dir(r.ID), CodeDir: k.codeMount(p), Volumes: p.Carried, HostPaths: hostPaths(mounted(p, spec))})
	k.Fail("after-create")
	if errors.Is(err, ErrConflict) {
		return k.nameTaken(ctx, r, p.DockerName)
	}
	if err != nil {
		return err
	}
	return k.record(ctx, r, p.Token, dockerID)
}

// errUnsettled means that a name is taken by a container that is not there: it has just gone, or the engine is still making
// it, for us perhaps, who gave up waiting. Either way a moment later will tell.
var errUnsettled = errors.New("its holder is coming or going")

func (k *Controller) nameTaken(ctx context.Context, r *store.Record, name string) error {
	o, err := k.Runtime.Inspect(ctx, name)
	switch {
	case errors.Is(err, ErrAbsent):
		return fmt.Errorf("name %s: %w", name, errUnsettled)
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
func (k *Controller) record(ctx context.Context, r *store.Record, token, dockerID string) error {
	k.observer.mark(r.ID, dockerID)
	err := k.edit(ctx, r, func(c *store.Record) {
		switch token {
		case c.Placement.Token:
			c.Placement.DockerID, c.Status.DockerID = dockerID, dockerID
		case c.Next.Token:
			c.Next.DockerID = dockerID
		}
	})
	k.Fail("after-record")
	return err
}

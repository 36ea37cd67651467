package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// intend writes what is about to be created. The former placement is kept until its container is known to be gone.
func (k *Controller) intend(ctx context.Context, r *store.Record, o *plan.Observation, next *plan.Step) (*plan.Result, error) {
	spec, generation, err := k.made(r, next)
	if err != nil {
		return nil, err
	}
	code, err := k.madeCode(r, next)
	if err != nil {
		return nil, err
	}
	image, err := k.image(ctx, r, spec)
	if err != nil {
		return nil, err
	}
	ports, err := k.ports.pick(r, k.Store, k.Policy.ManagerPort)
	if err != nil {
		return nil, err
	}
	places, err := k.places(r, spec)
	if err != nil {
		return nil, err
	}
	p := &store.Placement{Token: xid.New().String(), DockerName: r.Name, Generation: generation, Cause: next.Cause,
		TemplateHash: api.TemplateHash(spec), Resources: spec.Resources, Network: spec.Network, Ports: ports, HostMounts: places, Carried: carried(r, o),
		Stable: takesPlaceOf(r, next), ImageID: image.ID, ImageDigest: image.Digest, Code: code.Digest, AskedBy: code.Code}
	if next.Action == plan.IntendReplacement {
		p.DockerName = plan.Aside(r, p.Token)
	}
	res := &plan.Result{Placement: p, Image: &image}
	if code.Digest != "" {
		res.Code = &code
	}
	return res, nil
}

// takesPlaceOf tells whether a container is made anew that an update went back to: it counts as known to work.
func takesPlaceOf(r *store.Record, next *plan.Step) bool {
	return next.Action == plan.Intend && plan.Exhausted(r)
}

// carried are the anonymous volumes that a new container takes over from the standing one.
func carried(r *store.Record, o *plan.Observation) map[string]string {
	stands := r.Current
	if c := o.Current; c != nil {
		stands.Anonymous, stands.Carried = c.Anonymous, c.Carried
	}
	return stands.Volumes()
}

// made is the spec that a container is to be made from, and its generation: what is declared, or where that was taken back,
// what stood before it.
func (k *Controller) made(r *store.Record, next *plan.Step) (*api.Spec, int64, error) {
	if next.Action == plan.IntendReplacement || !plan.Exhausted(r) {
		return &r.Spec, r.TemplateGeneration, nil
	}
	return k.specOf(r)
}

// madeCode is the snapshot that a container is to run, and the request that led to it.
func (k *Controller) madeCode(r *store.Record, next *plan.Step) (store.Taken, error) {
	if next.Action == plan.IntendReplacement || !plan.Exhausted(r) {
		digest, err := k.code(r)
		return store.Taken{Code: r.Code, Digest: digest}, err
	}
	return store.Taken{Code: r.Current.AskedBy, Digest: r.Current.Code}, nil
}

// specOf is what the current container is made from, with its limits, and its generation.
func (k *Controller) specOf(r *store.Record) (*api.Spec, int64, error) {
	if plan.Serving(r) || r.Current.Generation == 0 {
		return &r.Spec, r.TemplateGeneration, nil
	}
	v, err := k.Store.Declared(r.ID, r.Current.Generation)
	if err != nil {
		return nil, 0, fmt.Errorf("read what the container is made from: %w", err)
	}
	spec := v.Spec
	spec.Resources = r.Current.Resources
	return &spec, v.Generation, nil
}

// placed is the placement that a step is about.
func placed(r *store.Record, next *plan.Step) *store.Placement {
	if next.Candidate {
		return &r.Candidate
	}
	return &r.Current
}

// create makes the intended container. A taken name is either our own, made before we died, or somebody else's.
func (k *Controller) create(ctx context.Context, r *store.Record, next *plan.Step) (*plan.Result, error) {
	p, spec := placed(r, next), &r.Spec
	if !next.Candidate {
		var err error
		if spec, _, err = k.specOf(r); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(k.permit(ctx, r, p, spec), k.checkVolumes(ctx, spec)); err != nil {
		return nil, err
	}
	if err := k.attach(r, p); err != nil {
		return nil, err
	}
	made := *spec
	made.Resources = p.Resources // those of a newer declaration are given to it in place, and noted then
	name, image, err := k.imageFor(ctx, spec, p)
	if err != nil {
		return nil, err
	}
	made.Image = name
	warning := ""
	if image.Deadly && made.Healthcheck == nil {
		made.Healthcheck = &api.Healthcheck{Test: []string{api.CheckNone}}
		warning = fmt.Sprintf("%s runs without a health check: that of image %s has no command, of which an engine can die; declare one, or mend the image", r.Name, spec.Image)
	}
	dockerID, err := k.Runtime.Create(ctx, Template{ID: r.ID, Name: r.Name, DockerName: p.DockerName, Token: p.Token, Hash: p.TemplateHash,
		Instance: k.Store.Instance(), Spec: made, Ports: p.Ports, SocketDir: k.Endpoints.Dir(r.ID), CodeDir: k.codeMount(p), Volumes: p.Carried, HostPaths: hostPaths(mounted(p, spec))})
	switch {
	case errors.Is(err, ErrConflict):
		return nil, k.nameTaken(ctx, r, p.DockerName)
	case err != nil:
		return nil, err
	}
	k.observer.invalidate(r.ID, dockerID)
	return &plan.Result{DockerID: dockerID, Warning: warning}, nil
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
		k.observer.invalidate(r.ID, o.DockerID)
		return errStateChanged
	}
	return api.Errorf(api.ConflictError, "the Docker name %q belongs to container %.12s, which is not the manager's; rename or remove that one, and this one gets its name", o.Name, o.DockerID).
		With("docker_id", o.DockerID)
}

package controller

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// Prober looks at the host and the engine for what an error that the engine did not class leaves open. The engine's text
// is for people: it is never read for a cause.
type Prober interface {
	// Bind takes a port of the host and lets it go again. address is where it tried, err why the port cannot be had.
	Bind(protocol string, at api.HostPort) (address string, err error)
	// Space tells what is left of the file systems that the engine and the manager write to.
	Space(ctx context.Context) ([]Space, error)
	// HasImage and HasNetwork tell whether the engine knows one by that name.
	HasImage(ctx context.Context, name string) (bool, error)
	HasNetwork(ctx context.Context, name string) (bool, error)
	// UnknownUser is the name of the user or group that a container is to run as and does not know, "" where it knows them.
	UnknownUser(ctx context.Context, dockerID string) (string, error)
}

// Space is what is left of a file system for whoever is not root.
type Space struct {
	// Path is the folder on it that is written to.
	Path          string
	Bytes, Inodes uint64
}

const (
	// probeTimeout bounds all looks after one failure.
	probeTimeout = 10 * time.Second
	// fullBytes and fullInodes are what a container's files and layers take at least; with less a file system counts as full.
	fullBytes  = 16 << 20
	fullInodes = 64
)

// finding is why an action fails: a reason for machines and a sentence for people that says what to do.
type finding struct {
	reason string
	told   *api.Error
}

// probe finds out why a create or a start met an error without a class. What is certain to be the cause is looked for
// before what may be; a look that fails finds nothing.
func (k *Controller) probe(ctx context.Context, r *store.Record, next *plan.Step, cause error) *finding {
	if k.Prober == nil || explained(cause) {
		return nil
	}
	var looks []func(context.Context, *store.Record, *plan.Step) (*finding, error)
	switch next.Action {
	case plan.Create:
		looks = append(looks, k.lookForImage, k.lookForSpace)
	case plan.Start:
		if f := k.lookForPorts(r); f != nil {
			return f
		}
		looks = append(looks, k.lookForNetwork, k.lookForUser, k.lookForSpace)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, look := range looks {
		began := time.Now()
		f, err := look(ctx, r, next)
		counted{calls: k.metrics.calls, rates: k.rates}.count(ctx, "probe", began, err)
		if err != nil {
			k.logFor(r).Warn().Err(err).Str("operation", "probe").Msg("a look for the cause of a failure failed itself")
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// explained tells whether an error has a class, or is a sentence already.
func explained(err error) bool {
	_, told := errors.AsType[*api.Error](err)
	return told || class(err) != unclassed
}

// lookForPorts tries the ports that the engine was to publish.
func (k *Controller) lookForPorts(r *store.Record) *finding {
	for _, inside := range slices.Sorted(maps.Keys(r.Current.Ports)) {
		_, protocol, err := api.ParsePort(inside)
		if err != nil {
			continue // it was refused at its declaration
		}
		at := r.Current.Ports[inside]
		address, err := k.Prober.Bind(protocol, at)
		address = cmp.Or(address, "every address")
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return &finding{api.ReasonPortTaken, api.Errorf(api.ConflictError, "port %d/%s of %s is taken by something else on this host, so container port %s cannot be published there; "+
				"stop what listens there, or declare another port. The start is tried again and works once the port is free", at.Port, protocol, address, inside)}
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return &finding{api.ReasonAddressNotAvailable, api.Errorf(api.DockerAPIError, "no interface of this host has the address %s, so port %d/%s cannot be published there; "+
				"declare an address that this host has. The start is tried again", address, at.Port, protocol)}
		}
	}
	return nil
}

func (k *Controller) lookForSpace(ctx context.Context, _ *store.Record, next *plan.Step) (*finding, error) {
	left, err := k.Prober.Space(ctx)
	for _, s := range left {
		if s.Bytes < fullBytes || s.Inodes < fullInodes {
			return &finding{api.ReasonNoSpace, api.Errorf(api.SystemError, "the engine could not %s the container, and the file system of %s has only %d bytes and %d inodes left; "+
				"make room there. It is tried again", plan.Word(next.Action), s.Path, s.Bytes, s.Inodes)}, nil
		}
	}
	return nil, err
}

func (k *Controller) lookForImage(ctx context.Context, r *store.Record, _ *plan.Step) (*finding, error) {
	if there, err := k.Prober.HasImage(ctx, r.Spec.Image); there || err != nil {
		return nil, err
	}
	return imageNotFound(r), nil
}

func imageNotFound(r *store.Record) *finding {
	return &finding{api.ReasonImageNotFound, api.Errorf(api.ImageNotFound, "image %q is not on this engine; load or pull it there, and the container is made", r.Spec.Image)}
}

func (k *Controller) lookForNetwork(ctx context.Context, r *store.Record, _ *plan.Step) (*finding, error) {
	if r.Spec.Network == api.NetworkNone || r.Spec.Network == api.NetworkHost {
		return nil, nil // they need not be there: not every engine has a network of that name
	}
	if there, err := k.Prober.HasNetwork(ctx, r.Spec.Network); there || err != nil {
		return nil, err
	}
	return networkNotFound(r.Spec.Network), nil
}

func networkNotFound(name string) *finding {
	return &finding{api.ReasonNetworkNotFound, api.Errorf(api.DockerAPIError, "network %q is not on this engine; create it there, and the container is started, or declare another network", name)}
}

func (k *Controller) lookForUser(ctx context.Context, _ *store.Record, next *plan.Step) (*finding, error) {
	name, err := k.Prober.UnknownUser(ctx, next.On.DockerID)
	if name == "" || err != nil {
		return nil, err
	}
	return &finding{api.ReasonUserNotFound, api.Errorf(api.DockerAPIError, "the image has no user or group %q in its /etc/passwd or /etc/group; declare one that it has, or a number", name)}, nil
}

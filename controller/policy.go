package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/hostpath"
	"github.com/flow-manager/flow-manager/store"
)

// Policy is what the operator of the host allows declarations to reach; the zero value allows nothing of it.
type Policy struct {
	// HostPaths says what of the host may be mounted.
	HostPaths *hostpath.Guard
	// Volumes are named volumes that may be mounted though they are not ours.
	Volumes []string
	// Networks are those of the engine that containers may be declared for, beside its default one.
	Networks []string
	// HostNetwork lets containers share the host's network.
	HostNetwork bool
	// PublishAddress is where ports without an address are published.
	PublishAddress string
	// ManagerPort is the TCP port that the manager itself listens at, 0 for none.
	ManagerPort int
}

// admitTimeout is how long a client waits for the engine's word about its volumes; they are judged again before each create.
const admitTimeout = 2 * time.Second

// Admit judges the spec that a client declares for the container called name, "" for one without a name, by what is on the
// host and in the engine now. Only an admin reads whether a path is outside what is allowed or not there. The error is an
// *api.Error.
func (k *Controller) Admit(ctx context.Context, name string, s *api.Spec, admin bool) error {
	if err := errors.Join(k.Policy.admitHostNetwork(s), k.Policy.admitNetwork(s)); err != nil {
		return err
	}
	others := sync.OnceValue(func() []hostpath.Claim {
		return k.claims(func(r *store.Record) bool { return r.Name == name && name != "" })
	})
	for _, m := range s.Mounts() {
		if !m.IsHostPath() {
			continue
		}
		if _, err := k.Policy.resolve(m.Source, !m.ReadOnly, others(), admin); err != nil {
			return err
		}
	}
	if s.Code != nil {
		if _, err := k.Policy.resolve(s.Code.Path, false, others(), admin); err != nil {
			return err
		}
	}
	return k.admitVolumes(ctx, s)
}

// admitVolumes lets pass what cannot be judged now.
func (k *Controller) admitVolumes(ctx context.Context, s *api.Spec) error {
	if k.EngineKnown() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	err := k.checkVolumes(ctx, s)
	if _, refused := errors.AsType[*api.Error](err); refused {
		return err
	}
	return nil
}

// permit judges a container right before it is made or started: what was harmless at its declaration may not be now.
func (k *Controller) permit(ctx context.Context, r *store.Record, p *store.Placement, spec *api.Spec) error {
	if h := spec.Healthcheck; h != nil && api.CheckWithoutCommand(h.Test) {
		return withoutCommand()
	}
	if err := errors.Join(k.Policy.admitHostNetwork(spec), k.Policy.admitOwnPort(spec)); err != nil {
		return err
	}
	if err := k.checkNetwork(ctx, spec); err != nil {
		return err
	}
	return k.checkPlaces(r, mounted(p, spec))
}

// withoutCommand is told of a declaration from before such checks were refused, or of a container that somebody else made.
func withoutCommand() error {
	return api.Errorf(api.ValidationError, "its health check has no command, of which an engine can die with all that runs on it; declare one with a command, or NONE").
		With("reason", api.ReasonInvalidSpec)
}

func (p *Policy) admitHostNetwork(s *api.Spec) error {
	if s.Network != api.NetworkHost || p.HostNetwork {
		return nil
	}
	return api.Errorf(api.PolicyError, "network host is not allowed: it opens every port and service of the host to the flow; publish ports instead, or have it allowed by --allow-host-network")
}

// admitNetwork is asked at a declaration only: what was declared before networks had to be allowed keeps the one that it has.
func (p *Policy) admitNetwork(s *api.Spec) error {
	if api.IsEnginesNetwork(s.Network) || slices.Contains(p.Networks, s.Network) {
		return nil
	}
	return api.Errorf(api.PolicyError, "network %q is not allowed: it opens to the flow all that other containers serve there; use bridge or none, or have it allowed by --allow-network", s.Network)
}

// admitOwnPort keeps flows from being taken for the manager, on whatever address of the host.
func (p *Policy) admitOwnPort(s *api.Spec) error {
	for _, w := range p.publishedPorts(s.Ports) {
		if p.ManagerPort != 0 && w.protocol == "tcp" && w.port == p.ManagerPort {
			return api.Errorf(api.PolicyError, "host port %s cannot be published: port %d is the manager's own, on every address; declare another one, or 0 to have one picked", w, w.port)
		}
	}
	return nil
}

// resolve gives the path that a host path leads to, or refuses it in words for a client.
func (p *Policy) resolve(path string, write bool, others []hostpath.Claim, admin bool) (string, error) {
	real, err := p.HostPaths.Resolve(path, write, others)
	switch {
	case err == nil:
		return real, nil
	case !admin && (errors.Is(err, hostpath.ErrAbsent) || errors.Is(err, hostpath.ErrOutside)):
		return "", api.Errorf(api.PolicyError, "host path %q is not there, or not below a folder that --allow-host-path names; use a named volume, or have the folder allowed", path).Because(err)
	}
	return "", api.Errorf(api.PolicyError, "host path %q cannot be mounted: %v", path, err)
}

// places are where the host paths of a spec lead. They are written down before the container is made and given to the
// engine in place of what was declared: it resolves symlinks again at each start, and would find what was put there since.
func (k *Controller) places(r *store.Record, spec *api.Spec) ([]store.HostMount, error) {
	var found []store.HostMount
	var others []hostpath.Claim
	for _, m := range spec.Mounts() {
		if !m.IsHostPath() {
			continue
		}
		if others == nil {
			others = k.claims(func(o *store.Record) bool { return o.ID == r.ID })
		}
		real, err := k.Policy.resolve(m.Source, false, others, false)
		if err != nil {
			return nil, err
		}
		found = append(found, store.HostMount{Declared: m.Source, Path: real, Write: !m.ReadOnly})
	}
	return found, nil
}

// checkPlaces judges the paths that the engine was given, or is about to be. One that has become a symlink is refused,
// wherever that leads.
func (k *Controller) checkPlaces(r *store.Record, mounts []store.HostMount) error {
	if len(mounts) == 0 {
		return nil
	}
	others := k.claims(func(o *store.Record) bool { return o.ID == r.ID })
	for _, m := range mounts {
		real, err := k.Policy.resolve(m.Path, false, others, false)
		if err != nil {
			return err
		}
		if real != m.Path {
			return api.Errorf(api.PolicyError, "host path %q leads elsewhere now than when the container was made; put back what was there, or declare another path", m.Declared)
		}
	}
	return nil
}

// mounted are the host paths of a placement's container. One that was made before its paths were written down has what is declared.
func mounted(p *store.Placement, spec *api.Spec) []store.HostMount {
	mounts := slices.Clone(p.HostMounts)
	for _, m := range spec.Mounts() {
		known := func(h store.HostMount) bool { return h.Declared == m.Source }
		if m.IsHostPath() && !slices.ContainsFunc(mounts, known) {
			mounts = append(mounts, store.HostMount{Declared: m.Source, Path: m.Source, Write: !m.ReadOnly})
		}
	}
	return mounts
}

func hostPaths(mounts []store.HostMount) map[string]string {
	paths := make(map[string]string, len(mounts))
	for _, m := range mounts {
		paths[m.Declared] = m.Path
	}
	return paths
}

// claims are the host paths of all records but those that own is true of: what they declare, and what their containers
// were made with.
func (k *Controller) claims(own func(*store.Record) bool) []hostpath.Claim {
	claims := []hostpath.Claim{}
	records, _ := k.Store.List()
	for _, r := range records {
		if own(r) {
			continue
		}
		for _, m := range r.Spec.Mounts() {
			if m.IsHostPath() {
				claims = append(claims, hostpath.Claim{Path: m.Source, Write: !m.ReadOnly, Holder: r.Name})
			}
		}
		for _, p := range r.AllPlacements() {
			for _, m := range p.HostMounts {
				claims = append(claims, hostpath.Claim{Path: m.Path, Write: m.Write, Holder: r.Name})
			}
		}
	}
	return claims
}

// checkVolumes lets a container have named volumes that are ours, that will be, or that the operator named.
func (k *Controller) checkVolumes(ctx context.Context, s *api.Spec) error {
	for _, m := range s.Mounts() {
		if m.IsHostPath() || slices.Contains(k.Policy.Volumes, m.Source) {
			continue
		}
		instance, err := k.Runtime.VolumeInstance(ctx, m.Source)
		switch {
		case errors.Is(err, ErrAbsent):
			continue
		case err != nil:
			return fmt.Errorf("look for volume %s: %w", m.Source, err)
		case instance != k.Store.Instance():
			return api.Errorf(api.PolicyError, "volume %q was not made by this manager; use another name, or have it allowed by --allow-volume", m.Source)
		}
	}
	return nil
}

// checkNetwork finds what the engine would only tell at the start. A network is known by its name alone: by its id the
// host's own could be had.
func (k *Controller) checkNetwork(ctx context.Context, s *api.Spec) error {
	if api.IsEnginesNetwork(s.Network) {
		return nil
	}
	name, err := k.Runtime.NetworkName(ctx, s.Network)
	switch {
	case errors.Is(err, ErrAbsent):
		missing := networkNotFound(s.Network)
		return missing.told.With("reason", missing.reason)
	case err != nil:
		return fmt.Errorf("look for network %s: %w", s.Network, err)
	case name != s.Network:
		return api.Errorf(api.PolicyError, "network %q is the id of network %q; use a network's name", s.Network, name)
	}
	return nil
}

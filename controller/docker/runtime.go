package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// Config says where the engine is and what its containers may use.
type Config struct {
	// Host is a Unix socket as unix:///path; empty is the default one.
	Host string
	// PublishAddress is where ports without an address are published.
	PublishAddress string
	// Folders are where the manager itself writes: with the engine's own, they must have space left. What containers wrote that are
	// removed is kept in the first while it is read.
	Folders []string
}

// Runtime talks to one engine. All methods may be called at once.
type Runtime struct {
	client  *client.Client
	config  Config
	folders atomic.Pointer[[]string] // of the engine, as it told them last
	kept    kept
}

var _ controller.Runtime = (*Runtime)(nil)

// New prepares a connection; nothing is sent yet.
func New(c Config) (*Runtime, error) {
	options := []client.Opt{client.WithAPIVersionNegotiation()}
	if c.Host != "" {
		options = append(options, client.WithHost(c.Host))
	}
	cli, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, fmt.Errorf("prepare the engine's client: %w", err)
	}
	return &Runtime{client: cli, config: c}, nil
}

// Close drops idle connections.
func (r *Runtime) Close() error { return r.client.Close() }

// Engine implements controller.Runtime, and notes where the engine keeps what is its own.
func (r *Runtime) Engine(ctx context.Context) (string, error) {
	info, err := r.client.Info(ctx)
	if err != nil {
		return "", classed(err)
	}
	folders := foldersOf(&info)
	r.folders.Store(&folders)
	return info.ID, nil
}

// foldersOf are the engine's data root, and the folder of the containerd that it uses, where it tells that.
func foldersOf(info *system.Info) []string {
	var folders []string
	if filepath.IsAbs(info.DockerRootDir) {
		folders = append(folders, info.DockerRootDir)
	}
	if c := info.Containerd; c != nil && filepath.IsAbs(c.Address) {
		folders = append(folders, filepath.Dir(c.Address))
	}
	return folders
}

// Folders are where the engine keeps what is its own, as far as it has told by now.
func (r *Runtime) Folders() []string {
	if folders := r.folders.Load(); folders != nil {
		return *folders
	}
	return nil
}

// List implements controller.Runtime.
func (r *Runtime) List(ctx context.Context) ([]plan.Container, error) {
	list, err := r.client.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelID))})
	if err != nil {
		return nil, classed(err)
	}
	seen := make([]plan.Container, len(list))
	for i := range list {
		seen[i] = summary(&list[i])
	}
	return seen, nil
}

// Inspect implements controller.Runtime.
func (r *Runtime) Inspect(ctx context.Context, ref string) (plan.Container, error) {
	c, err := r.client.ContainerInspect(ctx, ref)
	if err != nil {
		return plan.Container{}, classed(err)
	}
	o, err := observed(&c)
	if err == nil && mayHaveRunOut(&c, &o) {
		o.OOMKilled = r.ranOut(ctx, &o)
	}
	return o, err
}

// Create implements controller.Runtime.
func (r *Runtime) Create(ctx context.Context, t controller.Template) (string, error) {
	config, host, err := convert(&t, r.config.PublishAddress)
	if err != nil {
		return "", err
	}
	made, err := r.client.ContainerCreate(ctx, config, host, networking(&t), nil, t.DockerName)
	return made.ID, classed(err)
}

// networking has a container found by the flow's name, whatever it is called itself.
func networking(t *controller.Template) *network.NetworkingConfig {
	name := t.Spec.Network
	if api.IsEnginesNetwork(name) {
		return &network.NetworkingConfig{}
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: {Aliases: aliases(name, t.Name)}}}
}

// VolumeInstance implements controller.Runtime.
func (r *Runtime) VolumeInstance(ctx context.Context, name string) (string, error) {
	v, err := r.client.VolumeInspect(ctx, name)
	return v.Labels[labelInstance], classed(err)
}

// NetworkName implements controller.Runtime.
func (r *Runtime) NetworkName(ctx context.Context, ref string) (string, error) {
	n, err := r.client.NetworkInspect(ctx, ref, network.InspectOptions{})
	return n.Name, classed(err)
}

// Start implements controller.Runtime.
func (r *Runtime) Start(ctx context.Context, dockerID string) error {
	return classed(r.client.ContainerStart(ctx, dockerID, container.StartOptions{}))
}

// Kill implements controller.Runtime.
func (r *Runtime) Kill(ctx context.Context, dockerID, signal string) error {
	return classed(r.client.ContainerKill(ctx, dockerID, signal))
}

// Pause implements controller.Runtime.
func (r *Runtime) Pause(ctx context.Context, dockerID string) error {
	return classed(r.client.ContainerPause(ctx, dockerID))
}

// Unpause implements controller.Runtime.
func (r *Runtime) Unpause(ctx context.Context, dockerID string) error {
	return classed(r.client.ContainerUnpause(ctx, dockerID))
}

// Rename implements controller.Runtime.
func (r *Runtime) Rename(ctx context.Context, dockerID, name string) error {
	return classed(r.client.ContainerRename(ctx, dockerID, name))
}

// Limit implements controller.Runtime.
func (r *Runtime) Limit(ctx context.Context, dockerID string, l api.Resources) error {
	_, err := r.client.ContainerUpdate(ctx, dockerID, container.UpdateConfig{Resources: limits(l), RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}})
	return classed(err)
}

// Connect implements controller.Runtime.
func (r *Runtime) Connect(ctx context.Context, dockerID, name, alias string) error {
	if err := classed(r.client.NetworkDisconnect(ctx, name, dockerID, true)); err != nil && !absentOrApart(err) {
		return err
	}
	return classed(r.client.NetworkConnect(ctx, name, dockerID, &network.EndpointSettings{Aliases: aliases(name, alias)}))
}

// absentOrApart tells that there is nothing to disconnect: the engine has no class for that.
func absentOrApart(err error) bool { return !errors.Is(err, controller.ErrUnavailable) }

// aliases are the names of a container beside its own. The engine's default network knows none.
func aliases(network, alias string) []string {
	if network == api.NetworkBridge || alias == "" {
		return nil
	}
	return []string{alias}
}

// Remove implements controller.Runtime. What somebody has not read yet of the output is kept for them, if it can be.
func (r *Runtime) Remove(ctx context.Context, dockerID string) error {
	r.keepOutput(ctx, dockerID)
	err := r.client.ContainerRemove(ctx, dockerID, container.RemoveOptions{RemoveVolumes: true})
	if err != nil {
		r.kept.put(dockerID, nil, 0)
	}
	return classed(err)
}

// RemoveCarried implements controller.Runtime.
func (r *Runtime) RemoveCarried(ctx context.Context, name string) error {
	return classed(r.client.VolumeRemove(ctx, name, false))
}

// RemoveVolume implements controller.Runtime.
func (r *Runtime) RemoveVolume(ctx context.Context, name, instance string) error {
	v, err := r.client.VolumeInspect(ctx, name)
	if err != nil {
		return classed(err)
	}
	if instance == "" || v.Labels[labelInstance] != instance {
		return nil
	}
	return classed(r.client.VolumeRemove(ctx, name, false))
}

package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/go-connections/nat"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

// The labels of our containers. They cannot change after a create, so none of them can go stale.
const (
	labelID       = api.LabelPrefix + "id"
	labelName     = api.LabelPrefix + "name"
	labelToken    = api.LabelPrefix + "create"
	labelHash     = api.LabelPrefix + "template-hash"
	labelInstance = api.LabelPrefix + "instance"
)

// socketTarget is where a flow finds the folder of its socket.
const socketTarget = "/run/flow"

// convert makes the engine's configuration of a template.
func convert(t *controller.Template, publish string) (*container.Config, *container.HostConfig, error) {
	exposed, bindings, err := ports(t.Ports, publish)
	if err != nil {
		return nil, nil, err
	}
	s := &t.Spec
	config := &container.Config{
		Image:        s.Image,
		Hostname:     s.Hostname,
		User:         s.User,
		WorkingDir:   s.WorkingDir,
		Env:          environment(t),
		Cmd:          strslice.StrSlice(s.Command),
		Entrypoint:   strslice.StrSlice(s.Entrypoint),
		StopSignal:   s.StopSignal,
		ExposedPorts: exposed,
		Healthcheck:  healthcheck(s.Healthcheck),
		Labels: map[string]string{labelID: t.ID, labelName: t.Name, labelToken: t.Token,
			labelHash: t.Hash, labelInstance: t.Instance},
	}
	host := &container.HostConfig{
		Mounts:        mounts(t),
		PortBindings:  bindings,
		NetworkMode:   container.NetworkMode(s.Network),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Init:          s.Init,
		SecurityOpt:   []string{"no-new-privileges"},
		CapDrop:       strslice.StrSlice{"MKNOD", "NET_RAW"},
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "3"}},
		Resources:     limits(s.Resources),
	}
	return config, host, nil
}

func environment(t *controller.Template) []string {
	env := []string{
		"FLOW_SOCKET=" + socketTarget + "/" + t.ID + ".sock",
		"FLOW_CONTAINER_ID=" + t.ID,
		"FLOW_CONTAINER_NAME=" + t.Name,
	}
	for _, key := range slices.Sorted(maps.Keys(t.Spec.Environment)) {
		env = append(env, key+"="+t.Spec.Environment[key])
	}
	return env
}

// mounts never uses Binds: there a source that is missing is created, and a flow runs happily without its data.
func mounts(t *controller.Template) []mount.Mount {
	list := []mount.Mount{{Type: mount.TypeBind, Source: t.SocketDir, Target: socketTarget, ReadOnly: true}}
	if t.CodeDir != "" {
		list = append(list, mount.Mount{Type: mount.TypeBind, Source: t.CodeDir, Target: t.Spec.Code.Target, ReadOnly: true})
	}
	for _, m := range t.Spec.Mounts() {
		one := mount.Mount{Type: mount.TypeBind, Source: t.HostPaths[m.Source], Target: m.Target, ReadOnly: m.ReadOnly}
		if !m.IsHostPath() {
			one.Type, one.Source = mount.TypeVolume, m.Source
			one.VolumeOptions = &mount.VolumeOptions{Labels: map[string]string{labelInstance: t.Instance}}
		}
		list = append(list, one)
	}
	for _, target := range slices.Sorted(maps.Keys(t.Volumes)) {
		if !slices.ContainsFunc(list, func(m mount.Mount) bool { return m.Target == target }) {
			list = append(list, mount.Mount{Type: mount.TypeVolume, Source: t.Volumes[target], Target: target})
		}
	}
	return list
}

// ports exposes what it binds: a binding alone publishes nothing, silently.
func ports(declared map[string]api.HostPort, publish string) (nat.PortSet, nat.PortMap, error) {
	exposed, bindings := nat.PortSet{}, nat.PortMap{}
	for inside, outside := range declared {
		number, protocol, err := api.ParsePort(inside)
		if err != nil {
			return nil, nil, fmt.Errorf("port %s: %w", inside, err)
		}
		port := nat.Port(fmt.Sprintf("%d/%s", number, protocol))
		address := outside.Address
		if address == "" {
			address = publish
		}
		exposed[port] = struct{}{}
		bindings[port] = []nat.PortBinding{{HostIP: address, HostPort: strconv.Itoa(outside.Port)}}
	}
	return exposed, bindings, nil
}

// limits sends memory and swap together: the engine refuses a limit above the swap limit that stands.
func limits(r api.Resources) container.Resources {
	pids := r.PidsLimit
	return container.Resources{Memory: r.MemoryBytes, MemorySwap: r.MemoryBytes, NanoCPUs: r.NanoCPUs, PidsLimit: &pids}
}

func healthcheck(h *api.Healthcheck) *container.HealthConfig {
	if h == nil {
		return nil
	}
	return &container.HealthConfig{
		Test: h.Test, Retries: h.Retries, Interval: seconds(h.Interval), Timeout: seconds(h.Timeout), StartPeriod: seconds(h.StartPeriod),
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

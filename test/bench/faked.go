package main

import (
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/storage"
)

func (f *faked) state() string {
	if f.started.IsZero() {
		return "created"
	}
	return "running"
}

// summarize makes what a list says of the container, once for each of its states.
func (f *faked) summarize() {
	s := container.Summary{
		ID: f.id, Names: []string{"/" + f.name}, Image: f.made.Image, ImageID: imageID, Command: "/sbin/docker-init -- /echo", Created: f.created.Unix(),
		Ports: []container.Port{}, Labels: f.made.Labels, State: f.state(), Status: strings.ToUpper(f.state()[:1]) + f.state()[1:],
		Mounts: f.mounts(), NetworkSettings: &container.NetworkSettingsSummary{Networks: f.networks()},
	}
	s.HostConfig.NetworkMode = "bridge"
	f.summary = encode(s)
}

func (f *faked) mounts() []container.MountPoint {
	var points []container.MountPoint
	for _, m := range f.made.HostConfig.Mounts {
		points = append(points, container.MountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Propagation: "rprivate"})
	}
	return points
}

func (f *faked) networks() map[string]*network.EndpointSettings {
	return map[string]*network.EndpointSettings{"bridge": {NetworkID: f.id, EndpointID: f.id, Gateway: "172.17.0.1", IPAddress: "172.17.0.2", IPPrefixLen: 16, MacAddress: "02:42:ac:11:00:02"}}
}

// inspected is what the engine says of the container when asked about it alone.
func (f *faked) inspected() container.InspectResponse {
	const never = "0001-01-01T00:00:00Z"
	started, pid := never, 0
	if !f.started.IsZero() {
		started, pid = f.started.Format(time.RFC3339Nano), 4711
	}
	host := *f.made.HostConfig
	host.MaskedPaths = []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"}
	host.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	home, layer := "/var/lib/docker/containers/"+f.id+"/", "/var/lib/docker/overlay2/"+f.id
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: f.id, Created: f.created.Format(time.RFC3339Nano), Path: "/echo", Args: []string{}, Image: imageID, Name: "/" + f.name, Driver: "overlay2", Platform: "linux",
			State:          &container.State{Status: f.state(), Running: pid > 0, Pid: pid, StartedAt: started, FinishedAt: never},
			ResolvConfPath: home + "resolv.conf", HostnamePath: home + "hostname", HostsPath: home + "hosts", LogPath: home + f.id + "-json.log", HostConfig: &host,
			GraphDriver: storage.DriverData{Name: "overlay2", Data: map[string]string{
				"LowerDir": layer + "-init/diff:" + layer + "/diff", "MergedDir": layer + "/merged", "UpperDir": layer + "/diff", "WorkDir": layer + "/work"}},
		},
		Mounts: f.mounts(), Config: f.made.Config,
		NetworkSettings: &container.NetworkSettings{Networks: f.networks()},
	}
}

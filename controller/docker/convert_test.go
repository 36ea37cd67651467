package docker

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

func TestConvert_WhatEveryContainerGets(t *testing.T) {
	spec := api.Spec{
		Image: "app", DesiredState: api.DesiredRunning,
		Environment: map[string]string{"B": "2", "A": "1"},
		Volumes:     map[string]string{"/srv/link": "/x:ro", "data": "/data"},
		Resources:   api.Resources{MemoryBytes: 64 << 20, NanoCPUs: 5e8},
		Healthcheck: &api.Healthcheck{Test: []string{"CMD", "true"}, Interval: 5},
	}
	spec.Default("web")
	template := controller.Template{
		ID: "id", Name: "web", DockerName: "web", Token: "token", Hash: "hash", Instance: "instance", Spec: spec, SocketDir: "/run/x/id",
		HostPaths: map[string]string{"/srv/link": "/srv/x"},
		Ports:     map[string]api.HostPort{"80": {Port: 8080}, "53/udp": {Address: "::1", Port: 53}},
	}
	config, host, err := convert(&template, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	yes, pids := true, int64(1024)
	wantConfig := &container.Config{
		Image: "app", Hostname: "web",
		Env:          []string{"FLOW_SOCKET=/run/flow/id.sock", "FLOW_CONTAINER_ID=id", "FLOW_CONTAINER_NAME=web", "A=1", "B=2"},
		ExposedPorts: nat.PortSet{"80/tcp": {}, "53/udp": {}},
		Healthcheck:  &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: 5 * time.Second},
		Labels: map[string]string{"io.flow-manager.id": "id", "io.flow-manager.name": "web", "io.flow-manager.create": "token",
			"io.flow-manager.template-hash": "hash", "io.flow-manager.instance": "instance"},
	}
	wantHost := &container.HostConfig{
		NetworkMode:   "bridge",
		RestartPolicy: container.RestartPolicy{Name: "no"},
		Init:          &yes,
		SecurityOpt:   []string{"no-new-privileges"},
		CapDrop:       []string{"MKNOD", "NET_RAW"},
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "3"}},
		Resources:     container.Resources{Memory: 64 << 20, MemorySwap: 64 << 20, NanoCPUs: 5e8, PidsLimit: &pids},
		PortBindings: nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1", HostPort: "8080"}},
			"53/udp": {{HostIP: "::1", HostPort: "53"}}},
		Mounts: []mount.Mount{
			{Type: mount.TypeBind, Source: "/run/x/id", Target: "/run/flow", ReadOnly: true},
			{Type: mount.TypeBind, Source: "/srv/x", Target: "/x", ReadOnly: true},
			{Type: mount.TypeVolume, Source: "data", Target: "/data", VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{"io.flow-manager.instance": "instance"}}},
		},
	}
	if diff := cmp.Diff(wantConfig, config) + cmp.Diff(wantHost, host); diff != "" {
		t.Error(diff)
	}
}

func TestUsage_OfTwoSamples(t *testing.T) {
	var s container.StatsResponse
	s.CPUStats.CPUUsage.TotalUsage, s.PreCPUStats.CPUUsage.TotalUsage = 1_500, 1_000
	s.CPUStats.SystemUsage, s.PreCPUStats.SystemUsage, s.CPUStats.OnlineCPUs = 4_000, 2_000, 2
	s.MemoryStats.Usage, s.MemoryStats.Limit, s.MemoryStats.Stats = 300, 1_000, map[string]uint64{"inactive_file": 100}
	s.Networks = map[string]container.NetworkStats{"a": {RxBytes: 1, TxBytes: 2}, "b": {RxBytes: 3, TxBytes: 4}}
	s.BlkioStats.IoServiceBytesRecursive = []container.BlkioStatEntry{{Op: "Read", Value: 5}, {Op: "write", Value: 6}}
	s.PidsStats.Current = 7
	want := api.Usage{CPUPercent: 50, MemoryUsage: 200, MemoryLimit: 1_000, MemoryPercent: 20, NetworkRxBytes: 4, NetworkTxBytes: 6,
		DiskReadBytes: 5, DiskWriteBytes: 6, Pids: 7}
	if diff := cmp.Diff(want, usage(&s)); diff != "" {
		t.Error(diff)
	}
	if zero := usage(&container.StatsResponse{}); zero.CPUPercent != 0 || zero.MemoryPercent != 0 {
		t.Errorf("of nothing: %+v", zero)
	}
}

package docker

import (
	"maps"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

func TestLeftTask(t *testing.T) {
	id := strings.Repeat("79c1", 16)
	tests := map[string]bool{
		"task " + id + ": already exists":          true,
		"task " + id + ": already exists: unknown": true,
		"":                           false,
		"no such command":            false,
		"task " + id + ": not found": false,
		"task " + strings.Repeat("0", 64) + ": already exists":             false,
		"driver failed: endpoint with name task already exists in network": false,
	}
	for text, want := range tests {
		if got := leftTask(id, text); got != want {
			t.Errorf("leftTask(%q) = %v", text, got)
		}
	}
}

func TestAnonymous(t *testing.T) {
	declared := mount.Mount{Type: mount.TypeVolume, Source: "data", Target: "/data", VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{labelInstance: "i"}}}
	taken := mount.Mount{Type: mount.TypeVolume, Source: "hex-1", Target: "/one"}
	bound := mount.Mount{Type: mount.TypeBind, Source: "/run/flows/id", Target: "/run/flow"}
	c := &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{HostConfig: &container.HostConfig{Mounts: []mount.Mount{declared, taken, bound}}},
		Mounts: []container.MountPoint{
			{Type: mount.TypeVolume, Name: "data", Destination: "/data"},
			{Type: mount.TypeVolume, Name: "hex-1", Destination: "/one"},
			{Type: mount.TypeVolume, Name: "hex-2", Destination: "/two"},
			{Type: mount.TypeBind, Destination: "/run/flow"},
		},
	}
	own, carried := anonymous(c)
	if !maps.Equal(own, map[string]string{"/two": "hex-2"}) || !maps.Equal(carried, map[string]string{"/one": "hex-1"}) {
		t.Errorf("its own are %v, and it took over %v", own, carried)
	}
}

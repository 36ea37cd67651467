package docker

import (
	"testing"

	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"
)

func TestImageFolders(t *testing.T) {
	store := [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
	shared := &system.ContainerdInfo{Address: "/run/containerd/containerd.sock"}
	tests := map[string]struct {
		info system.Info
		want []string
	}{
		"the engine's own images":          {system.Info{DockerRootDir: "/d", DriverStatus: [][2]string{{"Backing Filesystem", "extfs"}}, Containerd: shared}, []string{"/d"}},
		"those of the host's containerd":   {system.Info{DockerRootDir: "/d", DriverStatus: store, Containerd: shared}, []string{"/d", containerdRoot}},
		"those of a containerd of its own": {system.Info{DockerRootDir: "/d", DriverStatus: store, Containerd: &system.ContainerdInfo{Address: "/var/run/docker/containerd/containerd.sock"}}, []string{"/d"}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, imageFolders(&tt.info)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

package docker

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

var _ controller.Prober = (*Runtime)(nil)

// Bind implements controller.Prober.
func (r *Runtime) Bind(protocol string, at api.HostPort) (string, error) {
	address := cmp.Or(at.Address, r.config.PublishAddress)
	return address, controller.Bind(protocol, address, at.Port)
}

// Space implements controller.Prober. A folder that this process cannot see is left out.
func (r *Runtime) Space(ctx context.Context) ([]controller.Space, error) {
	info, err := r.client.Info(ctx)
	if err != nil {
		return nil, classed(err)
	}
	var left []controller.Space
	for _, path := range append(imageFolders(&info), r.config.Folders...) {
		if s, err := space(path); err == nil {
			left = append(left, s)
		}
	}
	return left, nil
}

// containerdRoot is where a containerd keeps images that no dockerd has started.
const containerdRoot = "/var/lib/containerd"

// imageFolders are where an engine writes images and the layers of containers. With containerd's image store these are containerd's,
// and below the engine's own folder only where that containerd is the engine's.
func imageFolders(info *system.Info) []string {
	folders := []string{info.DockerRootDir}
	snapshotter := slices.ContainsFunc(info.DriverStatus, func(of [2]string) bool {
		return of == [2]string{"driver-type", "io.containerd.snapshotter.v1"}
	})
	if snapshotter && info.Containerd != nil && info.Containerd.Address == "/run/containerd/containerd.sock" {
		folders = append(folders, containerdRoot)
	}
	return folders
}

func space(path string) (controller.Space, error) {
	var f unix.Statfs_t
	if err := unix.Statfs(path, &f); err != nil {
		return controller.Space{}, fmt.Errorf("look for space at %s: %w", path, err)
	}
	s := controller.Space{Path: path, Bytes: f.Bavail * uint64(f.Bsize), Inodes: f.Ffree}
	if f.Files == 0 { // it does not count them
		s.Inodes = math.MaxUint64
	}
	return s, nil
}

// HasImage implements controller.Prober.
func (r *Runtime) HasImage(ctx context.Context, name string) (bool, error) {
	_, err := r.client.ImageInspect(ctx, name)
	return exists(err)
}

// HasNetwork implements controller.Prober.
func (r *Runtime) HasNetwork(ctx context.Context, name string) (bool, error) {
	_, err := r.client.NetworkInspect(ctx, name, network.InspectOptions{})
	return exists(err)
}

func exists(err error) (bool, error) {
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, classed(err)
}

// UnknownUser implements controller.Prober. It looks into the container's own files, as the engine does at a start.
func (r *Runtime) UnknownUser(ctx context.Context, dockerID string) (string, error) {
	c, err := r.client.ContainerInspect(ctx, dockerID)
	if err != nil {
		return "", classed(err)
	}
	if c.Config == nil {
		return "", errors.New("the engine's answer about a container is not whole")
	}
	user, group, _ := strings.Cut(c.Config.User, ":")
	for _, entry := range []struct{ name, file string }{{user, "/etc/passwd"}, {group, "/etc/group"}} {
		if _, err := strconv.Atoi(entry.name); err == nil || entry.name == "" {
			continue // a number needs no entry
		}
		known, err := r.lists(ctx, dockerID, entry.file, entry.name)
		if err != nil {
			return "", err
		}
		if !known {
			return entry.name, nil
		}
	}
	return "", nil
}

// maxEntries is how much of a file of users or groups is read.
const maxEntries = 1 << 20

// lists tells whether a file of a container has an entry with a name. Where that cannot be told, because it is a link or too
// long, the answer is yes.
func (r *Runtime) lists(ctx context.Context, dockerID, path, name string) (bool, error) {
	archive, _, err := r.client.CopyFromContainer(ctx, dockerID, path)
	if err != nil {
		return exists(err)
	}
	defer archive.Close()
	file := tar.NewReader(archive)
	header, err := file.Next()
	if err != nil {
		return true, fmt.Errorf("read %s of the container: %w", path, err)
	}
	if header.Typeflag != tar.TypeReg || header.Size > maxEntries {
		return true, nil
	}
	return listed(file, name)
}

func listed(entries io.Reader, name string) (bool, error) {
	lines := bufio.NewScanner(entries)
	lines.Buffer(nil, maxEntries)
	for lines.Scan() {
		if entry, _, _ := strings.Cut(lines.Text(), ":"); entry == name {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil {
		return true, fmt.Errorf("read entries: %w", err)
	}
	return false, nil
}

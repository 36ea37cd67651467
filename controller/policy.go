package controller

import (
	"path/filepath"
	"strings"

	"github.com/flow-manager/flow-manager/api"
)

// Policy is what the operator of the host allows declarations to reach.
type Policy struct {
	// HostPaths are the roots below which host paths may be mounted.
	HostPaths []string
	// Never are paths that no root opens: they are not mounted, nor is anything below or above them.
	Never []string
}

// neverMounted are host paths that would hand over the host itself.
func neverMounted() []string {
	return []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd", "/var/lib/docker", "/proc", "/sys", "/dev"}
}

// Check judges a spec by what is on the host now. It is asked at declaration and before every create and start, because a
// symlink that was harmless then may not be now. The error is an *api.Error.
func (p *Policy) Check(s *api.Spec) error {
	if s.Network == api.NetworkHost {
		return api.Errorf(api.PolicyError, "network host is not allowed: it opens every port and service of the host to the flow; publish ports instead")
	}
	for _, m := range s.Mounts() {
		if !m.IsHostPath() {
			continue
		}
		if err := p.checkPath(m.Source); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) checkPath(path string) error {
	refused := api.Errorf(api.PolicyError, "host path %q is not there, or not below a folder that --allow-host-path names; use a named volume, or have the folder allowed", path)
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !p.allowed(real) {
		return refused.Because(err)
	}
	for _, never := range append(neverMounted(), p.Never...) {
		if within(real, resolved(never)) || within(resolved(never), real) {
			return api.Errorf(api.PolicyError, "host path %q reaches %s, which is never mounted", path, never)
		}
	}
	return nil
}

func (p *Policy) allowed(real string) bool {
	for _, root := range p.HostPaths {
		if within(real, resolved(root)) {
			return true
		}
	}
	return false
}

// resolved is where path leads, or path itself while it is not there.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

func within(path, root string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

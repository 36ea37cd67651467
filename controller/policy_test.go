package controller

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

func TestPolicy_HostPaths(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"open/in", "closed", "open/state", "open2"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"open/out": "closed", "open/near": "open/in", "way": "open"} {
		if err := os.Symlink(filepath.Join(base, to), filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	p := Policy{HostPaths: []string{filepath.Join(base, "way")}, Never: []string{filepath.Join(base, "open/state")}}
	everything := Policy{HostPaths: []string{"/"}}
	tests := []struct {
		name   string
		policy Policy
		path   string
		ok     bool
	}{
		{"below a root that is a link", p, base + "/open/in", true},
		{"link within the root", p, base + "/open/near", true},
		{"link out of the root", p, base + "/open/out", false},
		{"beside the root", p, base + "/closed", false},
		{"beside the root by its name's beginning", p, base + "/open2", false},
		{"above the root", p, base, false},
		{"absent", p, base + "/open/none", false},
		{"never", p, base + "/open/state", false},
		{"above what is never mounted", p, base + "/open", false},
		{"no roots", Policy{}, base + "/open/in", false},
		{"everything, but not the host itself", everything, "/", false},
		{"everything, but not proc", everything, "/proc/sys", false},
		{"everything, and a folder", everything, base + "/closed", true},
	}
	for _, tt := range tests {
		err := tt.policy.Check(&api.Spec{Volumes: map[string]string{tt.path: "/x"}})
		if e, refused := errors.AsType[*api.Error](err); refused == tt.ok || refused && e.Type != api.PolicyError {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := everything.Check(&api.Spec{Network: api.NetworkHost}); err == nil {
		t.Error("network host is allowed")
	}
	if err := (&Policy{}).Check(&api.Spec{Volumes: map[string]string{"named": "/x"}}); err != nil {
		t.Errorf("a named volume is not a host path: %v", err)
	}
}

package hostpath

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGuard_ObeysSuid(t *testing.T) {
	base := host(t, "safe/in/deep", "open", "mixed/below", "link>safe/in")
	inNamespace(t, func() {
		for path, flags := range map[string]uintptr{"/safe": unix.MS_NOSUID, "/open": 0, "/mixed": unix.MS_NOSUID} {
			if err := unix.Mount("tmpfs", base+path, "tmpfs", flags, "mode=755"); err != nil {
				t.Error(err)
				return
			}
		}
		for _, folder := range []string{"/safe/in", "/safe/in/deep", "/mixed/below"} {
			if err := unix.Mkdir(base+folder, 0o755); err != nil {
				t.Error(err)
				return
			}
		}
		if err := unix.Mount("tmpfs", base+"/mixed/below", "tmpfs", 0, "mode=755"); err != nil {
			t.Error(err)
			return
		}
		for path, obeys := range map[string]bool{"/safe": false, "/safe/in/deep": false, "/link": false, "/open": true, "/mixed": true, "/mixed/below": true} {
			roots, err := New([]string{base + path}, nil).ObeysSuid()
			if err != nil || slices.Contains(roots, base+path) != obeys {
				t.Errorf("%s: %q, %v", path, roots, err)
			}
		}
		if roots, err := New(nil, nil).ObeysSuid(); len(roots) > 0 || err != nil {
			t.Errorf("without roots: %q, %v", roots, err)
		}
	})
}

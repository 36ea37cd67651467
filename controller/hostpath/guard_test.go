package hostpath

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// host is a folder that only root can write to and above, with what a test puts into it. Files end in "!", links are
// written "name>target"; what begins with no slash is below the folder.
func host(t *testing.T, entries ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("folders that are root's own can be made by root only")
	}
	base, err := os.MkdirTemp("/srv", "flow-manager-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		put(t, base, e)
	}
	return base
}

func put(t *testing.T, base, entry string) {
	t.Helper()
	name, target, link := strings.Cut(entry, ">")
	path := filepath.Join(base, strings.TrimSuffix(name, "!"))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	switch {
	case err != nil:
	case link && !strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "."):
		err = os.Symlink(filepath.Join(base, target), path)
	case link:
		err = os.Symlink(target, path)
	case strings.HasSuffix(name, "!"):
		err = os.WriteFile(path, []byte("x"), 0o644)
	default:
		err = os.MkdirAll(path, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// inNamespace runs the test on a thread that has its own mount table, so that it may mount what it likes.
func inNamespace(t *testing.T, test func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its mounts with it
		if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
			t.Errorf("make a mount namespace: %v", err)
			return
		}
		test()
	}()
	<-done
}

func TestGuard_Resolve(t *testing.T) {
	base := host(t, "open/in/deep", "open/file!", "closed/x", "open2", "open/near>open/in", "open/out>closed", "open/rel>../open/in",
		"open/up>../closed", "open/loop>open/loop", "way>open", "open/state/data", "open/engine/docker.sock!", "open/later")
	g := New([]string{base + "/way"}, []string{base + "/open/state", base + "/open/engine/docker.sock", base + "/open/later/auth"})
	everything := New([]string{"/"}, []string{base + "/open/state"})
	shared := []Claim{{Path: base + "/open/in", Write: true, Holder: "writer"}, {Path: base + "/open2", Holder: "reader"}}
	tests := []struct {
		name   string
		guard  *Guard
		path   string
		write  bool
		others []Claim
		want   string
		err    error
	}{
		{"below a root that is a link", g, "/open/in", true, nil, "/open/in", nil},
		{"a file", g, "/open/file", true, nil, "/open/file", nil},
		{"link within the root", g, "/open/near/deep", true, nil, "/open/in/deep", nil},
		{"relative link within the root", g, "/open/rel", true, nil, "/open/in", nil},
		{"link out of the root", g, "/open/out", false, nil, "", ErrOutside},
		{"link out of the root by ..", g, "/open/up/x", false, nil, "", ErrOutside},
		{"link to itself", g, "/open/loop", false, nil, "", ErrAbsent},
		{"beside the root", g, "/closed", false, nil, "", ErrOutside},
		{"beside the root by its name's beginning", g, "/open2", false, nil, "", ErrOutside},
		{"above the root", g, "", false, nil, "", ErrOutside},
		{"absent", g, "/open/none", false, nil, "", ErrAbsent},
		{"below a file", g, "/open/file/x", false, nil, "", ErrAbsent},
		{"no roots", New(nil, nil), "/open/in", false, nil, "", ErrOutside},
		{"no guard", nil, "/open/in", false, nil, "", ErrOutside},
		{"the root itself", New([]string{base + "/open/in"}, nil), "/open/in", true, nil, "/open/in", nil},

		{"never", g, "/open/state", false, nil, "", ErrNever},
		{"in never", g, "/open/state/data", false, nil, "", ErrNever},
		{"above never", g, "/open", false, nil, "", ErrNever},
		{"above what is not there yet", g, "/open/later", false, nil, "", ErrNever},
		{"the engine's socket", g, "/open/engine/docker.sock", false, nil, "", ErrNever},
		{"the engine's socket's folder", g, "/open/engine", false, nil, "", ErrNever},
		{"everything, and a folder", everything, "/closed", true, nil, "/closed", nil},

		{"in what another may write to", g, "/open/in/deep", false, shared, "", ErrShared},
		{"by a link in what another may write to", g, "/open/near/deep", false, shared, "", ErrShared},
		{"what another may write to", g, "/open/in", true, shared, "/open/in", nil},
		{"in what another only reads", New([]string{base}, nil), "/open2", true, shared, "/open2", nil},
		{"writing above what another mounts", New([]string{base}, nil), "/open", true, []Claim{{Path: base + "/open/in"}}, "", ErrShared},
		{"reading above what another mounts", New([]string{base}, nil), "/open", false, []Claim{{Path: base + "/open/in"}}, "/open", nil},
	}
	for _, tt := range tests {
		got, err := tt.guard.Resolve(base+tt.path, tt.write, tt.others)
		if !errors.Is(err, tt.err) || tt.err == nil && (err != nil || got != base+tt.want) {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
	for _, path := range []string{"/", "/proc", "/proc/1/ns", "/sys/kernel", "/dev", "/dev/null", "/run", "/run/docker.sock", "/var/run/docker.sock", "/var/lib"} {
		if got, err := everything.Resolve(path, false, nil); !errors.Is(err, ErrNever) && !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
}

func TestGuard_Resolve_Devices(t *testing.T) {
	base := host(t)
	if err := unix.Mknod(base+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); errors.Is(err, unix.EPERM) {
		t.Skip("devices cannot be made here")
	} else if err != nil {
		t.Fatal(err)
	}
	if got, err := New([]string{base}, nil).Resolve(base+"/null", false, nil); !errors.Is(err, ErrNever) {
		t.Errorf("got %q, %v", got, err)
	}
}

// What is never mounted has other names too: those that mounts give it.
func TestGuard_Resolve_OtherNames(t *testing.T) {
	base := host(t, "open/bound", "open/whole", "open/kernel/proc", "open/hard", "secret/state/data", "engine", "open/in/x", "bound2")
	listener, err := net.Listen("unix", base+"/engine/docker.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Link(base+"/engine/docker.sock", base+"/open/hard/socket"); err != nil {
		t.Fatal(err)
	}
	g := New([]string{base + "/open"}, []string{base + "/secret/state", base + "/engine/docker.sock"})
	inNamespace(t, func() {
		for target, source := range map[string]string{"/open/bound": "/secret/state/data", "/open/whole": "/secret", "/bound2": "/open/in"} {
			if err := unix.Mount(base+source, base+target, "", unix.MS_BIND, ""); err != nil {
				t.Error(err)
			}
		}
		if err := unix.Mount("proc", base+"/open/kernel/proc", "proc", 0, ""); err != nil {
			t.Error(err)
		}
		writer := []Claim{{Path: base + "/bound2", Write: true, Holder: "writer"}}
		tests := []struct {
			name, path string
			others     []Claim
			err        error
		}{
			{"a bind mount of a part of it", "/open/bound", nil, ErrNever},
			{"a bind mount of what is above it", "/open/whole", nil, ErrNever},
			{"below a bind mount", "/open/whole/state", nil, ErrNever},
			{"a hard link of the socket", "/open/hard/socket", nil, ErrNever},
			{"another proc", "/open/kernel/proc", nil, ErrNever},
			{"above another proc", "/open/kernel", nil, ErrNever},
			{"above it all", "/open", nil, ErrNever},
			{"what another may write to under another name", "/open/in/x", writer, ErrShared},
			{"nothing of the kind", "/open/in/x", nil, nil},
		}
		for _, tt := range tests {
			if got, err := g.Resolve(base+tt.path, false, tt.others); !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Errorf("%s: got %q, %v", tt.name, got, err)
			}
		}
	})
}

func TestGuard_Check(t *testing.T) {
	base := host(t, "good", "group/in", "other/in", "owned/in", "sticky/in", "file!", "way>good", "far/link>good")
	change := func(name string, mode os.FileMode, uid int) {
		if err := errors.Join(os.Chown(filepath.Join(base, name), uid, 0), os.Chmod(filepath.Join(base, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	change("group", 0o775, 0)
	change("other", 0o757, 0)
	change("owned", 0o755, 1000)
	change("sticky", os.ModeSticky|0o777, 0)
	change("far", 0o777, 0)
	for path, says := range map[string]string{
		base + "/good": "", base + "/way": "", "/": "",
		base + "/none":      "is not there",
		base + "/file":      "is no folder",
		base + "/group":     "/group (owner 0, mode 0775)",
		base + "/group/in":  "/group (owner 0, mode 0775)",
		base + "/other/in":  "/other (owner 0, mode 0757)",
		base + "/owned/in":  "/owned (owner 1000, mode 0755)",
		base + "/sticky/in": "/sticky (owner 0, mode 1777)",
		base + "/far/link":  "/far (owner 0, mode 0777)", // who can exchange the link can exchange the root
		"/tmp":              "/tmp (owner 0, mode 1777)",
		"/proc/1":           "in /proc",
		"/run/docker":       "in /run/docker",
		"relative":          "not an absolute path",
	} {
		err := New([]string{path}, nil).Check()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
	g := New([]string{base + "/good", base + "/group", base + "/none"}, nil)
	if err := g.Check(); err == nil || strings.Count(err.Error(), "--allow-host-path") != 2 {
		t.Errorf("each bad one is named: %v", err)
	}
}

// A root is judged each time: it may become unsafe, and safe again.
func TestGuard_Resolve_RootChanges(t *testing.T) {
	base := host(t, "open/in")
	g := New([]string{base + "/open"}, nil)
	for _, step := range []struct {
		mode os.FileMode
		err  error
	}{{0o755, nil}, {0o777, ErrUnsafe}, {0o755, nil}} {
		if err := os.Chmod(base+"/open", step.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Resolve(base+"/open/in", true, nil); !errors.Is(err, step.err) || step.err == nil && err != nil {
			t.Errorf("mode %o: %v", step.mode, err)
		}
	}
}

package test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/docker"
)

// template is a container of the test's own, for the runtime without a manager.
func template(t *testing.T, name string, edit func(*controller.Template)) controller.Template {
	t.Helper()
	spec := api.Spec{Image: echoImage}
	spec.Default("host")
	made := controller.Template{ID: "id", Name: name, DockerName: name, Token: "t", Instance: "i", Spec: spec, SocketDir: t.TempDir()}
	edit(&made)
	return made
}

// newRuntime is on the engine that the tests run on.
func newRuntime(t *testing.T, c docker.Config) *docker.Runtime {
	t.Helper()
	binaries(t) // and the image
	c.Host = cmp.Or(c.Host, os.Getenv(client.EnvOverrideHost))
	r, err := docker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	t.Cleanup(func() { removeNamed(t) })
	return r
}

// The classes that the planner relies on, as the real engine gives them.
func TestEngine_ErrorsHaveClasses(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, docker.Config{})
	name := named(t, "a")
	made, err := r.Create(t.Context(), template(t, name, func(*controller.Template) {}))
	if err != nil {
		t.Fatal(err)
	}
	create := func(edit func(*controller.Template)) error {
		_, err := r.Create(t.Context(), template(t, name, edit))
		return err
	}
	away, err := docker.New(docker.Config{Host: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	_, gone := away.Engine(t.Context())
	_, absent := r.Inspect(t.Context(), "no-such-container")
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"name taken", create(func(*controller.Template) {}), controller.ErrConflict},
		{"image missing", create(func(c *controller.Template) { c.Spec.Image, c.DockerName = "example/none:1", name+"b" }), controller.ErrAbsent},
		{"source missing", create(func(c *controller.Template) { c.SocketDir, c.DockerName = "/no/such/folder", name+"b" }), controller.ErrInvalid},
		{"bad name", create(func(c *controller.Template) { c.DockerName = "a b" }), controller.ErrInvalid},
		{"no such container", absent, controller.ErrAbsent},
		{"kill of what does not run", r.Kill(t.Context(), made, "SIGTERM"), controller.ErrConflict},
		{"pause of what does not run", r.Pause(t.Context(), made), controller.ErrConflict},
		{"engine away", gone, controller.ErrUnavailable},
		{"start twice", errors.Join(r.Start(t.Context(), made), r.Start(t.Context(), made)), nil},
		{"remove of what runs", r.Remove(t.Context(), made), controller.ErrConflict},
		{"limit", r.Limit(t.Context(), made, api.Resources{MemoryBytes: 64 << 20, PidsLimit: 10}), nil},
		{"kill", r.Kill(t.Context(), made, ""), nil},
		{"four removals at once", removals(t, r, made), nil},
		{"remove of what is gone", r.Remove(t.Context(), made), controller.ErrAbsent},
	}
	for _, tt := range tests {
		if tt.want == nil && tt.err != nil || !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
		}
	}
}

// removals removes one container several times at once. One caller does it; the others are told that it is being done, or
// that it is gone.
func removals(t *testing.T, r *docker.Runtime, dockerID string) error {
	t.Helper()
	eventually(t, "it has ended", func() error {
		if o, err := r.Inspect(t.Context(), dockerID); err != nil || o.State != "exited" {
			return fmt.Errorf("it is %s, %v", o.State, err)
		}
		return nil
	})
	const callers = 4
	answers := make(chan error, callers)
	for range callers {
		go func() { answers <- r.Remove(t.Context(), dockerID) }()
	}
	done, conflicts := 0, 0
	for range callers {
		switch err := <-answers; {
		case err == nil:
			done++
		case errors.Is(err, controller.ErrConflict):
			conflicts++
		case !errors.Is(err, controller.ErrAbsent):
			return err
		}
	}
	t.Logf("%d removals worked, %d met another in progress", done, conflicts)
	if done == 0 {
		return errors.New("no removal worked")
	}
	return nil
}

// The files that the engine takes users and groups from are the container's own.
func TestEngine_UsersThatAnImageLacks(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, docker.Config{})
	const passwd, group = "root:x:0:0::/:\napp:x:7:7::/:\n", "web-x:x:7:\nweb:x:8:app\n"
	tests := []struct {
		name, user string
		files      map[string]string
		want       string
	}{
		{"no files", "app:web", nil, "app"},
		{"no such user", "ap:web", map[string]string{"passwd": passwd, "group": group}, "ap"},
		{"no such group", "app:we", map[string]string{"passwd": passwd, "group": group}, "we"},
		{"both are there", "app:web", map[string]string{"passwd": passwd, "group": group}, ""},
		{"numbers", "7:8", nil, ""},
		{"none", "", nil, ""},
		{"too long to tell", "other", map[string]string{"passwd": strings.Repeat(passwd, 40_000)}, ""},
		{"a link", "other", map[string]string{"passwd": linkTo + "elsewhere"}, ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			made, err := r.Create(t.Context(), template(t, named(t, fmt.Sprint(i)), func(c *controller.Template) { c.Spec.User = tt.user }))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { removeNamed(t) })
			if err := engine.CopyToContainer(t.Context(), made, "/etc", archive(t, tt.files), container.CopyToContainerOptions{}); err != nil {
				t.Fatal(err)
			}
			if got, err := r.UnknownUser(t.Context(), made); got != tt.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// linkTo begins the content of what archive makes a link.
const linkTo = "-> "

// archive packs files into a tar.
func archive(t *testing.T, files map[string]string) io.Reader {
	t.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if target, link := strings.CutPrefix(content, linkTo); link {
			header.Typeflag, header.Linkname, header.Size, content = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &packed
}

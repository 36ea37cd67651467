package test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/docker"
)

// The classes that the planner relies on, as the real engine gives them.
func TestEngine_ErrorsHaveClasses(t *testing.T) {
	binaries(t) // and the image
	r, err := docker.New(docker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	t.Cleanup(func() { removeNamed(t) })
	name := named(t, "a")
	template := func(edit func(*controller.Template)) controller.Template {
		spec := api.Spec{Image: echoImage}
		spec.Default("host")
		made := controller.Template{ID: "id", Name: name, DockerName: name, Token: "t", Instance: "i", Spec: spec, SocketDir: t.TempDir()}
		edit(&made)
		return made
	}
	made, err := r.Create(t.Context(), template(func(*controller.Template) {}))
	if err != nil {
		t.Fatal(err)
	}
	create := func(edit func(*controller.Template)) error {
		_, err := r.Create(t.Context(), template(edit))
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
	}
	for _, tt := range tests {
		if tt.want == nil && tt.err != nil || !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
		}
	}
}

package test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/docker"
)

func plain(*v1.Config) {}

func noProgress(api.PullProgress) {}

// errClassless is the class of what is worth another try as it is.
var errClassless = errors.New("transient")

// expectClass holds an error to exactly one class.
func expectClass(t *testing.T, err, want error) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %v", want)
		return
	}
	got := errClassless
	for _, class := range []error{controller.ErrAbsent, controller.ErrConflict, controller.ErrInvalid, controller.ErrUnavailable, controller.ErrUnauthorized} {
		if errors.Is(err, class) {
			got = class
		}
	}
	if got != want {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}

// imageStore tells whether containerd keeps the engine's images: it says less of a layer's size, and forgets by what digest an image was
// known whose tag has moved.
func imageStore(t *testing.T) bool {
	t.Helper()
	info, err := engine.Info(t.Context())
	check(t, err)
	return slices.Contains(info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
}

func TestImages_Pull(t *testing.T) {
	g, r := newRegistry(t), newRuntime(t, docker.Config{})
	digest := g.push("flows/a", "1", newImage(t, func(c *v1.Config) {
		c.Volumes = map[string]struct{}{"/srv/b": {}, "/a": {}}
		c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD"}}
	}))
	ref := g.host + "/flows/a:1"
	_, err := r.Image(t.Context(), ref)
	expectClass(t, err, controller.ErrAbsent)
	var told []api.PullProgress
	if err := r.Pull(t.Context(), ref, func(p api.PullProgress) { told = append(told, p) }); err != nil {
		t.Fatal(err)
	}
	got, err := r.Image(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	want := controller.Image{ID: got.ID, Digest: digest.String(), Volumes: []string{"/a", "/srv/b"}, Deadly: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	byID, err := r.Image(t.Context(), got.ID)
	if diff := cmp.Diff(got, byID); err != nil || diff != "" {
		t.Error(err, diff)
	}
	layers := map[string]bool{}
	for _, p := range told {
		layers[p.Layer] = true
		if p.Image != ref || p.Status == "" {
			t.Errorf("told %+v", p)
		}
	}
	if len(layers) != 3 || !layers[""] || !imageStore(t) && !slices.ContainsFunc(told, func(p api.PullProgress) bool { return p.Total > 0 && p.Current == p.Total }) {
		t.Errorf("two layers and the image: %+v", told)
	}
}

func TestImages_Pull_Credentials(t *testing.T) {
	g, r := newRegistry(t), newRuntime(t, docker.Config{})
	g.push("flows/a", "1", newImage(t, plain))
	g.wantsPassword()
	ref := g.host + "/flows/a:1"
	pull := func(config string) error {
		dockerConfig(t, config)
		return r.Pull(t.Context(), ref, noProgress)
	}
	says := func(err error, what string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want it to say %q", err, what)
		}
	}
	nobody := pull(`{"auths":{"127.0.0.1:1":{"auth":"dTpw"}}}`)
	expectClass(t, nobody, errClassless) // the engine gives no class to a registry's demand for a password
	says(nobody, "there are none for "+g.host)
	helped := pull(`{"auths":{"` + g.host + `":{}},"credHelpers":{"` + g.host + `":"pass"}}`)
	says(helped, `the credential helper "pass", which flow-manager does not run`)
	wrong := pull(`{"auths":{"` + g.host + `":{"auth":"dTp4"}}}`)
	expectClass(t, wrong, controller.ErrUnauthorized)
	says(wrong, "asked with the credentials for "+g.host)
	if n := len(g.images()); n != 0 {
		t.Fatalf("%d images came without a password", n)
	}
	if err := pull(`{"auths":{"http://` + g.host + `/v2/":{"auth":"dTpw"}}}`); err != nil { // u:p
		t.Error(err)
	}
}

func TestImages_Pull_Classes(t *testing.T) {
	g, r := newRegistry(t), newRuntime(t, docker.Config{})
	digest := g.push("flows/a", "1", newImage(t, plain))
	broken := newImage(t, plain)
	g.push("flows/broken", "1", broken)
	denied := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"not for you"}]}`))
		return true
	}
	overloaded := func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	tests := []struct {
		name, ref string
		will      func(http.ResponseWriter, *http.Request) bool
		want      error
		says      string
	}{
		{"no such tag", g.host + "/flows/a:2", nil, controller.ErrAbsent, "flows/a"},
		{"no such repository", g.host + "/flows/b:1", nil, controller.ErrAbsent, "flows/b"},
		{"no digest", g.host + "/flows/a@" + strings.Repeat("a", 7) + digest.String()[7:], nil, controller.ErrInvalid, "reference"},
		{"another digest", g.host + "/flows/a@sha256:" + strings.Repeat("1", 64), nil, controller.ErrAbsent, "flows/a"},
		{"denied", g.host + "/flows/a:1", denied, controller.ErrUnauthorized, "not for you"},
		{"overloaded", g.host + "/flows/a:1", overloaded, errClassless, ""},
		{"nobody there", "127.0.0.1:1/flows/a:1", nil, errClassless, "refused"},
		{"no reference", g.host + "/flows/A B", nil, controller.ErrInvalid, "A B"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g.will(tt.will)
			err := r.Pull(t.Context(), tt.ref, noProgress)
			expectClass(t, err, tt.want)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
	t.Run("a layer of other bytes", func(t *testing.T) {
		g.withBlob(lastLayer(t, broken), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100)) })
		moved := false
		err := r.Pull(t.Context(), g.host+"/flows/broken:1", func(api.PullProgress) { moved = true })
		expectClass(t, err, errClassless)
		if !moved {
			t.Errorf("it failed before the stream began: %v", err)
		}
		_, err = r.Image(t.Context(), g.host+"/flows/broken:1")
		expectClass(t, err, controller.ErrAbsent)
	})
}

// A pull that is given up ends in the engine, too: the next one of the same image does not wait for what hangs.
func TestImages_Pull_CancelsAStalledLayer(t *testing.T) {
	g, r := newRegistry(t), newRuntime(t, docker.Config{})
	made := newImage(t, plain)
	g.push("flows/a", "1", made)
	hangs := make(chan struct{}, 10)
	g.withBlob(lastLayer(t, made), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 100))
		w.(http.Flusher).Flush()
		hangs <- struct{}{}
		<-g.ended
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody wants it")
	ended := make(chan error, 1)
	go func() { ended <- r.Pull(ctx, g.host+"/flows/a:1", noProgress) }()
	select {
	case <-hangs:
	case err := <-ended:
		t.Fatalf("it ended before it stalled: %v", err)
	}
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	_, err := r.Image(t.Context(), g.host+"/flows/a:1")
	expectClass(t, err, controller.ErrAbsent)
	g.will(nil)
	again, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := r.Pull(again, g.host+"/flows/a:1", noProgress); err != nil {
		t.Error(err)
	}
}

// What ran under a tag can run again after the tag has moved, by its id or its digest.
func TestImages_MovedTag(t *testing.T) {
	g, r := newRegistry(t), newRuntime(t, docker.Config{})
	t.Cleanup(func() { removeNamed(t) })
	ref := g.host + "/flows/a:1"
	pull := func(made v1.Image) controller.Image {
		t.Helper()
		g.push("flows/a", "1", made)
		if err := r.Pull(t.Context(), ref, noProgress); err != nil {
			t.Fatal(err)
		}
		got, err := r.Image(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before, after := pull(newImage(t, plain)), pull(newImage(t, plain))
	if before.ID == after.ID || before.Digest == after.Digest {
		t.Fatalf("the tag did not move: %+v, %+v", before, after)
	}
	byDigest := g.host + "/flows/a@" + before.Digest
	names, want := []string{before.ID, byDigest, g.host + "/flows/a:1@" + before.Digest}, before
	if imageStore(t) { // there the old image is known by its id alone
		names, want.Digest = names[:1], ""
	}
	for _, name := range names {
		got, err := r.Image(t.Context(), name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(name, err, diff)
		}
	}
	if err := r.Pull(t.Context(), byDigest, noProgress); err != nil {
		t.Error(err)
	}
	spec := api.Spec{Image: before.ID, Command: []string{"/none"}}
	spec.Default("host")
	name := named(t, "a")
	made, err := r.Create(t.Context(), controller.Template{ID: "id", Name: name, DockerName: name, Token: "t", Instance: "i", Spec: spec, SocketDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if o, err := r.Inspect(t.Context(), made); err != nil || o.ImageID != before.ID {
		t.Errorf("made from %s, want %s: %v", o.ImageID, before.ID, err)
	}
}

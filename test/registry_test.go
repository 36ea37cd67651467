package test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// imageRegistry is a registry in this process, which the engine takes for an insecure one because it is on loopback. It can
// be made to misbehave.
type imageRegistry struct {
	t       *testing.T
	host    string
	handler http.Handler
	ended   chan struct{} // closed when the test ends

	mu        sync.Mutex
	misbehave func(w http.ResponseWriter, r *http.Request) (done bool)
}

// newRegistry also makes the Docker configuration an empty one, and sees to it that no image of the registry stays behind.
func newRegistry(t *testing.T) *imageRegistry {
	t.Helper()
	g := &imageRegistry{t: t, handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ended: make(chan struct{})}
	server := httptest.NewServer(g)
	g.host = strings.TrimPrefix(server.URL, "http://")
	dockerConfig(t, "{}")
	t.Cleanup(func() {
		close(g.ended)
		server.CloseClientConnections() // the engine keeps those of a pull that it gave up
		server.Close()
		g.removeImages()
	})
	return g
}

// dockerConfig is what the manager reads credentials from.
func dockerConfig(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP implements http.Handler.
func (g *imageRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	misbehave := g.misbehave
	g.mu.Unlock()
	if misbehave == nil || !misbehave(w, r) {
		g.handler.ServeHTTP(errorsInJSON{w}, r)
	}
}

// errorsInJSON says of what type an error is, as registries do: newer engines read no other.
type errorsInJSON struct{ http.ResponseWriter }

func (w errorsInJSON) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.Header().Set("Content-Type", "application/json")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (g *imageRegistry) will(f func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.misbehave = f
}

// wantsPassword lets nobody in but u with the password p.
func (g *imageRegistry) wantsPassword() {
	g.will(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "u" && password == "p" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

// withBlob lets f answer for one blob.
func (g *imageRegistry) withBlob(digest v1.Hash, f http.HandlerFunc) {
	g.will(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/blobs/"+digest.String()) {
			return false
		}
		f(w, r)
		return true
	})
}

// newImage has layers that no other image has.
func newImage(t *testing.T, edit func(*v1.Config)) v1.Image {
	t.Helper()
	made, err := random.Image(100_000, 2)
	check(t, err)
	file, err := made.ConfigFile()
	check(t, err)
	file = file.DeepCopy()
	file.OS = "linux"
	edit(&file.Config)
	made, err = mutate.ConfigFile(made, file)
	check(t, err)
	return made
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// push puts an image there, without the engine, and tells its digest.
func (g *imageRegistry) push(name, tag string, made v1.Image) v1.Hash {
	g.t.Helper()
	layers, err := made.Layers()
	check(g.t, err)
	for _, layer := range layers {
		digest, err := layer.Digest()
		check(g.t, err)
		content, err := layer.Compressed()
		check(g.t, err)
		g.pushBlob(name, digest, content)
	}
	config, err := made.ConfigName()
	check(g.t, err)
	text, err := made.RawConfigFile()
	check(g.t, err)
	g.pushBlob(name, config, bytes.NewReader(text))
	return g.pushManifest(name, tag, made)
}

func (g *imageRegistry) pushBlob(name string, digest v1.Hash, content io.Reader) {
	g.t.Helper()
	g.put(http.MethodPost, "/v2/"+name+"/blobs/uploads/?digest="+digest.String(), "", content)
}

func (g *imageRegistry) pushManifest(name, tag string, made v1.Image) v1.Hash {
	g.t.Helper()
	kind, err := made.MediaType()
	check(g.t, err)
	manifest, err := made.RawManifest()
	check(g.t, err)
	g.put(http.MethodPut, "/v2/"+name+"/manifests/"+tag, string(kind), bytes.NewReader(manifest))
	digest, err := made.Digest()
	check(g.t, err)
	return digest
}

func (g *imageRegistry) put(method, path, kind string, body io.Reader) {
	g.t.Helper()
	request := httptest.NewRequest(method, path, body)
	request.Header.Set("Content-Type", kind)
	answer := httptest.NewRecorder()
	g.handler.ServeHTTP(answer, request)
	if answer.Code >= 300 {
		g.t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
}

func lastLayer(t *testing.T, made v1.Image) v1.Hash {
	t.Helper()
	layers, err := made.Layers()
	check(t, err)
	digest, err := layers[len(layers)-1].Digest()
	check(t, err)
	return digest
}

// images are those that the engine has from this registry, by any name.
func (g *imageRegistry) images() []string {
	list, err := engine.ImageList(context.Background(), image.ListOptions{All: true})
	if err != nil {
		g.t.Fatal(err)
	}
	var ids []string
	for _, i := range list {
		if strings.Contains(strings.Join(append(i.RepoTags, i.RepoDigests...), " "), g.host+"/") {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

func (g *imageRegistry) removeImages() {
	for _, id := range g.images() {
		if _, err := engine.ImageRemove(context.Background(), id, image.RemoveOptions{Force: true}); err != nil {
			g.t.Error(err)
		}
	}
	if diff := cmp.Diff([]string(nil), g.images()); diff != "" {
		g.t.Errorf("images are left: %s", diff)
	}
}

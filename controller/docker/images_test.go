package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// answers are what an engine says to the three requests of a pull.
type answers struct {
	create, distribution, inspect http.HandlerFunc
}

func say(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// serve is a Runtime on an engine that only knows images, and an empty Docker configuration.
func serve(t *testing.T, a answers) *Runtime {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	for path, answer := range map[string]http.HandlerFunc{"POST /v1.41/images/create": a.create,
		"GET /v1.41/distribution/": a.distribution, "GET /v1.41/images/": a.inspect} {
		if answer != nil {
			mux.HandleFunc(path, answer)
		}
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	r, err := New(Config{Host: "unix://" + listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), server.Close() })
	return r
}

func ignore(api.PullProgress) {}

func TestRuntime_Pull_Classes(t *testing.T) {
	refused := func(status int) http.HandlerFunc { return say(status, `{"message":"it says no"}`) }
	inStream := say(200, `{"status":"Pulling from x","id":"1"}`+"\n"+`{"errorDetail":{"message":"layer lost"},"error":"layer lost"}`)
	brokenOff := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"Pulling from x","id":"1"}`+"\n")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	there := say(200, `{"Descriptor":{"digest":"`+digestA+`"}}`)
	image := say(200, `{"Id":"`+digestB+`","RepoDigests":["example.com/x@`+digestA+`"]}`)
	var transient error // no class
	tests := []struct {
		name string
		a    answers
		ref  string
		want error
		says string
	}{
		{"missing", answers{refused(404), refused(404), nil}, "example.com/x", controller.ErrAbsent, "it says no"},
		{"denied, which the engine calls missing", answers{refused(404), refused(403), nil}, "example.com/x", controller.ErrUnauthorized, "there are none for example.com in "},
		{"wrong password", answers{refused(500), refused(401), nil}, "example.com/x", controller.ErrUnauthorized, "it says no"},
		{"unexplained", answers{refused(500), refused(500), nil}, "x", transient, "there are none for docker.io in "},
		{"registry overloaded", answers{refused(503), refused(503), nil}, "example.com/x", transient, "it says no"},
		{"missing, and then nobody answers", answers{refused(404), refused(500), nil}, "example.com/x", controller.ErrAbsent, "it says no"},
		{"error in the stream", answers{inStream, there, nil}, "example.com/x", transient, "layer lost"},
		{"error in the stream, explained", answers{inStream, refused(401), nil}, "example.com/x", controller.ErrUnauthorized, "layer lost"},
		{"stream broken off", answers{brokenOff, there, nil}, "example.com/x", transient, "unexpected EOF"},
		{"invalid reference", answers{}, "example.com/X Y", controller.ErrInvalid, "X Y"},
		{"an id", answers{}, digestA, controller.ErrInvalid, "is an image's id"},
		{"pulled and gone", answers{say(200, ""), there, refused(404)}, "example.com/x", transient, "has not got it now"},
		{"pulled another digest", answers{say(200, ""), there, image}, "example.com/x@" + digestB, transient, "has not got that digest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := serve(t, tt.a).Pull(t.Context(), tt.ref, ignore)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
			for _, class := range []error{controller.ErrAbsent, controller.ErrConflict, controller.ErrInvalid, controller.ErrUnavailable, controller.ErrUnauthorized} {
				if errors.Is(err, class) != (class == tt.want) {
					t.Errorf("got %v, want the class %v", err, tt.want)
				}
			}
		})
	}
}

// A stream that breaks off says nothing of why; that nobody answers the next question does.
func TestRuntime_Pull_EngineDies(t *testing.T) {
	die := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_ = r.Context().Value(http.ServerContextKey).(*http.Server).Close()
	}
	if err := serve(t, answers{create: die}).Pull(t.Context(), "example.com/x", ignore); !errors.Is(err, controller.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestRuntime_Pull_Cancelled(t *testing.T) {
	why := errors.New("nobody wants it")
	ctx, cancel := context.WithCancelCause(t.Context())
	hang := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"status":"Waiting","progressDetail":{},"id":"aa"}`+"\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	asked := func(http.ResponseWriter, *http.Request) { t.Error("the registry was asked why") }
	err := serve(t, answers{hang, asked, nil}).Pull(ctx, "example.com/x", func(api.PullProgress) { cancel(why) })
	if !errors.Is(err, why) || errors.Is(err, controller.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestRuntime_Pull_TellsProgressAndWhoAsks(t *testing.T) {
	var header string
	create := func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Get(registry.AuthHeader)
		fmt.Fprintln(w, `{"status":"Pulling from x","id":"1"}`)
		fmt.Fprintln(w, `{"status":"Downloading","progressDetail":{"current":3,"total":7},"progress":"[>]","id":"aa"}`)
		fmt.Fprintln(w, `{"status":"Pull complete","progressDetail":{},"id":"aa"}`)
	}
	r := serve(t, answers{create, nil, say(200, `{"Id":"`+digestB+`"}`)})
	write(t, `{"auths":{"example.com":{"auth":"dTpwOng="}}}`)
	var told []api.PullProgress
	if err := r.Pull(t.Context(), "example.com/x:1", func(p api.PullProgress) { told = append(told, p) }); err != nil {
		t.Fatal(err)
	}
	want := []api.PullProgress{
		{Image: "example.com/x:1", Status: "Pulling from x"},
		{Image: "example.com/x:1", Layer: "aa", Status: "Downloading", Current: 3, Total: 7},
		{Image: "example.com/x:1", Layer: "aa", Status: "Pull complete"},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	auth, err := registry.DecodeAuthConfig(header)
	if diff := cmp.Diff(&registry.AuthConfig{Username: "u", Password: "p:x", ServerAddress: "example.com"}, auth); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestRuntime_Pull_BoundsWhatARegistrySays(t *testing.T) {
	long, _ := json.Marshal(strings.Repeat("é", maxText))
	r := serve(t, answers{say(200, `{"errorDetail":{"message":`+string(long)+`}}`), say(500, "{}"), nil})
	if err := r.Pull(t.Context(), "example.com/x", ignore); err == nil || len(err.Error()) > maxText+300 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestRuntime_Image_ErrInvalid(t *testing.T) {
	asked := func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the engine was asked for %s", r.URL) }
	if _, err := serve(t, answers{inspect: asked}).Image(t.Context(), "a/../../containers/x"); !errors.Is(err, controller.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestImageOf(t *testing.T) {
	digests := `{"RepoDigests":["<none>@<none>","other.com/x@` + digestB + `","example.com/x@` + digestA + `","example.com/x@` + digestB + `"]}`
	tests := []struct {
		name, ref, seen string
		want            controller.Image
	}{
		{"nothing known", "x", `{"Id":"i"}`, controller.Image{ID: "i"}},
		{"the digest of its own repository", "example.com/x:1", digests, controller.Image{Digest: digestA}},
		{"the digest that was asked for", "example.com/x:1@" + digestB, digests, controller.Image{Digest: digestB}},
		{"never in this repository", "example.com/y", digests, controller.Image{}},
		{"by id, any", digestA, digests, controller.Image{Digest: digestB}},
		{"short for the hub", "x", `{"RepoDigests":["x@` + digestA + `"]}`, controller.Image{Digest: digestA}},
		{"volumes", "x", `{"Config":{"Volumes":{"/b":{},"/a":{}}}}`, controller.Image{Volumes: []string{"/a", "/b"}}},
		{"healthcheck", "x", `{"Config":{"Healthcheck":{"Test":["CMD","true"]}}}`, controller.Image{}},
		{"healthcheck that is none", "x", `{"Config":{"Healthcheck":{"Test":["NONE"]}}}`, controller.Image{}},
		{"healthcheck without a command", "x", `{"Config":{"Healthcheck":{"Test":["CMD"]}}}`, controller.Image{Deadly: true}},
		{"healthcheck without a test", "x", `{"Config":{"Healthcheck":{"Interval":1}}}`, controller.Image{}},
	}
	for _, tt := range tests {
		var seen image.InspectResponse
		if err := json.Unmarshal([]byte(tt.seen), &seen); err != nil {
			t.Fatal(err)
		}
		ref, err := reference.ParseAnyReference(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, imageOf(&seen, ref)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

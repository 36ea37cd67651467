package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// fakeEngine speaks as much of the Docker Engine API over a Unix socket as flows need that are declared and stay up. It makes
// containers in no time; what it says of them is as long as what the real one says.
type fakeEngine struct {
	host string

	mu      sync.Mutex
	made    map[string]*faked // by Docker id
	order   []*faked
	byName  map[string]*faked
	running int
	hearing map[chan []byte]bool
	asked   map[string]int // requests, by method and path's pattern
	listed  chan struct{}  // gets one for each list, as far as anybody waits
}

// faked is one of its containers.
type faked struct {
	id, name string
	made     container.CreateRequest
	created  time.Time
	started  time.Time
	summary  []byte // its part of a list
}

const apiVersion = "1.41"

// fakeEngine starts one that ends with the row.
func (b *bench) fakeEngine() (*fakeEngine, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	e := &fakeEngine{host: "unix://" + path, made: map[string]*faked{}, byName: map[string]*faked{}, hearing: map[chan []byte]bool{},
		asked: map[string]int{}, listed: make(chan struct{}, 1)}
	server := &http.Server{Handler: e.counted(e.mux())}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.later(func() error {
		err := server.Close()
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	})
	return e, nil
}

func (e *fakeEngine) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", apiVersion)
		w.Header().Set("Ostype", "linux")
		fmt.Fprint(w, "OK")
	})
	mux.HandleFunc("GET /{v}/version", func(w http.ResponseWriter, _ *http.Request) {
		say(w, object{"Version": "20.10.24", "ApiVersion": apiVersion})
	})
	mux.HandleFunc("GET /{v}/info", func(w http.ResponseWriter, _ *http.Request) {
		say(w, object{"ID": "FAKE:" + e.host, "Driver": "overlay2"})
	})
	mux.HandleFunc("GET /{v}/images/{ref...}", func(w http.ResponseWriter, _ *http.Request) {
		say(w, object{"Id": imageID, "RepoTags": []string{image}, "Config": object{}, "Os": "linux"})
	})
	mux.HandleFunc("GET /{v}/events", e.events)
	mux.HandleFunc(listPattern, e.list)
	mux.HandleFunc("GET /{v}/containers/{id}/json", e.inspect)
	mux.HandleFunc("POST /{v}/containers/create", e.create)
	mux.HandleFunc("POST /{v}/containers/{id}/start", e.start)
	return mux
}

type object = map[string]any

const imageID = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"

func say(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a manager that is gone does not read on
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"message": message})
}

// counted notes every request, also those that it knows nothing about.
func (e *fakeEngine) counted(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		e.mu.Lock()
		if pattern == "" {
			pattern = r.Method + " " + r.URL.Path
		}
		e.asked[pattern]++
		e.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

// requests is what was asked since the last call of it.
func (e *fakeEngine) requests() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := maps.Clone(e.asked)
	clear(e.asked)
	return asked
}

// changes is how many of the requests were not mere questions.
func changes(asked map[string]int) int {
	n := 0
	for pattern, times := range asked {
		if !strings.HasPrefix(pattern, "GET ") && pattern != "/_ping" {
			n += times
		}
	}
	return n
}

func (e *fakeEngine) create(w http.ResponseWriter, r *http.Request) {
	f := &faked{name: r.URL.Query().Get("name"), created: time.Now().UTC()}
	if err := json.NewDecoder(r.Body).Decode(&f.made); err != nil || f.made.Config == nil || f.made.HostConfig == nil {
		refuse(w, http.StatusBadRequest, "not a container")
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byName[f.name] != nil {
		refuse(w, http.StatusConflict, "the name is in use")
		return
	}
	sum := sha256.Sum256([]byte(f.name))
	f.id = hex.EncodeToString(sum[:])
	f.summarize()
	e.made[f.id], e.byName[f.name], e.order = f, f, append(e.order, f)
	e.tellLocked(f, events.ActionCreate)
	w.WriteHeader(http.StatusCreated)
	say(w, container.CreateResponse{ID: f.id, Warnings: []string{}})
}

func (e *fakeEngine) start(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.made[r.PathValue("id")]
	switch {
	case f == nil:
		refuse(w, http.StatusNotFound, "no such container")
		return
	case f.started.IsZero():
		f.started = time.Now().UTC()
		f.summarize()
		e.running++
		e.tellLocked(f, events.ActionStart)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (e *fakeEngine) runs() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

func (e *fakeEngine) inspect(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ref := r.PathValue("id")
	f := e.made[ref]
	if f == nil {
		f = e.byName[ref]
	}
	if f == nil {
		refuse(w, http.StatusNotFound, "no such container")
		return
	}
	say(w, f.inspected())
}

func (e *fakeEngine) list(w http.ResponseWriter, _ *http.Request) {
	select {
	case e.listed <- struct{}{}:
	default:
	}
	e.mu.Lock()
	parts := make([][]byte, len(e.order))
	for i, f := range e.order {
		parts[i] = f.summary
	}
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	separator := []byte("[")
	for _, part := range parts {
		_, _ = w.Write(separator) // a manager that is gone does not read on
		_, _ = w.Write(part)
		separator = []byte(",")
	}
	if len(parts) == 0 {
		_, _ = w.Write(separator)
	}
	_, _ = w.Write([]byte("]\n"))
}

// events streams what happens until the listener goes.
func (e *fakeEngine) events(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("until") != "" {
		return // it remembers nothing
	}
	heard := make(chan []byte, 1<<16)
	e.mu.Lock()
	e.hearing[heard] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.hearing, heard)
	}()
	w.WriteHeader(http.StatusOK)
	flusher := http.NewResponseController(w)
	_ = flusher.Flush() // a broken connection ends the request's context
	for {
		select {
		case line := <-heard:
			_, _ = w.Write(line)
			_ = flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (e *fakeEngine) tellLocked(f *faked, action events.Action) {
	attributes := map[string]string{"name": f.name, "image": f.made.Image}
	maps.Copy(attributes, f.made.Labels)
	now := time.Now()
	line := encode(events.Message{Type: events.ContainerEventType, Action: action, Scope: "local",
		Actor: events.Actor{ID: f.id, Attributes: attributes}, Time: now.Unix(), TimeNano: now.UnixNano()})
	for heard := range e.hearing {
		select {
		case heard <- append(line, '\n'):
		default: // the real one drops what is not read, too
		}
	}
}

// await waits for the next list.
func (e *fakeEngine) await(ctx context.Context) error {
	select { // what was listed before does not count
	case <-e.listed:
	default:
	}
	select {
	case <-e.listed:
		return nil
	case <-time.After(patience):
		return errors.New("the engine was not listed again")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

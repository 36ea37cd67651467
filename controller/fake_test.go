package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

var errEngine = errors.New("the engine met an error of its own")

// fakeEngine is a container engine that obeys the real one's rules: names are unique, a start of what runs does nothing, a
// kill of what does not run conflicts, and events tell of changes without their content.
type fakeEngine struct {
	mu         sync.Mutex
	id         string
	away       bool
	lost       chan struct{} // closed when the engine goes away
	serial     int
	containers map[string]*fakeContainer
	images     map[string]bool
	registry   map[string]bool   // images that can be pulled
	pulls      chan struct{}     // where it is not nil, pulls wait until it is closed
	moved      map[string]int    // how often each was: it is another one each time
	volumes    map[string]string // name -> instance
	networks   map[string]string // name or id -> name
	stopSignal map[string]string // of images
	deadly     map[string]bool   // images whose health check has no command
	tells      []func(Event)
	replay     Replay // what it remembers; nothing
	calls      []string
	// before and after are asked for an error by the name of each call: after is asked once it has taken effect.
	before, after func(call string) error
	// starting sees each container that is about to start.
	starting func(c *fakeContainer)
	// printed are the last lines of any container; nil: some of ours.
	printed []string
	// never is a call that is not answered.
	never string
	// stopTakes is how long a container takes to end once it is asked to.
	stopTakes time.Duration
	// startError is why containers cannot be started, by Docker id; "" is all.
	startError map[string]string
}

type fakeContainer struct {
	plan.Container
	ignoresTerm bool
	template    Template
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{id: "engine-1", containers: map[string]*fakeContainer{}, images: map[string]bool{"app": true}, registry: map[string]bool{}, moved: map[string]int{}, lost: make(chan struct{})}
}

// do runs f as a call of the engine.
func (e *fakeEngine) do(call, ref string, f func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return ErrUnavailable
	}
	e.calls = append(e.calls, call)
	if e.before != nil {
		if err := e.before(call); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s %s: %w", call, ref, err)
	}
	if e.after != nil {
		return e.after(call)
	}
	return nil
}

func (e *fakeEngine) findLocked(ref string) (*fakeContainer, error) {
	if c, ok := e.containers[ref]; ok {
		return c, nil
	}
	for _, c := range e.containers {
		if c.Name == ref {
			return c, nil
		}
	}
	return nil, ErrAbsent
}

func (e *fakeEngine) with(call, ref string, f func(c *fakeContainer) error) error {
	return e.do(call, ref, func() error {
		c, err := e.findLocked(ref)
		if err != nil {
			return err
		}
		err = f(c)
		kind := Changed
		if call == "start" && err == nil {
			kind = Started
		}
		e.tellLocked(c, kind)
		return err
	})
}

func (e *fakeEngine) tellLocked(c *fakeContainer, kind EventKind) {
	if c.ID == "" {
		return
	}
	e.sendLocked(c, kind)
}

// sendLocked sends an event of a kind.
func (e *fakeEngine) sendLocked(c *fakeContainer, kind EventKind) {
	for _, tell := range e.tells {
		tell(Event{ID: c.ID, DockerID: c.DockerID, Kind: kind, At: time.Now()})
	}
}

func (e *fakeEngine) Engine(context.Context) (id string, err error) {
	err = e.do("engine", "", func() error { id = e.id; return nil })
	return id, err
}

func (e *fakeEngine) List(context.Context) (list []plan.Container, err error) {
	err = e.do("list", "", func() error {
		for _, id := range slices.Sorted(maps.Keys(e.containers)) {
			c := e.containers[id]
			if c.ID == "" {
				continue
			}
			o := plan.Container{DockerID: c.DockerID, Name: c.Name, ID: c.ID, Token: c.Token, Hash: c.Hash, Instance: c.Instance, Flow: c.Flow, State: c.State}
			o.Digest = strings.Join([]string{o.State, o.Name}, " ")
			list = append(list, o)
		}
		return nil
	})
	return list, err
}

func (e *fakeEngine) Inspect(_ context.Context, ref string) (o plan.Container, err error) {
	err = e.do("inspect", ref, func() error {
		c, err := e.findLocked(ref)
		if err == nil {
			o = c.Container
		}
		return err
	})
	return o, err
}

func (e *fakeEngine) Create(_ context.Context, t Template) (dockerID string, err error) {
	err = e.do("create", t.DockerName, func() error {
		if !e.images[t.Spec.Image] {
			return ErrAbsent
		}
		if _, err := e.findLocked(t.DockerName); err == nil {
			return ErrConflict
		}
		c := e.addLocked(t.DockerName)
		c.ID, c.Token, c.Hash, c.Instance, c.Flow, c.template = t.ID, t.Token, t.Hash, t.Instance, t.Name, t
		c.Carried = t.Volumes
		c.StopSignal = cmp.Or(t.Spec.StopSignal, e.stopSignal[t.Spec.Image])
		if h := t.Spec.Healthcheck; h != nil {
			c.Deadly = api.CheckWithoutCommand(h.Test)
		} else {
			c.Deadly = e.isDeadlyLocked(t.Spec.Image)
		}
		dockerID = c.DockerID
		e.tellLocked(c, Changed)
		return nil
	})
	return dockerID, err
}

func (e *fakeEngine) addLocked(name string) *fakeContainer {
	e.serial++
	c := &fakeContainer{Container: plan.Container{DockerID: fmt.Sprintf("%064d", e.serial), Name: name, State: "created"}}
	e.containers[c.DockerID] = c
	return c
}

func (e *fakeEngine) Start(_ context.Context, dockerID string) error {
	return e.with("start", dockerID, func(c *fakeContainer) error {
		if c.State == "dead" || c.State == "removing" {
			return ErrConflict
		}
		if c.StartError = cmp.Or(e.startError[dockerID], e.startError[""]); c.StartError != "" {
			return errEngine
		}
		if e.starting != nil {
			e.starting(c)
		}
		if c.State != "running" {
			e.serial++ // fake time stands still between steps, and no two runs begin at the same instant
			c.State, c.StartedAt, c.FinishedAt, c.ExitCode = "running", time.Now().Add(time.Duration(e.serial)), time.Time{}, 0
			c.Health, c.FailingStreak, c.HealthOutput = "", 0, ""
		}
		return nil
	})
}

func (e *fakeEngine) Kill(ctx context.Context, dockerID, signal string) error {
	e.mu.Lock()
	never := e.never == "kill"+signal
	e.mu.Unlock()
	if never {
		<-ctx.Done()
		return ctx.Err()
	}
	return e.with("kill"+signal, dockerID, func(c *fakeContainer) error {
		switch {
		case c.State != "running" && c.State != "paused":
			return ErrConflict
		case signal == "":
			c.end(137)
		case !c.ignoresTerm && e.stopTakes > 0:
			run := c.StartedAt
			time.AfterFunc(e.stopTakes, func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				if c.Alive() && c.StartedAt.Equal(run) {
					c.end(0)
					e.sendLocked(c, Ended)
				}
			})
		case !c.ignoresTerm:
			c.end(0)
		}
		return nil
	})
}

func (c *fakeContainer) end(code int) { c.State, c.ExitCode, c.FinishedAt = "exited", code, time.Now() }

func (e *fakeEngine) Pause(_ context.Context, dockerID string) error {
	return e.move("pause", dockerID, "running", "paused")
}

func (e *fakeEngine) Unpause(_ context.Context, dockerID string) error {
	return e.move("unpause", dockerID, "paused", "running")
}

func (e *fakeEngine) move(call, dockerID, from, to string) error {
	return e.with(call, dockerID, func(c *fakeContainer) error {
		if c.State != from {
			return ErrConflict
		}
		c.State = to
		return nil
	})
}

func (e *fakeEngine) Rename(_ context.Context, dockerID, name string) error {
	return e.with("rename", dockerID, func(c *fakeContainer) error {
		if _, err := e.findLocked(name); err == nil {
			return ErrConflict
		}
		c.Name = name
		return nil
	})
}

func (e *fakeEngine) Limit(_ context.Context, dockerID string, r api.Resources) error {
	return e.with("limit", dockerID, func(c *fakeContainer) error {
		c.template.Spec.Resources, c.Limits = r, r
		return nil
	})
}

func (e *fakeEngine) Connect(_ context.Context, dockerID, network, _ string) error {
	return e.with("connect", dockerID, func(c *fakeContainer) error {
		c.Networks = []string{network}
		return nil
	})
}

func (e *fakeEngine) Remove(_ context.Context, dockerID string) error {
	return e.with("remove", dockerID, func(c *fakeContainer) error {
		if c.State == "running" || c.State == "paused" || c.State == "removing" {
			return ErrConflict
		}
		delete(e.containers, dockerID)
		return nil
	})
}

func (e *fakeEngine) RemoveCarried(_ context.Context, name string) error {
	return e.do("removecarried", name, func() error { return nil })
}

func (e *fakeEngine) VolumeInstance(_ context.Context, name string) (instance string, err error) {
	err = e.do("volume", name, func() error {
		var there bool
		if instance, there = e.volumes[name]; !there {
			return ErrAbsent
		}
		return nil
	})
	return instance, err
}

func (e *fakeEngine) NetworkName(_ context.Context, ref string) (name string, err error) {
	err = e.do("network", ref, func() error {
		var there bool
		if name, there = e.networks[ref]; !there {
			return ErrAbsent
		}
		return nil
	})
	return name, err
}

func (e *fakeEngine) RemoveVolume(context.Context, string, string) error {
	return e.do("remove-volume", "", func() error { return nil })
}

func (e *fakeEngine) Image(_ context.Context, ref string) (i Image, err error) {
	err = e.do("image", ref, func() error {
		if !e.images[ref] {
			return ErrAbsent
		}
		i.ID = fmt.Sprintf("sha256:%s:%d", ref, e.moved[ref])
		e.images[i.ID] = true
		if strings.HasPrefix(ref, "sha256:") {
			i.ID = ref
		}
		i.Deadly = e.isDeadlyLocked(ref)
		return nil
	})
	return i, err
}

// isDeadlyLocked understands references and ids of images.
func (e *fakeEngine) isDeadlyLocked(ref string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(ref, "sha256:"), ":")
	return e.deadly[name]
}

func (e *fakeEngine) Pull(ctx context.Context, ref string, _ func(api.PullProgress)) error {
	if e.pulls != nil {
		select {
		case <-e.pulls:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return e.do("pull", ref, func() error {
		if !e.registry[ref] {
			return ErrAbsent
		}
		e.images[ref] = true
		e.moved[ref]++
		return nil
	})
}

func (e *fakeEngine) LastLines(context.Context, string, int, int) ([]string, error) {
	if e.printed != nil {
		return e.printed, nil
	}
	return []string{"password=hunter2", "the end"}, nil
}

func (e *fakeEngine) Usage(context.Context, string) (api.Usage, error) { return api.Usage{}, nil }

func (e *fakeEngine) Events(ctx context.Context, ready func(), tell func(Event)) error {
	e.mu.Lock()
	if e.away {
		e.mu.Unlock()
		return ErrUnavailable
	}
	e.tells = []func(Event){tell}
	lost := e.lost
	e.mu.Unlock()
	ready()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-lost:
		return ErrUnavailable
	}
}

func (e *fakeEngine) Replay(context.Context, time.Time) (r Replay, err error) {
	err = e.do("replay", "", func() error { r = e.replay; return nil })
	return r, err
}

// leave takes the engine away; come brings it back.
func (e *fakeEngine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away, e.tells = true, nil
	close(e.lost)
}

func (e *fakeEngine) come() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away, e.lost = false, make(chan struct{})
}

// behind changes something behind the manager's back; a nil container is told of only by name.
func (e *fakeEngine) behind(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	for _, c := range e.containers {
		e.tellLocked(c, Changed)
	}
}

// exit ends the named container by itself.
func (e *fakeEngine) exit(name string, code int) {
	e.behind(func() {
		if c, err := e.findLocked(name); err == nil {
			c.end(code)
		}
	})
}

// sicken makes a container fail its health check for the third time.
func (e *fakeEngine) sicken(name, output string) {
	e.behind(func() {
		if c, err := e.findLocked(name); err == nil {
			c.Health, c.FailingStreak, c.HealthOutput = api.HealthUnhealthy, 3, output
		}
	})
}

func (e *fakeEngine) named(name string) (fakeContainer, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.findLocked(name)
	if err != nil {
		return fakeContainer{}, false
	}
	return *c, true
}

// told returns the calls since it was last asked, inspections left out.
func (e *fakeEngine) told() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := slices.DeleteFunc(e.calls, func(c string) bool {
		return c == "inspect" || c == "replay" || c == "list" || c == "engine" || c == "image"
	})
	e.calls = nil
	return strings.Join(calls, " ")
}

// fakeEndpoints remembers which sockets are open.
type fakeEndpoints struct {
	mu          sync.Mutex
	open        map[string]bool
	generation  int // of the folders
	removed     int // calls of Remove
	last, ready time.Time
	connected   bool
}

func (f *fakeEndpoints) Open(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[id] = true
	return nil
}

func (f *fakeEndpoints) Listening(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[id]
}

func (f *fakeEndpoints) Left() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.open)), nil
}

func (f *fakeEndpoints) Remove(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, id)
	f.removed++
	return nil
}

func (f *fakeEndpoints) Mount(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("folder %d of %s", f.generation, id)
}
func (f *fakeEndpoints) Dir(id string) string { return "/run/flows/" + id }
func (f *fakeEndpoints) Heard(string) (last, ready time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.ready
}
func (f *fakeEndpoints) Connected(string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.connected
}
func (f *fakeEndpoints) Lifecycle(string, string, int) {}

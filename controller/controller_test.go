package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/google/go-cmp/cmp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// world is a controller at work on a fake engine, in fake time.
type world struct {
	t         *testing.T
	dir       string
	store     *store.Store
	engine    *fakeEngine
	endpoints *fakeEndpoints
	code      *fakeSnapshots
	control   *Controller
	stop      func()
	log       zerolog.Logger
}

// inWorld runs test in a bubble of fake time.
func inWorld(t *testing.T, test func(w *world)) { inLoggedWorld(t, zerolog.Nop(), test) }

// inLoggedWorld is inWorld with the controller's log.
func inLoggedWorld(t *testing.T, log zerolog.Logger, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir(), log: log, engine: newFakeEngine(), endpoints: &fakeEndpoints{open: map[string]bool{}}, code: newFakeSnapshots()}
		w.boot(Config{})
		defer func() { w.stop() }()
		test(w)
	})
}

// boot starts a manager on what is in the directory and in the engine.
func (w *world) boot(c Config) {
	w.t.Helper()
	var err error
	if w.store, err = store.Open(w.dir, store.Options{NoSync: true}); err != nil {
		w.t.Fatal(err)
	}
	w.engine.starting = w.checkStart
	c.Store, c.Runtime, c.Endpoints, c.Snapshots, c.Log, c.Ports = w.store, w.engine, w.endpoints, w.code, w.log, PortRange{20000, 20010}
	w.control = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.control.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := errors.Join(<-ended, w.store.Close()); err != nil {
			w.t.Error(err)
		}
	}
	w.after(0)
}

// checkStart holds at every start of every test: the socket is open, and the Docker id on disk.
func (w *world) checkStart(c *fakeContainer) {
	r, ok := w.store.Get(c.ID)
	if !ok || r.Current.DockerID != c.DockerID {
		w.t.Errorf("%s is started before its Docker id is recorded: %+v", c.Name, r)
	}
	if c.Deadly {
		w.t.Errorf("%s is started, of which the engine dies", c.Name)
	}
	w.endpoints.mu.Lock()
	defer w.endpoints.mu.Unlock()
	if !w.endpoints.open[c.ID] {
		w.t.Errorf("%s is started without its socket", c.Name)
	}
}

// after lets fake time pass and everything that is due happen.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) declare(name string, edit func(*api.Spec)) *store.Record {
	w.t.Helper()
	r := w.declareNow(name, edit)
	synctest.Wait()
	return r
}

// declareNow is declare for a hook of the loop, which cannot wait for what comes of it.
func (w *world) declareNow(name string, edit func(*api.Spec)) *store.Record {
	w.t.Helper()
	r, err := w.store.Declare(w.t.Context(), store.Declaration{Name: name, Change: func(wish *store.Wish) error {
		if !wish.Exists {
			wish.Spec = api.Spec{Image: "app", DesiredState: api.DesiredRunning}
		}
		was := wish.Spec.DesiredState
		if edit != nil {
			edit(&wish.Spec)
		}
		wish.Start = wish.Exists && was != wish.Spec.DesiredState && wish.Spec.DesiredState == api.DesiredRunning
		wish.Spec.Default(name)
		return nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Record
}

func (w *world) desire(name, state string) {
	w.t.Helper()
	w.declare(name, func(s *api.Spec) { s.DesiredState = state })
}

// wake declares an explicit start of what is declared running already.
func (w *world) wake(name string) {
	w.t.Helper()
	if _, err := w.store.Declare(w.t.Context(), store.Declaration{Name: name, Change: func(wish *store.Wish) error { wish.Start = true; return nil }}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) restart(name string) {
	w.t.Helper()
	if _, err := w.store.Declare(w.t.Context(), store.Declaration{Name: name, Change: func(wish *store.Wish) error { wish.Restart = true; return nil }}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) delete(name string) {
	w.t.Helper()
	if _, err := w.store.Declare(w.t.Context(), store.Declaration{Name: name, Change: func(wish *store.Wish) error { wish.Delete = true; return nil }}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) status(name string) *api.Status {
	w.t.Helper()
	r, err := w.store.Resolve(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return &r.Status
}

func (w *world) expect(name, state, calls string) {
	w.t.Helper()
	if got := w.engine.told(); got != calls {
		w.t.Errorf("calls: got %q, want %q", got, calls)
	}
	if got := w.status(name).State; got != state {
		w.t.Errorf("state: got %q, want %q (%+v)", got, state, w.status(name).Conditions)
	}
}

func TestController_ALife(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		w.expect("web", api.StateRunning, "create start")
		if st := w.status("web"); st.ObservedGeneration != 1 || st.RunningGeneration != 1 || st.Condition(api.Ready).Status != api.True {
			t.Errorf("status: %s", api.Encode(st))
		}
		first, _ := w.engine.named("web")
		w.desire("web", api.DesiredStopped)
		w.expect("web", api.StateStopped, "killSIGTERM")
		w.desire("web", api.DesiredRunning)
		w.expect("web", api.StateRunning, "start")
		w.desire("web", api.DesiredPaused)
		w.expect("web", api.StatePaused, "pause")
		w.desire("web", api.DesiredStopped)
		w.expect("web", api.StateStopped, "unpause killSIGTERM")
		if again, _ := w.engine.named("web"); again.DockerID != first.DockerID {
			t.Error("the container was recreated")
		}
		w.delete("web")
		if got := w.engine.told(); got != "remove" {
			t.Errorf("delete: %s", got)
		}
		if _, ok := w.store.Tombstone(r.ID); !ok || w.endpoints.open[r.ID] {
			t.Errorf("tombstone %v, socket open %v", ok, w.endpoints.open[r.ID])
		}
	})
}

func TestController_CreatedIsMadeAndNotStarted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.DesiredState = api.DesiredCreated })
		w.expect("web", api.StateCreated, "create")
		if st := w.status("web"); st.DockerID == "" || st.ObservedGeneration != 1 {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

func TestController_StopKillsAfterItsGraceAndHoldsUpNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.ignoresTerm = true
			}
		})
		w.engine.told()
		w.desire("web", api.DesiredStopped)
		w.expect("web", api.StateRunning, "killSIGTERM")
		w.after(9 * time.Second)
		w.expect("web", api.StateRunning, "")
		w.after(2 * time.Second)
		w.expect("web", api.StateStopped, "kill")
	})
}

func TestController_StartDuringAStopWaitsForItsEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.ignoresTerm = true
			}
		})
		w.desire("web", api.DesiredStopped)
		w.engine.told()
		w.desire("web", api.DesiredRunning)
		w.expect("web", api.StateRunning, "")
		w.after(11 * time.Second)
		w.expect("web", api.StateRunning, "kill start")
		if n := w.status("web").RestartCount; n != 0 {
			t.Errorf("a stop that was asked for counted as %d restarts", n)
		}
	})
}

func TestController_ExitsUnderTheirPolicies(t *testing.T) {
	tests := []struct {
		name, policy string
		attempts     int
		code         int
		state        string
		reason       string
		calls        string
	}{
		{"always after success", api.RestartAlways, 0, 0, api.StateRunning, "Running", "start"},
		{"always after failure", api.RestartAlways, 0, 1, api.StateRunning, "Running", "start"},
		{"on-failure after success", api.RestartOnFailure, 0, 0, api.StateExited, "Completed", ""},
		{"on-failure after failure", api.RestartOnFailure, 0, 1, api.StateRunning, "Running", "start"},
		{"never after success", api.RestartNever, 0, 0, api.StateExited, "Completed", ""},
		{"never after failure", api.RestartNever, 0, 1, api.StateExited, "Failed", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", func(s *api.Spec) { s.RestartPolicy = api.RestartPolicy{Name: tt.policy, MaxAttempts: tt.attempts} })
				w.engine.told()
				w.engine.exit("web", tt.code)
				w.after(0)
				w.expect("web", tt.state, tt.calls)
				if got := w.status("web").Condition(api.Ready).Reason; got != tt.reason {
					t.Errorf("reason: got %s, want %s", got, tt.reason)
				}
				w.after(3 * time.Minute)
				w.expect("web", tt.state, "")
			})
		})
	}
}

func TestController_BackoffIsKeptThroughARestartOfTheManager(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		for range 4 { // the pauses before the restarts: 0, 1, 2, 4 s
			w.engine.exit("web", 1)
			w.after(5 * time.Second)
		}
		w.engine.told()
		w.engine.exit("web", 1) // the fifth: 8 s
		w.after(time.Second)
		w.stop()
		w.boot(Config{})
		w.expect("web", api.StateRestarting, "")
		w.after(5 * time.Second)
		w.expect("web", api.StateRestarting, "")
		w.after(3 * time.Second)
		w.expect("web", api.StateRunning, "start")
		if st := w.status("web"); st.RestartCount != 5 || st.CrashStreak != 5 || st.NextRestartAt != nil {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.after(plan.LongRun)
		w.engine.exit("web", 1)
		w.after(0)
		w.expect("web", api.StateRunning, "start")
	})
}

func TestController_GivesUpUntilAnExplicitStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.RestartPolicy = api.RestartPolicy{Name: api.RestartAlways, MaxAttempts: 2} })
		for range 3 {
			w.engine.exit("web", 1)
			w.after(5 * time.Second)
		}
		w.expect("web", api.StateExited, "create start start start")
		if c := w.status("web").Condition(api.Degraded); c.Reason != "GaveUp" || c.Status != api.True {
			t.Errorf("degraded: %+v", c)
		}
		w.stop()
		w.boot(Config{})
		w.expect("web", api.StateExited, "")
		w.wake("web")
		w.expect("web", api.StateRunning, "start")
		if st := w.status("web"); st.CrashStreak != 0 {
			t.Errorf("streak: %d", st.CrashStreak)
		}
	})
}

func TestController_NeverRunsOnceThoughItWasRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.engine.exit("job", 0)
		w.after(0)
		w.engine.told()
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(2 * time.Minute)
		w.expect("job", api.StateExited, "create")
	})
}

func TestController_Drift(t *testing.T) {
	tests := []struct {
		name  string
		do    func(e *fakeEngine, c *fakeContainer)
		calls string
	}{
		{"removed", func(e *fakeEngine, c *fakeContainer) { delete(e.containers, c.DockerID) }, "create start"},
		{"paused", func(_ *fakeEngine, c *fakeContainer) { c.State = "paused" }, "unpause"},
		{"renamed", func(_ *fakeEngine, c *fakeContainer) { c.Name = "other" }, "rename"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", nil)
				w.engine.told()
				w.engine.mu.Lock() // nothing is told of it: the resync finds it
				c, _ := w.engine.findLocked("web")
				tt.do(w.engine, c)
				w.engine.mu.Unlock()
				w.after(2 * time.Minute)
				w.expect("web", api.StateRunning, tt.calls)
				if n := w.status("web").RestartCount; n != 0 {
					t.Errorf("drift counted as %d restarts", n)
				}
			})
		})
	}
}

func TestController_LeavesForeignContainersAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.behind(func() { w.engine.addLocked("web").State = "running" })
		w.declare("web", nil)
		w.after(time.Minute) // it is made and runs, and gets its name once it is free
		st := w.status("web")
		if calls := w.engine.told(); st.State != api.StateRunning || !strings.HasPrefix(calls, "create create start rename") {
			t.Errorf("%s: %s", st.State, calls)
		}
		if c := st.Condition(api.Degraded); c.Reason != "NameConflict" || st.LastError.ErrorType != api.ConflictError {
			t.Errorf("status: %s", api.Encode(st))
		}
		if c, ok := w.engine.named("web"); !ok || c.ID != "" || c.State != "running" {
			t.Errorf("the foreign one: %+v", c)
		}
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(10 * time.Minute) // longer than any backoff, which depends on the id, and than a resync
		if st := w.status("web"); st.State != api.StateRunning || st.LastError != nil {
			t.Errorf("after it went: %s", api.Encode(st))
		}
	})
}

func TestController_LeavesACopyOfItsLabelsAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		ours, _ := w.engine.named("web")
		w.engine.behind(func() {
			copied := w.engine.addLocked("copy")
			copied.ID, copied.Token, copied.Hash, copied.State = ours.ID, ours.Token, ours.Hash, "running"
		})
		w.engine.told()
		revision := w.store.Revision()
		w.desire("web", api.DesiredStopped)
		w.desire("web", api.DesiredRunning)
		w.delete("web")
		if c, ok := w.engine.named("copy"); !ok || c.State != "running" {
			t.Errorf("the copy: %+v, %v", c, ok)
		}
		if got := w.engine.told(); got != "killSIGTERM start killSIGTERM remove" {
			t.Errorf("calls: %s", got)
		}
		if n := w.reports(revision-2, "ForeignContainer"); n != 1 {
			t.Errorf("it was reported %d times", n)
		}
		w.stop()
		w.boot(Config{})
		if c, ok := w.engine.named("copy"); !ok || c.State != "running" {
			t.Errorf("the copy, after a restart beside a tombstone: %+v, %v", c, ok)
		}
	})
}

// Another manager's containers are looked at once, whatever they do. One that is taken away is forgotten.
func TestController_LooksAtAnotherManagersContainersOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		looked := 0
		w.engine.behind(func() {
			c := w.engine.addLocked("other")
			c.ID, c.Token, c.Instance, c.State = "another", "another", "another", "running"
			w.engine.before = func(call string) error {
				if call == "inspect" {
					looked++
				}
				return nil
			}
		})
		for range 100 {
			w.engine.behind(func() {})
			w.after(time.Minute)
		}
		if looked != 1 {
			t.Errorf("it was looked at %d times", looked)
		}
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(time.Hour)
		if left := w.control.observer.all(); looked != 2 || len(left) > 0 {
			t.Errorf("looked at %d times, and known are %+v", looked, left)
		}
	})
}

// reports counts activities with a reason since a revision.
func (w *world) reports(since uint64, reason string) int {
	w.t.Helper()
	return w.tells(since, `"reason":"`+reason+`"`)
}

// tells counts how often events since a revision have a text.
func (w *world) tells(since uint64, text string) int {
	w.t.Helper()
	n := 0
	for watch := w.store.Watch(since); since < w.store.Revision(); {
		changes, err := watch.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range changes {
			since = c.Revision
			for _, e := range c.Events {
				n += strings.Count(string(e.Data), text)
			}
		}
	}
	return n
}

func TestController_RetriesWhatTheEngineRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.Image = "later" })
		st := w.status("web")
		if st.LastError == nil || st.LastError.ErrorType != api.ImageNotFound || st.ObservedGeneration != 1 || st.Condition(api.Degraded).Reason != "ImageNotFound" {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.after(time.Minute)
		w.engine.told()
		w.engine.behind(func() { w.engine.images["later"] = true })
		w.after(5 * time.Minute)
		w.expect("web", api.StateRunning, "create start")
	})
}

func TestController_ADeleteWinsOverABackoff(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", func(s *api.Spec) { s.Image = "never" })
		w.after(10 * time.Minute)
		w.delete("web")
		if _, ok := w.store.Get(r.ID); ok {
			t.Error("it is still there")
		}
	})
}

func TestController_CallsThatFailAfterTheyTookEffect(t *testing.T) {
	for _, call := range []string{"create", "start", "killSIGTERM", "remove"} {
		for _, fault := range []error{ErrUnavailable, errEngine} {
			t.Run(call+" "+fault.Error(), func(t *testing.T) {
				inWorld(t, func(w *world) {
					w.engine.mu.Lock()
					w.engine.after = once(call, fault)
					w.engine.mu.Unlock()
					r := w.declare("web", nil)
					w.after(10 * time.Second)
					w.desire("web", api.DesiredStopped)
					w.after(30 * time.Second)
					if st := w.status("web"); st.State != api.StateStopped || len(w.engine.containers) != 1 {
						t.Errorf("%d containers, %s", len(w.engine.containers), api.Encode(st))
					}
					w.delete("web")
					w.after(30 * time.Second)
					if _, ok := w.store.Get(r.ID); ok || len(w.engine.containers) != 0 {
						t.Errorf("after delete: record %v, %d containers", ok, len(w.engine.containers))
					}
				})
			})
		}
	}
}

// once returns fault for the first such call.
func once(call string, fault error) func(string) error {
	done := false
	return func(c string) error {
		if c != call || done {
			return nil
		}
		done = true
		return fault
	}
}

func TestController_EngineAwayAndBack(t *testing.T) {
	inWorld(t, func(w *world) {
		var told []bool
		w.stop()
		w.boot(Config{Engine: func(err error) { told = append(told, err == nil) }})
		w.declare("web", nil)
		w.engine.told()
		w.engine.leave()
		w.after(time.Minute)
		if err := w.control.Ready(); err == nil || !strings.HasPrefix(err.Error(), "EngineUnavailable") {
			t.Errorf("ready: %v", err)
		}
		w.declare("late", nil)
		w.after(time.Minute)
		w.engine.come()
		w.after(5 * time.Second)
		w.expect("late", api.StateRunning, "create start")
		w.expect("web", api.StateRunning, "")
		if err := w.control.Ready(); err != nil || fmt.Sprint(told) != "[false true]" {
			t.Errorf("ready: %v; told: %v", err, told)
		}
	})
}

func TestController_AnotherEngineIsLeftAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.engine.behind(func() { w.engine.id = "engine-2"; clear(w.engine.containers) })
		w.stop()
		w.engine.told()
		w.boot(Config{})
		w.after(time.Minute)
		if err := w.control.Ready(); err == nil || !strings.HasPrefix(err.Error(), "EngineChanged") || w.engine.told() != "" {
			t.Errorf("ready: %v", err)
		}
		w.stop()
		w.boot(Config{AcceptEngine: true})
		w.after(time.Minute)
		w.expect("web", api.StateRunning, "create start")
	})
}

func TestController_WhatAChangeCosts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes = api.MinMemoryBytes })
		w.engine.told()
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.expect("web", api.StateRunning, "")
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes *= 2 })
		w.expect("web", api.StateRunning, "limit")
		w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"A": "b"} })
		w.expect("web", api.StateRunning, "create killSIGTERM rename rename start")
		w.after(time.Minute)
		w.expect("web", api.StateRunning, "remove")
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes = 0 })
		w.expect("web", api.StateRunning, "create killSIGTERM rename rename start")
		w.after(time.Minute)
		w.expect("web", api.StateRunning, "remove")
		if st := w.status("web"); st.RunningGeneration != 5 || st.RestartCount != 0 {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

func TestController_AQuietWorldReceivesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, name := range []string{"aa", "bb", "cc"} {
			w.declare(name, nil)
		}
		w.after(2 * time.Minute)
		w.engine.mu.Lock()
		w.engine.calls = nil
		w.engine.mu.Unlock()
		revision := w.store.Revision()
		w.after(time.Hour)
		w.engine.mu.Lock()
		defer w.engine.mu.Unlock()
		for _, call := range w.engine.calls {
			if call != "list" {
				t.Errorf("an unasked %s", call)
			}
		}
		if n := len(w.engine.calls); n < 50 || n > 70 || w.store.Revision() != revision {
			t.Errorf("%d lists in an hour, revision %d -> %d", n, revision, w.store.Revision())
		}
	})
}

func TestController_PortsArePickedAndKept(t *testing.T) {
	inWorld(t, func(w *world) {
		publish := func(s *api.Spec) { s.Ports = map[string]api.HostPort{"80": {}} }
		w.declare("aa", publish)
		w.declare("bb", publish)
		a, b := w.status("aa").Ports["80"].Port, w.status("bb").Ports["80"].Port
		if a == 0 || b == 0 || a == b {
			t.Errorf("ports %d and %d", a, b)
		}
		w.declare("aa", func(s *api.Spec) { s.User = "1" })
		if again := w.status("aa").Ports["80"].Port; again != a {
			t.Errorf("port %d became %d", a, again)
		}
	})
}

// A status that was worked out for one generation must not pass for the outcome of the next.
func TestController_AStatusIsOfTheGenerationItWasPlannedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		overtaken := false
		w.boot(Config{Fail: func(point string) {
			if point == "before-status" && !overtaken {
				overtaken = true
				_, err := w.store.Declare(context.Background(), store.Declaration{Name: "web", Change: func(wish *store.Wish) error {
					wish.Spec.DesiredState = api.DesiredStopped
					return nil
				}})
				if err != nil {
					t.Error(err)
				}
			}
		}})
		w.declare("web", nil)
		w.after(time.Second)
		if !overtaken {
			t.Fatal("nothing was overtaken")
		}
		w.expect("web", api.StateStopped, "create start killSIGTERM")
		for watch, seen := w.store.Watch(0), uint64(0); seen < w.store.Revision(); {
			changes, err := watch.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				seen = c.Revision
				if c.Record.Status.ObservedGeneration == 2 && c.Record.Status.State != api.StateStopped {
					t.Errorf("generation 2 was reported as observed while %s", c.Record.Status.State)
				}
			}
		}
	})
}

func TestController_RestartIsAnotherRunOfTheSameContainer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		before, _ := w.engine.named("web")
		w.engine.told()
		w.restart("web")
		w.expect("web", api.StateRunning, "killSIGTERM start")
		after, _ := w.engine.named("web")
		if after.DockerID != before.DockerID || after.StartedAt.Equal(before.StartedAt) {
			t.Errorf("before %+v, after %+v", before.Container, after.Container)
		}
		if st := w.status("web"); st.RestartCount != 0 || st.LastAction.Cause != api.CauseRestart || st.ObservedGeneration != 2 {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.stop()
		w.boot(Config{})
		w.expect("web", api.StateRunning, "")
	})
}

func TestController_RestartsMadeTogetherAreOneAndSurviveTheManager(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.ignoresTerm = true
			}
		})
		w.engine.told()
		w.restart("web")
		w.restart("web")
		w.stop()
		w.boot(Config{})
		w.restart("web")
		w.after(11 * time.Second)
		w.expect("web", api.StateRunning, "killSIGTERM kill start")
	})
}

func TestController_RestartClearsABackoffAndAStopWinsOverIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		for range 5 {
			w.engine.exit("web", 1)
			w.after(5 * time.Second)
		}
		w.engine.told()
		w.restart("web")
		w.expect("web", api.StateRunning, "start")
		if st := w.status("web"); st.CrashStreak != 0 || st.NextRestartAt != nil {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.ignoresTerm = true
			}
		})
		w.restart("web")
		w.desire("web", api.DesiredStopped)
		w.after(time.Minute)
		w.expect("web", api.StateStopped, "killSIGTERM kill")
		w.desire("web", api.DesiredRunning)
		w.expect("web", api.StateRunning, "start")
	})
}

// told are the events of one name that the store keeps, oldest first.
func told[T any](w *world, name string) []T {
	w.t.Helper()
	var list []T
	for watch, since := w.store.Watch(0), uint64(0); since < w.store.Revision(); {
		changes, err := watch.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range changes {
			since = c.Revision
			for _, e := range c.Events {
				var one T
				if e.Name != name {
					continue
				}
				if err := json.Unmarshal(e.Data, &one); err != nil {
					w.t.Fatal(err)
				}
				list = append(list, one)
			}
		}
	}
	return list
}

func TestController_ACrashIsToldWithItsLastLines(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"API_TOKEN": "the end"} })
		w.engine.exit("web", 139)
		w.after(0)
		w.engine.exit("web", 0)
		w.after(5 * time.Second)
		crashes := told[api.Crash](w, api.ContainerCrashed)
		if len(crashes) != 1 || crashes[0].ExitCode != 139 || crashes[0].RestartCount != 1 || crashes[0].NextRestartAt == nil ||
			crashes[0].Details.Error != "it ended by signal 11 (exit code 139)" ||
			strings.Join(crashes[0].Details.Logs, "|") != "password=[FILTERED]|[FILTERED]" {
			t.Errorf("crashes: %+v", crashes)
		}
	})
}

// What a crash is told with is cut after it was masked, and before a line where there is one.
func TestController_ACrashShowsNoHalfOfASecret(t *testing.T) {
	const secret = "opensesame-opensesame"
	for name, tt := range map[string]struct{ printed, want []string }{
		"within a line": {[]string{strings.Repeat("x", crashBytes) + secret + strings.Repeat("y", crashBytes-5)}, []string{"ERED]" + strings.Repeat("y", crashBytes-5)}},
		"between lines": {[]string{secret + strings.Repeat("x", crashBytes), strings.Repeat("y", crashBytes-10), secret}, []string{api.Filtered}},
		"at a line":     {[]string{"x", strings.Repeat("y", crashBytes-11), secret}, []string{strings.Repeat("y", crashBytes-11), api.Filtered}},
	} {
		inWorld(t, func(w *world) {
			w.engine.printed = tt.printed
			w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"API_TOKEN": secret} })
			w.engine.exit("web", 139)
			w.after(0)
			crashes := told[api.Crash](w, api.ContainerCrashed)
			if len(crashes) != 1 {
				t.Fatalf("%s: crashes: %d", name, len(crashes))
			}
			if diff := cmp.Diff(tt.want, crashes[0].Details.Logs); diff != "" {
				t.Errorf("%s (-want +got):\n%.300s", name, diff)
			}
		})
	}
}

// outage ends every run as an engine does that goes down, and brings the engine back.
func (w *world) outage(code int) {
	w.engine.behind(func() {
		for _, c := range w.engine.containers {
			if c.State == "running" {
				c.end(code)
			}
		}
	})
	w.engine.leave()
	w.after(20 * time.Second)
	w.engine.come()
	w.after(10 * time.Second)
}

func TestController_AnOutageOfTheEngineIsNobodysCrash(t *testing.T) {
	tests := []struct {
		policy string
		code   int
		state  string
		reason string
	}{
		{api.RestartAlways, 137, api.StateRunning, "Running"},
		{api.RestartOnFailure, 0, api.StateRunning, "Running"},
		{api.RestartNever, 0, api.StateExited, "Interrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.policy, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = tt.policy })
				w.after(time.Hour)
				w.outage(tt.code)
				st := w.status("web")
				if st.State != tt.state || st.CrashStreak != 0 || st.Condition(api.Ready).Reason != tt.reason || len(w.engine.containers) != 1 {
					t.Errorf("status: %s", api.Encode(st))
				}
			})
		})
	}
}

// An engine that is being stopped ends what runs and still starts it again when it is asked to. The first end looks like a
// crash, until the engine is gone as well.
func TestController_AnEngineThatIsBeingStoppedIsNobodysCrash(t *testing.T) {
	for earlier, streak := range map[time.Duration]int{2 * time.Second: 1, 5 * time.Minute: 2} {
		inWorld(t, func(w *world) {
			w.declare("web", nil)
			w.engine.exit("web", 1) // a crash of its own
			w.after(5 * time.Minute)
			w.engine.exit("web", 143)
			w.after(earlier)
			if st := w.status("web"); st.State != api.StateRunning || st.CrashStreak != 2 {
				t.Fatalf("it ended twice: %s", api.Encode(st))
			}
			for range 2 { // what was taken back once is not taken back again
				w.outage(137)
			}
			if st := w.status("web"); st.State != api.StateRunning || st.CrashStreak != streak {
				t.Errorf("it ended %s before the engine did: streak %d, want %d", earlier, st.CrashStreak, streak)
			}
		})
	}
}

func TestController_ARebootOfTheHostIsNobodysCrash(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		w.boot(Config{Boot: "one"})
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartOnFailure })
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.desire("web", api.DesiredPaused)
		w.stop()
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.end(0)
			}
			clear(w.endpoints.open)
		})
		w.engine.told()
		w.boot(Config{Boot: "two"})
		w.after(time.Second)
		w.expect("web", api.StatePaused, "start pause")
		w.expect("job", api.StateExited, "")
		if st := w.status("web"); st.CrashStreak != 0 || st.LastError != nil {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.wake("job")
		w.expect("job", api.StateRunning, "start")
	})
}

// What is declared paused is paused after each of its restarts at once: that is no outside hand's doing.
func TestController_PausedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(10 * time.Second)
		w.desire("web", api.DesiredPaused)
		for range 5 {
			w.engine.exit("web", 1)
			w.after(20 * time.Second)
			if c, _ := w.engine.named("web"); c.State != "paused" {
				t.Fatalf("it is %s", c.State)
			}
		}
		if r, err := w.store.Resolve("web"); err != nil || r.Tracks.Process.Repairs != nil {
			t.Errorf("%d changes of outside hands are counted: %v", r.Tracks.Process.Repaired().N, err)
		}
	})
}

// An engine that fails at a start takes the container off its networks. However often that was, the next start has them.
func TestController_NoStartWithoutItsNetwork(t *testing.T) {
	inWorld(t, func(w *world) {
		taken := true
		w.engine.behind(func() {
			w.engine.before = func(call string) error {
				if call != "start" || !taken {
					return nil
				}
				for _, c := range w.engine.containers {
					c.Networks = []string{}
				}
				return errEngine
			}
		})
		w.declare("web", nil)
		w.after(10 * time.Minute)
		w.engine.behind(func() {
			taken = false
			w.engine.starting = func(c *fakeContainer) {
				if len(c.Networks) == 0 {
					t.Error("it is started without its network")
				}
			}
		})
		w.after(10 * time.Minute)
		r, err := w.store.Resolve("web")
		if err != nil || r.Status.State != api.StateRunning || r.Tracks.Settings.Repairs != nil {
			t.Errorf("it is %s, and %d changes of outside hands are counted: %v", r.Status.State, r.Tracks.Settings.Repaired().N, err)
		}
	})
}

// What is to rest and was declared anew is not told to be stopped while the old container cannot be ended.
func TestController_NotStoppedWhileTheOldOneRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		first, _ := w.engine.named("web")
		w.engine.behind(func() { w.engine.containers[first.DockerID].ignoresTerm = true })
		w.refuse("kill", errEngine)
		w.declare("web", func(s *api.Spec) { s.DesiredState, s.Command = api.DesiredStopped, []string{"two"} })
		for range 60 {
			w.after(time.Second)
			if state := w.status("web").State; state != api.StateRunning {
				t.Fatalf("it is told to be %s", state)
			}
		}
		w.engine.behind(func() { w.engine.before = nil })
		w.after(10 * time.Minute)
		if now, _ := w.engine.named("web"); now.DockerID == first.DockerID || w.status("web").State != api.StateStopped {
			t.Errorf("once it can be killed: %+v, %s", now.Container, w.status("web").State)
		}
	})
}

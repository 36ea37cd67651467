package controller

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// Each test here is the smallest input of a fault that was once found in a running manager.

// judged is what became of a generation, by the one judge.
func (w *world) judged(name string, generation int64) *store.Outcome {
	w.t.Helper()
	r, err := w.store.Resolve(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan.Judge(r, store.Accepted{Generation: generation, Intent: r.IntentOf(generation)})
}

// ask declares as a handler does, by intent.
func (w *world) ask(name string, intent store.Intent, edit func(*store.Wish)) int64 {
	w.t.Helper()
	result, err := w.store.Declare(w.t.Context(), store.Declaration{Name: name, Intent: intent, Change: func(wish *store.Wish) error { edit(wish); return nil }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.after(0)
	return result.Generation
}

// crashes has a container end again and again, a while after each of its starts.
func (w *world) crashes(name string, after time.Duration, code int) {
	w.t.Helper()
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	was := w.engine.starting
	w.engine.starting = func(c *fakeContainer) {
		was(c)
		if c.template.Name == name && c.template.Spec.Image == "app" {
			time.AfterFunc(after, func() { w.engine.exitOf(c.DockerID, code) })
		}
	}
}

// exitOf ends a container by itself, as an event tells.
func (e *fakeEngine) exitOf(dockerID string, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[dockerID]; c != nil && c.Alive() {
		c.end(code)
		e.sendLocked(c, Ended)
	}
}

// refuse has the engine refuse a call.
func (w *world) refuse(call string, err error) {
	w.engine.behind(func() {
		w.engine.before = func(made string) error {
			if made == call {
				return err
			}
			return nil
		}
	})
}

func TestFault_TheOldContainerDoesNotAnswerForItsUpdate(t *testing.T) {
	inWorld(t, func(w *world) {
		w.crashes("web", time.Second, 3)
		w.declare("web", nil)
		w.after(20 * time.Second) // a crash loop by now
		gate := make(chan struct{})
		w.engine.behind(func() { w.engine.registry["other"], w.engine.pulls = true, gate })
		g := w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Image = "other" })
		for range 60 {
			w.after(time.Second)
			if o := w.judged("web", g); o != nil {
				t.Fatalf("while the image is pulled: %+v", o)
			}
		}
		close(gate)
		w.after(time.Second)
		if o := w.judged("web", g); o == nil || o.Level >= store.LevelAvailable || o.ErrorType != "" {
			t.Errorf("it has just been started: %+v", o)
		}
		w.after(5 * time.Second)
		if o := w.judged("web", g); o == nil || o.Level != store.LevelAvailable {
			t.Errorf("it runs: %+v", o)
		}
	})
}

func TestFault_RefusedLimitsBackOffAndAreTold(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes = 64 << 20 })
		w.after(time.Minute)
		w.refuse("limit", errEngine)
		w.engine.told()
		revision := w.store.Revision()
		g := w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Resources.MemoryBytes = 8 << 20 })
		w.after(time.Minute)
		if n, wrote := strings.Count(w.engine.told(), "limit"), w.store.Revision()-revision; n < 5 || n > 8 || wrote > 20 {
			t.Errorf("%d attempts and %d writes in a minute", n, wrote)
		}
		if reason := w.reason(); reason != "LimitsRefused" {
			t.Errorf("degraded because of %q", reason)
		}
		if o := w.judged("web", g); o == nil || o.ErrorType != api.DockerAPIError {
			t.Errorf("the request: %+v", o)
		}
		w.after(10 * time.Minute)
		if reason := w.reason(); reason != "LimitsRefused" {
			t.Errorf("later degraded because of %q", reason)
		}
		w.engine.behind(func() { w.engine.before = nil })
		w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Resources.MemoryBytes = 64 << 20 })
		w.after(time.Minute)
		if reason := w.reason(); reason != "" || w.engine.limit("web") != 64<<20 {
			t.Errorf("after the rollback: %q, %d bytes", reason, w.engine.limit("web"))
		}
	})
}

// limit is the memory that a container may have.
func (e *fakeEngine) limit(name string) int64 {
	c, _ := e.named(name)
	return c.template.Spec.Resources.MemoryBytes
}

func TestFault_HealthRestartsBackOffThoughTheStopTakesTime(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.mu.Lock()
		w.engine.stopTakes = 300 * time.Millisecond
		was := w.engine.starting
		w.engine.starting = func(c *fakeContainer) {
			was(c)
			time.AfterFunc(time.Second, func() { w.engine.sicken("web", "no") })
		}
		w.engine.mu.Unlock()
		w.declare("web", nil)
		w.engine.told()
		w.after(90 * time.Second)
		if n := strings.Count(w.engine.told(), "start"); n < 6 || n > 9 {
			t.Errorf("%d restarts in 90 s", n)
		}
		if st := w.status("web"); st.NextRestartAt == nil && st.State != api.StateRunning {
			t.Errorf("nobody says when it is restarted: %s", api.Encode(st))
		}
	})
}

func TestFault_ATakenNameHoldsUpNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		first, _ := w.engine.named("web")
		w.engine.behind(func() {
			w.engine.containers[first.DockerID].Name = "moved"
			w.engine.addLocked("web").State = "running"
		})
		w.after(10 * time.Second)
		if reason := w.reason(); reason != api.ReasonNameConflict {
			t.Errorf("degraded because of %q", reason)
		}
		w.engine.told()
		w.engine.exitOf(first.DockerID, 1)
		w.after(time.Second)
		if calls := w.engine.told(); !strings.Contains(calls, "start") {
			t.Errorf("after a crash: %s", calls)
		}
		g := w.ask("web", store.IntentStopped, (*store.Wish).AskStop)
		w.after(time.Second)
		if o := w.judged("web", g); o == nil || o.State != api.StateStopped {
			t.Errorf("the stop: %+v", o)
		}
		g = w.ask("web", store.IntentRunning, (*store.Wish).AskStart)
		w.after(10 * time.Second)
		if o := w.judged("web", g); o == nil || o.Level != store.LevelAvailable {
			t.Errorf("the start: %+v", o)
		}
	})
}

func TestFault_WhatWasToldCompletedStaysThoughTheEngineIsRestarted(t *testing.T) {
	for _, policy := range []string{api.RestartOnFailure, api.RestartNever} {
		t.Run(policy, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = policy })
				w.after(time.Minute)
				w.engine.exitOf(r.Status.DockerID, 0)
				c, _ := w.engine.named("job")
				w.engine.exitOf(c.DockerID, 0)
				w.after(20 * time.Second)
				w.outage(137)
				w.after(time.Minute)
				if st := w.status("job"); st.State != api.StateExited || st.Condition(api.Ready).Reason != plan.Completed || st.Condition(api.Degraded).Status == api.True {
					t.Errorf("status: %s", api.Encode(st))
				}
			})
		})
	}
}

// An engine that is being stopped asks each container to end before anybody can know that it goes. What ends well then is not done.
func TestFault_WhatAnEngineThatGoesAsksToEndIsNotDone(t *testing.T) {
	for policy, state := range map[string]string{api.RestartOnFailure: api.StateRunning, api.RestartNever: api.StateExited} {
		t.Run(policy, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = policy })
				w.after(time.Minute)
				c, _ := w.engine.named("web")
				w.engine.mu.Lock()
				w.engine.sendLocked(w.engine.containers[c.DockerID], Killed)
				w.engine.mu.Unlock()
				w.engine.exitOf(c.DockerID, 0)
				w.after(100 * time.Millisecond)
				w.outage(137)
				w.after(time.Minute)
				if st := w.status("web"); st.State != state || st.CrashStreak != 0 || st.Condition(api.Ready).Reason == plan.Completed {
					t.Errorf("status: %s", api.Encode(st))
				}
			})
		})
	}
}

// The manager and the engine go together. What the engine has ended meanwhile was interrupted, for it remembers less than it could.
func TestFault_TheEngineAndTheManagerAreRestartedTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartOnFailure })
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.MaxAttempts = 1 })
		w.after(time.Minute)
		w.stop()
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.end(map[string]int{"job": 0, "web": 143}[c.Name])
			}
			w.engine.replay = Replay{Younger: true}
		})
		w.after(5 * time.Second)
		w.boot(Config{})
		w.after(time.Minute)
		for _, name := range []string{"job", "web"} {
			if st := w.status(name); st.State != api.StateRunning || st.CrashStreak != 0 {
				t.Errorf("%s: %s", name, api.Encode(st))
			}
		}
	})
}

// The same engine remembers how each run ended, so that a gap in the events interrupts nothing.
func TestFault_TheSameEngineTellsHowARunEnded(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartOnFailure })
		w.after(time.Minute)
		w.stop()
		c, _ := w.engine.named("job")
		w.engine.behind(func() {
			w.engine.containers[c.DockerID].end(0)
			w.engine.replay = Replay{Same: true, Events: []Event{{ID: c.ID, DockerID: c.DockerID, Kind: Ended, At: time.Now()}}}
		})
		w.after(5 * time.Second)
		w.boot(Config{})
		w.after(time.Minute)
		if st := w.status("job"); st.State != api.StateExited || st.Condition(api.Ready).Reason != plan.Completed {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

func TestFault_AProcessIsJudgedByTheProcess(t *testing.T) {
	for _, image := range []string{"slow", "missing"} {
		t.Run(image, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", nil)
				w.after(time.Minute)
				w.engine.behind(func() {
					w.engine.registry["slow"] = true
					if image == "slow" {
						w.engine.pulls = make(chan struct{})
					}
				})
				w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Image = image })
				w.after(time.Second)
				for _, step := range []struct {
					intent store.Intent
					ask    func(*store.Wish)
					state  string
				}{
					{store.IntentStopped, (*store.Wish).AskStop, api.StateStopped},
					{store.IntentRunning, (*store.Wish).AskStart, api.StateRunning},
					{store.IntentRestart, (*store.Wish).AskRestart, api.StateRunning},
					{store.IntentPaused, func(wish *store.Wish) { _ = wish.AskPause() }, api.StatePaused},
					{store.IntentRunning, func(wish *store.Wish) { _ = wish.AskUnpause() }, api.StateRunning},
				} {
					g := w.ask("web", step.intent, step.ask)
					w.after(10 * time.Second)
					if o := w.judged("web", g); o == nil || o.ErrorType != "" || o.State != step.state || o.Level != store.LevelAvailable {
						t.Errorf("%s: %+v", step.intent, o)
					}
				}
				w.stop() // what waits for the gate ends with the manager
				w.boot(Config{})
			})
		})
	}
}

func TestFault_APauseEndsATrialAndWhatWasToldStands(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Environment = map[string]string{"N": "2"} })
		w.after(time.Second)
		g := w.ask("web", store.IntentPaused, func(wish *store.Wish) { _ = wish.AskPause() })
		w.after(time.Second)
		if o := w.judged("web", g); o == nil || o.State != api.StatePaused {
			t.Fatalf("the pause: %+v", o)
		}
		if len(w.engine.containers) != 1 {
			t.Errorf("%d containers: what stood before stays", len(w.engine.containers))
		}
		c, _ := w.engine.named("web")
		w.after(15 * time.Second)
		w.engine.exitOf(c.DockerID, 137)
		w.after(time.Minute)
		if o := w.judged("web", g); o == nil || o.State != api.StatePaused || o.ErrorType != "" {
			t.Errorf("the pause, later: %+v", o)
		}
		if again, _ := w.engine.named("web"); again.DockerID != c.DockerID {
			t.Error("it was taken back")
		}
	})
}

// An engine that is being stopped ends a run, which is counted, starts it again, and ends it once more. Neither is a crash.
func TestFault_EveryEndOfAnOutageIsTakenBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.MaxAttempts = 1 })
		w.after(time.Minute)
		for range 2 {
			c, _ := w.engine.named("web")
			w.engine.mu.Lock()
			ours := w.engine.containers[c.DockerID]
			w.engine.sendLocked(ours, Killed)
			ours.end(143)
			w.engine.sendLocked(ours, Ended)
			w.engine.mu.Unlock()
			w.after(2 * time.Second)
		}
		if st := w.status("web"); st.CrashStreak != 2 || st.State != api.StateExited {
			t.Fatalf("before the engine goes: %s", api.Encode(st))
		}
		w.outage(137)
		w.after(time.Minute)
		if st := w.status("web"); st.State != api.StateRunning || st.CrashStreak != 0 {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

func TestFault_WhatWasTakenBackIsMadeAnewAsItWas(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes = 64 << 20 })
		w.after(time.Minute)
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes, s.Command = 128<<20, []string{"bad"} })
		w.engine.exit("web", 1)
		w.after(time.Minute)
		if reason, limit := w.reason(), w.engine.limit("web"); reason != "UpdateFailed" || limit != 64<<20 {
			t.Fatalf("taken back: %q, %d bytes", reason, limit)
		}
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(2 * time.Minute)
		if limit := w.engine.limit("web"); limit != 64<<20 {
			t.Errorf("made anew with %d bytes", limit)
		}
		w.declare("web", func(s *api.Spec) { s.Command = nil })
		w.after(time.Minute)
		if reason, limit := w.reason(), w.engine.limit("web"); reason != "" || limit != 128<<20 {
			t.Errorf("declared 128 MiB with the command of before: %q, %d bytes", reason, limit)
		}
	})
}

func TestFault_LimitsFollowTheGenerationThatStands(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.images["other"] = true
		w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes = 512 << 20 })
		w.after(time.Minute)
		w.engine.told()
		w.declare("web", func(s *api.Spec) { s.Image, s.Resources.MemoryBytes = "other", 8<<20 })
		w.engine.exit("web", 1)
		w.after(time.Hour)
		if calls := w.engine.told(); strings.Contains(calls, "limit") || w.engine.limit("web") != 512<<20 {
			t.Errorf("%s: %d bytes", calls, w.engine.limit("web"))
		}
	})
}

func TestFault_NoWaitIsLongerThanItIsThoughTheClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.stop()
				var skew atomic.Int64
				w.boot(Config{Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }})
				w.declare("web", nil)
				w.declare("deaf", nil)
				w.after(time.Minute)
				w.engine.behind(func() {
					for _, c := range w.engine.containers {
						c.ignoresTerm = c.Name == "deaf"
					}
				})
				w.engine.exit("web", 1)
				w.after(time.Millisecond)
				w.engine.exit("web", 1) // waits a second
				w.desire("deaf", api.DesiredStopped)
				w.after(100 * time.Millisecond)
				skew.Store(int64(jump))
				w.engine.told()
				w.after(500 * time.Millisecond)
				if calls := w.engine.told(); calls != "" {
					t.Errorf("too soon: %s", calls)
				}
				w.after(700 * time.Millisecond)
				if calls := w.engine.told(); calls != "start" {
					t.Errorf("the backoff: %q", calls)
				}
				w.after(8 * time.Second)
				if calls := w.engine.told(); calls != "" {
					t.Errorf("killed too soon: %s", calls)
				}
				w.after(time.Second)
				if calls := w.engine.told(); calls != "kill" {
					t.Errorf("the grace: %q", calls)
				}
				skew.Store(0)
			})
		})
	}
}

func TestFault_AnUpdateInTheFirstSecondsIsTakenBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Second)
		first, _ := w.engine.named("web")
		g := w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Command = []string{"bad"} })
		w.after(500 * time.Millisecond)
		c, _ := w.engine.named("web")
		w.engine.exitOf(c.DockerID, 7)
		w.after(time.Minute)
		if now, _ := w.engine.named("web"); now.DockerID != first.DockerID || now.State != "running" {
			t.Errorf("the good one is gone: %+v", now.Container)
		}
		o := w.judged("web", g)
		if o == nil || o.ErrorType == "" || fmt.Sprint(o.Details["exit_code"]) != "7" || !strings.Contains(fmt.Sprint(o.Details["logs"]), "the end") {
			t.Errorf("the update: %+v", o)
		}
	})
}

func TestFault_ACrashLoopIsToldInTheMiddleOfARun(t *testing.T) {
	inWorld(t, func(w *world) {
		w.crashes("web", time.Second, 3)
		g := w.ask("web", store.IntentSpec, func(wish *store.Wish) {
			wish.Spec = api.Spec{Image: "app", DesiredState: api.DesiredRunning}
			wish.Spec.Default("web")
		})
		w.after(1500 * time.Millisecond) // its second run
		if st := w.status("web"); st.State != api.StateRunning || st.Condition(api.Degraded).Status == api.True {
			t.Fatalf("after one exit: %s", api.Encode(st))
		}
		if o := w.judged("web", g); o == nil || o.Level >= store.LevelAvailable {
			t.Errorf("after one exit: %+v", o)
		}
		w.after(time.Second)
		if o := w.judged("web", g); o == nil || o.ErrorType == "" || fmt.Sprint(o.Details["exit_code"]) != "3" {
			t.Errorf("after the second: %+v", o)
		}
		for range 40 {
			w.after(time.Second)
			if st := w.status("web"); w.reason() != "CrashLoop" || st.Condition(api.Available).Status == api.True {
				t.Fatalf("status: %s", api.Encode(st))
			}
		}
		if message := w.status("web").Condition(api.Degraded).Message; !strings.Contains(message, "code 3") || !strings.Contains(message, "the end") {
			t.Errorf("it says: %s", message)
		}
	})
}

func TestFault_ASocketFolderThatWasMadeAnewIsNoticed(t *testing.T) {
	for _, way := range []string{"it spoke", "it connected late and says nothing", "it never did"} {
		connected := way != "it never did"
		t.Run(way, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", nil)
				w.after(time.Second)
				if way == "it spoke" {
					w.speaks(false)
				}
				w.after(time.Minute)
				w.connects(connected)
				w.after(time.Minute)
				w.connects(false)
				w.stop()
				w.endpoints.generation++
				w.engine.told()
				w.boot(Config{})
				if reason := w.reason(); reason != "SocketLost" && !connected {
					t.Errorf("degraded because of %q", reason)
				}
				w.after(2 * time.Minute)
				if calls := w.engine.told(); (calls == "killSIGTERM start") != connected || !connected && calls != "" {
					t.Errorf("calls: %q", calls)
				}
				if reason := w.reason(); (reason == "SocketLost") == connected {
					t.Errorf("later degraded because of %q", reason)
				}
			})
		})
	}
}

// connects has each flow have a connection, or none.
func (w *world) connects(connected bool) {
	w.endpoints.mu.Lock()
	w.endpoints.connected = connected
	w.endpoints.mu.Unlock()
	all, _ := w.store.List()
	for _, r := range all {
		w.control.Look(r.ID)
	}
}

func TestFault_ChangesByOthersArePutRight(t *testing.T) {
	tests := map[string]func(c *fakeContainer){
		"limit":   func(c *fakeContainer) { c.Limits.MemoryBytes = 1 << 30 },
		"connect": func(c *fakeContainer) { c.Networks = []string{} },
	}
	for call, change := range tests {
		t.Run(call, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", func(s *api.Spec) { s.Resources.MemoryBytes = 64 << 20 })
				w.after(time.Minute)
				w.engine.told()
				hand := func() {
					w.engine.behind(func() {
						for _, c := range w.engine.containers {
							c.RestartPolicy, c.Limits, c.Networks = "no", c.template.Spec.Resources, []string{"bridge"}
							change(c)
						}
					})
					w.after(0)
				}
				hand()
				w.after(time.Second)
				if calls := w.engine.told(); calls != call {
					t.Errorf("calls: %q", calls)
				}
				if did := w.status("web").LastAction; did == nil || did.Cause != api.CauseDrift {
					t.Errorf("last action: %+v", did)
				}
				for range 600 { // somebody who does so ten times a second
					hand()
					w.after(100 * time.Millisecond)
				}
				if n := strings.Count(w.engine.told(), call); n < 3 || n > 12 {
					t.Errorf("put right %d times in a minute", n)
				}
			})
		})
	}
}

// The engine tells of a container that is taken off a network as of one that ends. Only the one that goes on is looked at for it.
func TestFault_AContainerTakenOffItsNetworkIsPutBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(30 * time.Second)
		w.engine.told()
		w.engine.mu.Lock()
		for _, c := range w.engine.containers {
			c.Networks = []string{}
			for _, tell := range w.engine.tells {
				tell(Event{DockerID: c.DockerID, Kind: Detached, At: time.Now()})
				tell(Event{DockerID: "somebody else's", Kind: Detached, At: time.Now()})
			}
		}
		w.engine.mu.Unlock()
		w.after(2 * time.Second)
		if calls, did := w.engine.told(), w.status("web").LastAction; calls != "connect" || did.Cause != api.CauseDrift {
			t.Errorf("calls: %q, last action: %+v", calls, did)
		}
	})
}

func TestFault_AnEngineThatIsLostWithEachStartOfOneContainer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.mu.Lock()
		was := w.engine.starting
		losses := 0
		w.engine.starting = func(c *fakeContainer) {
			was(c)
			if c.template.Name != "bad" {
				return
			}
			time.AfterFunc(2*time.Second, func() { // it panics, and all that ran has ended when it is back
				w.engine.leave()
				losses++
				time.AfterFunc(5*time.Second, func() {
					w.engine.behind(func() {
						for _, c := range w.engine.containers {
							if c.Alive() {
								c.end(137)
							}
						}
					})
					w.engine.come()
				})
			})
		}
		w.engine.mu.Unlock()
		for _, name := range []string{"one", "two"} {
			w.declare(name, nil)
		}
		w.after(time.Minute)
		w.declare("bad", nil)
		w.after(10 * time.Minute)
		if losses > 3 {
			t.Errorf("the engine was lost %d times", losses)
		}
		for _, name := range []string{"one", "two"} {
			if st := w.status(name); st.State != api.StateRunning || st.CrashStreak != 0 {
				t.Errorf("%s: %s", name, api.Encode(st))
			}
		}
		if st := w.status("bad"); st.State == api.StateRunning || w.reason2("bad") != "EngineLost" {
			t.Errorf("bad: %s", api.Encode(st))
		}
		w.engine.mu.Lock()
		w.engine.starting = was
		w.engine.mu.Unlock()
		w.ask("bad", store.IntentRunning, (*store.Wish).AskStart)
		w.after(time.Minute)
		if st := w.status("bad"); st.State != api.StateRunning {
			t.Errorf("after an explicit start: %s", api.Encode(st))
		}
	})
}

// reason2 is why a container is degraded, "" where it is not.
func (w *world) reason2(name string) string {
	w.t.Helper()
	if c := w.status(name).Condition(api.Degraded); c.Status == api.True {
		return c.Reason
	}
	return ""
}

// A newer engine says that a run began when its start did. Under load the flow is there a second later, and ends right away.
func TestFault_ASlowStartIsNoPartOfARun(t *testing.T) {
	asked := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	done := asked.Add(930 * time.Millisecond)
	e := &entry{startAsked: asked, startDone: done}
	for began, want := range map[time.Time]time.Time{
		asked.Add(20 * time.Millisecond): done,
		asked.Add(-time.Millisecond):     done, // the clocks are not the same
		done.Add(time.Millisecond):       done.Add(time.Millisecond),
		asked.Add(-time.Minute):          asked.Add(-time.Minute), // it was running already
	} {
		if got := e.up(began); !got.Equal(want) {
			t.Errorf("began at %s: up at %s, want %s", began, got, want)
		}
	}
	if never := new(entry); !never.up(asked).Equal(asked) {
		t.Error("it was never started by us")
	}
}

// What is left of a deleted container is asked for less and less often where the engine does not let go of it.
func TestFault_ABuriedContainerThatIsBeingRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		w.after(time.Minute)
		w.become("removing")
		w.ask("web", store.IntentDeleted, func(wish *store.Wish) { wish.AskDelete(false, true) })
		if _, buried := w.store.Tombstone(r.ID); !buried {
			t.Fatal("it is not deleted")
		}
		w.engine.told()
		w.after(time.Hour)
		if n := strings.Count(w.engine.told(), "remove"); n < 5 || n > 30 {
			t.Errorf("%d attempts in an hour", n)
		}
	})
}

func TestFault_NothingStartsWhileAnotherOfItsContainersIsAlive(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		first, _ := w.engine.named("web")
		w.engine.behind(func() { w.engine.containers[first.DockerID].ignoresTerm = true })
		w.refuse("kill", errEngine)
		w.declare("web", func(s *api.Spec) { s.Command = []string{"two"} })
		for range 300 {
			w.after(time.Second)
			alive := 0
			w.engine.mu.Lock()
			for _, c := range w.engine.containers {
				if c.Alive() {
					alive++
				}
			}
			w.engine.mu.Unlock()
			if alive != 1 {
				t.Fatalf("%d containers are alive", alive)
			}
		}
		w.engine.behind(func() { w.engine.before = nil })
		w.after(10 * time.Minute)
		if now, _ := w.engine.named("web"); now.DockerID != first.DockerID || now.State != "running" || w.reason() != "UpdateFailed" {
			t.Errorf("once it can be killed: %+v, %q", now.Container, w.reason())
		}
		w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Retry = true })
		w.after(time.Minute)
		if now, _ := w.engine.named("web"); now.DockerID == first.DockerID || now.State != "running" || w.reason() != "" {
			t.Errorf("asked to be tried again: %+v, %q", now.Container, w.reason())
		}
	})
}

// An earlier request that a later one includes has an outcome of its own; what was seen done is told so, though it was overtaken.
func TestFault_OvertakenRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.DesiredState = api.DesiredStopped })
		w.after(time.Second)
		w.refuse("start", ErrUnavailable)
		one := w.ask("web", store.IntentRunning, (*store.Wish).AskStart)
		two := w.ask("web", store.IntentRunning, (*store.Wish).AskStart)
		three := w.ask("web", store.IntentSpec, func(wish *store.Wish) { wish.Spec.Environment = map[string]string{"N": "2"} })
		w.engine.behind(func() { w.engine.before = nil })
		w.after(10 * time.Second)
		for _, g := range []int64{one, two, three} {
			if o := w.judged("web", g); o == nil || o.ErrorType != "" || o.Level != store.LevelAvailable {
				t.Errorf("generation %d: %+v", g, o)
			}
		}
		four := w.ask("web", store.IntentStopped, (*store.Wish).AskStop)
		w.after(time.Second)
		for _, g := range []int64{one, two, three, four} {
			if o := w.judged("web", g); o == nil || o.ErrorType != "" {
				t.Errorf("generation %d, once it was overtaken: %+v", g, o)
			}
		}
		w.refuse("start", ErrUnavailable)
		five := w.ask("web", store.IntentRunning, (*store.Wish).AskStart)
		w.ask("web", store.IntentStopped, (*store.Wish).AskStop)
		w.engine.behind(func() { w.engine.before = nil })
		w.after(10 * time.Second)
		if o := w.judged("web", five); o == nil || o.ErrorType != api.ConflictError {
			t.Errorf("overtaken before it was seen: %+v", o)
		}
		w.stop()
		w.boot(Config{})
		if o := w.judged("web", three); o == nil || o.ErrorType != "" {
			t.Errorf("after a restart of the manager: %+v", o)
		}
	})
}

func TestFault_TheLastWordsOfAFailedUpdateAreKept(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		w.declare("web", func(s *api.Spec) { s.Command = []string{"bad"} })
		w.engine.exit("web", 9)
		w.after(time.Minute)
		r, _ := w.store.Resolve("web")
		said := r.Trial(plan.Template(r)).Exit
		if said == nil || said.Code != 9 || strings.Join(said.Lines, "|") != "password=[FILTERED]|the end" {
			t.Errorf("kept: %+v", said)
		}
		if did := r.Status.LastAction; did == nil || did.Cause == api.CauseDrift {
			t.Errorf("own steps are told as drift: %+v", did)
		}
	})
}

// An engine that answers, but one call of it never: that is told, and the record is not looked at for ever in silence.
func TestFault_ACallThatIsNeverAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		w.engine.mu.Lock()
		w.engine.never = "killSIGTERM"
		w.engine.mu.Unlock()
		g := w.ask("web", store.IntentStopped, (*store.Wish).AskStop)
		w.after(5 * time.Minute)
		if reason := w.reason(); reason != api.ReasonEngineTimeout {
			t.Errorf("degraded because of %q", reason)
		}
		if o := w.judged("web", g); o == nil || o.ErrorType != api.TimeoutError {
			t.Errorf("the stop: %+v", o)
		}
		w.engine.mu.Lock()
		w.engine.never = ""
		w.engine.mu.Unlock()
		w.after(10 * time.Minute)
		if st := w.status("web"); st.State != api.StateStopped || w.reason() != "" {
			t.Errorf("once it is answered: %s", api.Encode(st))
		}
	})
}

// One that was given up because it was not well, and is well again by itself, ends like any other.
func TestFault_GivenUpAndWellAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.MaxAttempts = 1 })
		for range 2 {
			w.engine.sicken("web", "no")
			w.after(5 * time.Second)
		}
		if st := w.status("web"); st.State != api.StateRunning || st.Health != api.HealthUnhealthy {
			t.Fatalf("given up: %s", api.Encode(st))
		}
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.Health, c.FailingStreak = api.HealthHealthy, 0
			}
		})
		w.after(time.Hour)
		if st := w.status("web"); st.Condition(api.Available).Status != api.True {
			t.Errorf("well again: %s", api.Encode(st))
		}
		c, _ := w.engine.named("web")
		w.engine.exitOf(c.DockerID, 1)
		w.after(time.Minute)
		if st := w.status("web"); st.State != api.StateRunning || st.RestartCount != 2 {
			t.Errorf("after its end: %s", api.Encode(st))
		}
	})
}

// What is paused is unpaused so that it hears that it shall stop. That this works does not make the next attempt come sooner.
func TestFault_APausedOneThatCannotBeStoppedIsTriedEverMoreRarely(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.desire("web", api.DesiredPaused)
		w.after(time.Minute)
		w.refuse("killSIGTERM", errEngine)
		w.declare("web", func(s *api.Spec) { s.Command = []string{"newer"} })
		w.engine.told()
		w.after(10 * time.Minute)
		if tried := strings.Count(w.engine.told(), "killSIGTERM"); tried < 5 || tried > 12 {
			t.Errorf("it was asked to stop %d times", tried)
		}
	})
}

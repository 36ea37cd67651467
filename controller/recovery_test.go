package controller

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

func TestController_ANewTemplateStartsWhatHadEnded(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.engine.exit("web", 1)
		w.after(time.Second)
		w.expect("web", api.StateExited, "create start")
		w.declare("web", func(s *api.Spec) { s.Command = []string{"fixed"} })
		w.expect("web", api.StateRunning, "create remove rename start")
	})
}

// The engine may finish a create long after its caller gave up, and after another template was declared.
func TestController_ALateContainerOfAnOlderTemplateIsTakenAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.behind(func() {
			w.engine.before = func(call string) error {
				if call == "create" {
					return ErrUnavailable
				}
				return nil
			}
		})
		w.declare("web", nil)
		r, err := w.store.Resolve("web")
		if err != nil {
			t.Fatal(err)
		}
		w.declare("web", func(s *api.Spec) { s.Command = []string{"newer"} })
		w.engine.behind(func() {
			late := w.engine.addLocked("web")
			late.ID, late.Token, late.Hash = r.ID, r.Current.Token, r.Current.TemplateHash
			w.engine.before = nil
		})
		w.after(time.Minute)
		if st := w.status("web"); st.State != api.StateRunning || len(w.engine.containers) != 1 {
			t.Errorf("%d containers, %s", len(w.engine.containers), api.Encode(st))
		}
	})
}

// A list that looks like the one before it can still differ from what an event has shown in between.
func TestController_AListFindsWhatALostEventHid(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		for range 11 {
			w.engine.exit("web", 1)
			w.after(6 * time.Minute)
		}
		w.engine.exit("web", 1)
		w.after(2 * time.Minute) // it waits for its restart, and was listed so
		if st := w.status("web"); st.State != api.StateRestarting {
			t.Fatalf("status: %s", api.Encode(st))
		}
		w.after(210 * time.Second)
		for w.status("web").State != api.StateRunning {
			w.after(time.Second)
		}
		w.engine.mu.Lock()
		for _, c := range w.engine.containers {
			c.end(1) // and nobody is told
		}
		w.engine.mu.Unlock()
		w.after(2 * time.Minute)
		if st := w.status("web"); st.State != api.StateRestarting {
			t.Errorf("it is dead, and the status says %s", st.State)
		}
	})
}

func TestController_AnErrorBelongsToItsGeneration(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.Image = "typo" })
		w.engine.behind(func() {
			w.engine.after = func(call string) error {
				if call == "start" { // its process ends at once
					for _, c := range w.engine.containers {
						c.end(1)
					}
				}
				return nil
			}
		})
		w.declare("web", func(s *api.Spec) { s.Image = "app" })
		w.after(time.Second)
		if st := w.status("web"); st.LastError != nil {
			t.Errorf("generation %d is told the error of the one before: %s", st.ObservedGeneration, api.Encode(st.LastError))
		}
	})
}

func TestController_AFinishedJobStaysFinishedAfterAReboot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		w.boot(Config{Boot: "one"})
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartOnFailure })
		w.engine.exit("job", 0)
		w.after(24 * time.Hour)
		w.engine.told()
		w.stop()
		w.boot(Config{Boot: "two"})
		w.after(time.Minute)
		w.expect("job", api.StateExited, "")
	})
}

func TestController_AnotherPolicyIsAskedAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.engine.exit("web", 0)
		w.after(time.Second)
		w.expect("web", api.StateExited, "create start")
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartAlways })
		w.after(time.Second)
		w.expect("web", api.StateRunning, "start")
	})
}

// What a container ended of is remembered through its removal, and judged again where the policy changes.
func TestController_AnotherPolicyIsAskedAnewOfAContainerThatWasMadeAnew(t *testing.T) {
	tests := []struct {
		name   string
		code   int
		policy api.RestartPolicy
		state  string
	}{
		{"completed, on-failure", 0, api.RestartPolicy{Name: api.RestartOnFailure}, api.StateExited},
		{"completed, always", 0, api.RestartPolicy{Name: api.RestartAlways}, api.StateRunning},
		{"failed, on-failure", 1, api.RestartPolicy{Name: api.RestartOnFailure}, api.StateRunning},
		{"failed, always", 1, api.RestartPolicy{Name: api.RestartAlways, MaxAttempts: 1}, api.StateRunning},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
				w.engine.exit("job", tt.code)
				w.after(time.Second)
				w.engine.behind(func() { clear(w.engine.containers) })
				w.after(2 * time.Minute)
				if st := w.status("job"); st.State != api.StateExited || st.DockerID == "" {
					t.Fatalf("not made anew and left at rest: %s", api.Encode(st))
				}
				w.declare("job", func(s *api.Spec) { s.RestartPolicy = tt.policy })
				w.after(time.Second)
				if st := w.status("job"); st.State != tt.state {
					t.Errorf("status: %s", api.Encode(st))
				}
			})
		})
	}
}

func TestController_NeverRunsOnceThoughItWasRemovedWhileItRan(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.engine.told()
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(2 * time.Minute)
		w.expect("job", api.StateExited, "create")
		w.wake("job")
		w.expect("job", api.StateRunning, "start")
	})
}

func TestController_NeverRunsOnceThoughItWasRemovedAfterItWentOn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name, s.DesiredState = api.RestartNever, api.DesiredPaused })
		w.desire("job", api.DesiredRunning)
		w.expect("job", api.StateRunning, "create start pause unpause")
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(2 * time.Minute)
		w.expect("job", api.StateExited, "create")
	})
}

func TestController_AFreshContainerIsNotInterruptedByAnEarlierReboot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		w.boot(Config{Boot: "one"})
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.desire("job", api.DesiredStopped)
		w.stop()
		w.engine.behind(func() { clear(w.engine.containers) })
		w.boot(Config{Boot: "two"})
		w.desire("job", api.DesiredRunning)
		w.after(time.Second)
		if st := w.status("job"); st.State != api.StateRunning {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

// The engine holds the name of a container that it is still making, and does not show it.
func TestController_ACreateThatItsCallerGaveUpIsAdoptedWithoutHaste(t *testing.T) {
	inWorld(t, func(w *world) {
		creates := 0
		w.engine.behind(func() {
			w.engine.before = func(call string) error {
				if call != "create" {
					return nil
				}
				if creates++; creates == 1 {
					return ErrUnavailable
				}
				return ErrConflict
			}
		})
		w.declare("web", nil)
		r, err := w.store.Resolve("web")
		if err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Second)
		if st := w.status("web"); creates > 12 || st.LastError != nil {
			t.Errorf("%d creates, %s", creates, api.Encode(st))
		}
		w.engine.behind(func() {
			late := w.engine.addLocked("web")
			late.ID, late.Token, late.Hash = r.ID, r.Current.Token, r.Current.TemplateHash
		})
		w.after(2 * time.Second)
		if st := w.status("web"); st.State != api.StateRunning || len(w.engine.containers) != 1 {
			t.Errorf("%d containers, %s", len(w.engine.containers), api.Encode(st))
		}
	})
}

// Only the engine's events may tell that memory ran out, and they are forgotten.
func TestController_MemoryThatRanOutStaysKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		say := func(oom bool) {
			w.engine.behind(func() {
				for _, c := range w.engine.containers {
					c.OOMKilled = oom
				}
			})
			w.after(time.Second)
		}
		w.engine.exit("web", 137)
		say(true)
		say(false)
		if st := w.status("web"); !st.OOMKilled {
			t.Errorf("forgotten: %s", api.Encode(st))
		}
		w.wake("web")
		w.engine.exit("web", 137)
		w.after(time.Second)
		if st := w.status("web"); st.OOMKilled {
			t.Errorf("held against the next run: %s", api.Encode(st))
		}
	})
}

// Whoever waits is answered by the change that counts a crash, so that one has the exit code as well.
func TestController_ACrashIsCountedWithItsExitCode(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		since, streak := w.store.Revision(), 0
		for code := range 3 {
			w.engine.exit("web", 10+code)
			w.after(5 * time.Second)
		}
		for watch := w.store.Watch(since); since < w.store.Revision(); {
			changes, err := watch.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				since = c.Revision
				st := &c.Record.Status
				if st.CrashStreak > streak {
					if streak++; st.ExitCode == nil || *st.ExitCode != 9+streak {
						t.Errorf("crash %d: %s", streak, api.Encode(st))
					}
				}
			}
		}
		if streak != 3 {
			t.Errorf("%d crashes were seen", streak)
		}
	})
}

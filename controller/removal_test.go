package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// become puts the only container of the engine into a state.
func (w *world) become(state string) {
	w.engine.behind(func() {
		for _, c := range w.engine.containers {
			c.State = state
		}
	})
}

// vanish takes it away, as the end of a removal does.
func (w *world) vanish() {
	w.engine.behind(func() {
		for _, c := range w.engine.containers {
			w.engine.tellLocked(c, Changed)
		}
		clear(w.engine.containers)
	})
}

// A dead container is one whose removal the engine has begun and could not end: it never runs again, so another takes its place.
func TestController_ADeadContainerIsReplaced(t *testing.T) {
	tests := []struct{ desired, state, calls string }{
		{api.DesiredRunning, api.StateRunning, "remove create start"},
		{api.DesiredPaused, api.StatePaused, "remove create start pause"},
		{api.DesiredStopped, api.StateStopped, "remove create"},
	}
	for _, tt := range tests {
		t.Run(tt.desired, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", nil)
				w.desire("web", tt.desired)
				w.engine.told()
				w.become("dead")
				w.after(time.Second)
				w.expect("web", tt.state, tt.calls)
				if st := w.status("web"); st.RestartCount != 0 || st.LastError != nil {
					t.Errorf("status: %s", api.Encode(st))
				}
			})
		})
	}
}

func TestController_ADeadContainerThatCannotBeRemovedIsTriedOn(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		w.engine.behind(func() { w.engine.before = always("remove", errEngine) })
		w.become("dead")
		w.after(time.Minute)
		st := w.status("web")
		if st.State != api.StateDead || st.Condition(api.Degraded).Reason != "EngineError" || st.Condition(api.Ready).Reason != "Dead" {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.delete("web")
		w.after(time.Minute)
		if _, ok := w.store.Get(r.ID); !ok {
			t.Error("the record is gone before its container")
		}
		w.engine.behind(func() { w.engine.before = nil })
		w.after(5 * time.Minute)
		if _, ok := w.store.Get(r.ID); ok || len(w.engine.containers) != 0 {
			t.Errorf("record %v, %d containers", ok, len(w.engine.containers))
		}
	})
}

// An engine that died while it started a container may never start that one again, whatever is done to it; another one it does.
// Where the engine says that something of that start is left, that is soon known.
func TestController_AContainerThatTheEngineDoesNotStartAnyMoreIsReplaced(t *testing.T) {
	tests := []struct {
		name    string
		desired string
		left    bool
		first   time.Duration // until when it is tried
	}{
		{"running", api.DesiredRunning, false, 55 * time.Second}, // the seventh start fails after 63 s, give or take a tenth
		{"paused", api.DesiredPaused, false, 55 * time.Second},
		{"a task is left", api.DesiredRunning, true, 2500 * time.Millisecond}, // the third after 3 s
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.declare("web", nil)
				w.after(time.Minute)
				w.desire("web", test.desired)
				stuck, _ := w.engine.named("web")
				w.engine.behind(func() {
					w.engine.startError = map[string]string{stuck.DockerID: "the shim is gone"}
					w.engine.containers[stuck.DockerID].LeftTask = test.left
				})
				w.engine.exit("web", 1)
				w.after(test.first)
				if st := w.status("web"); st.Condition(api.Degraded).Reason != api.ReasonStartFailed || st.DockerID != stuck.DockerID {
					t.Errorf("given up too soon: %s", api.Encode(st))
				}
				w.after(map[bool]time.Duration{false: 5 * time.Minute, true: 10 * time.Second}[test.left])
				st := w.status("web")
				if st.State != map[string]string{api.DesiredRunning: api.StateRunning, api.DesiredPaused: api.StatePaused}[test.desired] || st.DockerID == stuck.DockerID ||
					st.LastError != nil || len(w.engine.containers) != 1 {
					t.Errorf("%d containers, status: %s", len(w.engine.containers), api.Encode(st))
				}
			})
		})
	}
}

// What never starts is made anew ever more rarely, and no more often than every few attempts.
func TestController_AContainerThatNeverStartsIsSeldomReplaced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.startError = map[string]string{"": "no such command"}
		w.declare("web", nil)
		w.after(time.Hour)
		calls := strings.Fields(w.engine.told())
		creates, starts := 0, 0
		for _, call := range calls {
			switch call {
			case "create":
				creates++
			case "start":
				starts++
			}
		}
		if starts < 10 || creates < 2 || creates > 1+starts/7 {
			t.Errorf("%d creates and %d starts in an hour", creates, starts)
		}
	})
}

// Somebody else's removal is waited for: no call can hurry it, and nothing is written while it lasts.
func TestController_ARemovalInProgressIsWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.become("removing")
		w.after(5 * time.Second)
		w.engine.told()
		revision := w.store.Revision()
		w.after(10 * time.Minute)
		w.expect("web", api.StateRestarting, "")
		if c := w.status("web").Condition(api.Progressing); c.Reason != "Removing" || c.Status != api.True {
			t.Errorf("progressing: %+v", c)
		}
		if n := w.store.Revision() - revision; n != 0 {
			t.Errorf("%d writes while nothing happened", n)
		}
		w.vanish()
		w.after(2 * time.Second)
		w.expect("web", api.StateRunning, "create start")
	})
}

// The engine says Conflict to whoever comes second.
func TestController_ADeleteThatMeetsARemovalInProgress(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		w.engine.told()
		w.engine.behind(func() {
			w.engine.before = func(call string) error {
				if call == "remove" {
					for _, c := range w.engine.containers {
						c.State = "removing"
					}
				}
				return nil
			}
		})
		w.delete("web")
		w.after(10 * time.Minute)
		w.expect("web", api.StateRemoving, "killSIGTERM remove")
		if st := w.status("web"); st.LastError != nil || st.Condition(api.Degraded).Status != api.False {
			t.Errorf("somebody else's removal counts as a failure: %s", api.Encode(st))
		}
		w.vanish()
		w.after(2 * time.Second)
		if _, ok := w.store.Get(r.ID); ok {
			t.Error("it is still there")
		}
	})
}

// A container can go, or change, between the look at it and the call.
func TestController_ACallThatFindsItsContainerGone(t *testing.T) {
	for _, call := range []string{"start", "killSIGTERM", "pause", "remove"} {
		for _, class := range []error{ErrAbsent, ErrConflict} {
			t.Run(call+" "+class.Error(), func(t *testing.T) {
				inWorld(t, func(w *world) {
					w.engine.behind(func() {
						w.engine.before = once(call, class)
						if errors.Is(class, ErrAbsent) {
							w.engine.before = w.goneOnce(call)
						}
					})
					r := w.declare("web", nil)
					w.desire("web", api.DesiredPaused)
					w.after(time.Minute)
					if st := w.status("web"); st.State != api.StatePaused || len(w.engine.containers) != 1 {
						t.Errorf("%d containers, %s", len(w.engine.containers), api.Encode(st))
					}
					w.delete("web")
					w.after(time.Minute)
					if _, ok := w.store.Get(r.ID); ok || len(w.engine.containers) != 0 {
						t.Errorf("after delete: record %v, %d containers", ok, len(w.engine.containers))
					}
				})
			})
		}
	}
}

// goneOnce takes all containers away just before the first such call.
func (w *world) goneOnce(call string) func(string) error {
	done := false
	return func(c string) error {
		if c == call && !done {
			done = true
			clear(w.engine.containers)
		}
		return nil
	}
}

// always returns fault for every such call.
func always(call string, fault error) func(string) error {
	return func(c string) error {
		if c == call {
			return fault
		}
		return nil
	}
}

package controller

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

func TestController_AnImageThatIsNotThereIsPulled(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.registry["other"] = true
		w.declare("web", func(s *api.Spec) { s.Image = "other" })
		w.after(0)
		w.expect("web", api.StateRunning, "pull create start")
		w.engine.exit("web", 1)
		w.after(time.Second)
		w.expect("web", api.StateRunning, "start") // a restart pulls nothing
		w.declare("two", func(s *api.Spec) { s.Image = "other" })
		w.expect("two", api.StateRunning, "create start")
	})
}

func TestController_NeverPullsWhereThatIsDeclared(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.registry["other"] = true
		w.declare("web", func(s *api.Spec) { s.Image, s.ImagePullPolicy = "other", api.PullNever })
		w.after(time.Minute)
		w.expect("web", api.StateCreated, "")
		if c := w.status("web").Condition(api.Degraded); c.Reason != "ImageNotFound" {
			t.Errorf("degraded: %+v", c)
		}
	})
}

func TestController_AlwaysPullsForANewTemplateAndForNothingElse(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.registry["app"] = true
		w.declare("web", func(s *api.Spec) { s.ImagePullPolicy = api.PullAlways })
		w.after(0)
		w.expect("web", api.StateRunning, "pull create start")
		w.engine.exit("web", 1)
		w.after(10 * time.Second)
		w.expect("web", api.StateRunning, "start")
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(2 * time.Minute)
		w.expect("web", api.StateRunning, "create start") // made anew from the recorded image
		w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"A": "b"} })
		w.after(10 * time.Second)
		w.expect("web", api.StateRunning, "pull create killSIGTERM rename rename start remove")
	})
}

func TestController_AMovedTagIsNoDriftUntilItIsAskedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		w.after(10 * time.Second)
		w.engine.told()
		w.engine.behind(func() { w.engine.moved["app"]++ })
		w.after(10 * time.Minute)
		w.expect("web", api.StateRunning, "")
		w.engine.registry["app"] = true
		pull := func() {
			t.Helper()
			if _, err := w.store.Declare(w.t.Context(), store.Declaration{ContainerID: r.ID, Change: func(wish *store.Wish) error { wish.Pull = true; return nil }}); err != nil {
				t.Fatal(err)
			}
			w.after(10 * time.Second)
		}
		pull()
		w.expect("web", api.StateRunning, "pull create killSIGTERM rename rename start remove")
		w.engine.registry["app"] = false // it cannot be pulled now: what stands goes on
		pull()
		if st := w.status("web"); st.State != api.StateRunning || st.Condition(api.Degraded).Reason != "ImageNotFound" {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

// While an image is being pulled the standing container is looked after, and a delete ends the pull.
func TestController_APullHoldsUpNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		block := make(chan struct{})
		w.engine.registry["slow"] = true
		w.engine.pulls = block
		w.declare("web", nil)
		w.after(10 * time.Second)
		w.engine.told()
		w.declare("web", func(s *api.Spec) { s.Image = "slow" })
		w.after(time.Second)
		if st := w.status("web"); st.Condition(api.Progressing).Reason != "Pulling" || st.ObservedGeneration != 1 {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.engine.exit("web", 1)
		w.after(time.Second)
		w.expect("web", api.StateRunning, "start")
		w.delete("web")
		w.after(time.Second)
		if calls := w.engine.told(); calls != "killSIGTERM remove" {
			t.Errorf("calls: %s", calls)
		}
		if n := len(w.control.pulls.active); n != 0 {
			t.Errorf("%d pulls go on", n)
		}
		close(block)
	})
}

// Somebody may remove an image between its pull and its use. It is pulled again, and nobody is told that it were nowhere.
func TestController_AnImageThatIsRemovedAfterItsPullIsPulledAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.registry["other"] = true
		pulls := 0
		w.engine.after = func(call string) error {
			if call == "pull" {
				if pulls++; pulls == 1 {
					delete(w.engine.images, "other")
				}
			}
			return nil
		}
		w.declare("web", func(s *api.Spec) { s.Image = "other" })
		w.after(time.Second / 2)
		if c := w.status("web").Condition(api.Degraded); c.Reason != api.ReasonImagePullFailed {
			t.Errorf("degraded: %+v", c)
		}
		w.after(2 * time.Second)
		w.expect("web", api.StateRunning, "pull pull create start")
	})
}

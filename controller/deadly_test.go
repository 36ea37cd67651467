package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

func without(s *api.Spec) { s.Healthcheck = &api.Healthcheck{Test: []string{api.CheckExec}} }

// A record of a store from before such health checks were refused is neither made nor started.
func TestController_AHealthCheckWithoutACommandIsNeverMade(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", without)
		w.after(10 * time.Minute)
		w.expect("web", api.StateCreated, "")
		if c := w.status("web").Condition(api.Degraded); c.Reason != api.ReasonInvalidSpec || !strings.Contains(c.Message, "no command") {
			t.Errorf("degraded: %+v", c)
		}
		w.declare("web", func(s *api.Spec) { s.Healthcheck = nil })
		w.after(time.Second)
		w.expect("web", api.StateRunning, "create start")
	})
}

// One that was made before, and ends, is not started again; once it is mended another one takes its place.
func TestController_AHealthCheckWithoutACommandIsNeverStarted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(10 * time.Second)
		w.engine.told()
		w.engine.behind(func() {
			c, _ := w.engine.findLocked("web")
			c.Deadly, c.template.Spec.Healthcheck = true, &api.Healthcheck{Test: []string{api.CheckExec}}
		})
		w.engine.exit("web", 1)
		w.after(10 * time.Minute)
		w.expect("web", api.StateRunning, "create remove rename start")
	})
}

// That of an image is left out, and told: in an update too, and where the tag means another image by now.
func TestController_AnImagesHealthCheckWithoutACommandIsLeftOut(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.images["bad"], w.engine.deadly = true, map[string]bool{"bad": true}
		left := func() string {
			t.Helper()
			c, there := w.engine.named("web")
			if !there || c.template.Spec.Healthcheck == nil {
				t.Fatalf("its image's health check was not left out: %+v", c.template.Spec)
			}
			return c.template.Spec.Healthcheck.Test[0]
		}
		w.declare("web", func(s *api.Spec) { s.Image = "bad" })
		w.after(10 * time.Second)
		if w.expect("web", api.StateRunning, "create start"); left() != api.CheckNone {
			t.Errorf("it runs with %s", left())
		}
		if n := w.tells(0, "web runs without a health check: that of image bad has no command"); n != 1 {
			t.Errorf("it was told %d times", n)
		}
		w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"A": "b"} })
		w.after(10 * time.Second)
		if w.expect("web", api.StateRunning, "create killSIGTERM rename rename start remove"); left() != api.CheckNone {
			t.Errorf("updated, it runs with %s", left())
		}
		w.engine.behind(func() { w.engine.moved["bad"]++; clear(w.engine.containers) })
		w.after(time.Minute)
		if w.expect("web", api.StateRunning, "create start"); left() != api.CheckNone {
			t.Errorf("made anew, it runs with %s", left())
		}
		w.declare("web", func(s *api.Spec) { s.Healthcheck = &api.Healthcheck{Test: []string{api.CheckExec, "x"}} })
		w.after(10 * time.Second)
		if left() != api.CheckExec {
			t.Errorf("what is declared is left out: %s", left())
		}
	})
}

package controller

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// What is on trial ends while yet another template waits for its image. That one has done nothing wrong, and is tried.
func TestController_AFailureIsOfTheTemplateThatFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		first, _ := w.engine.named("web")
		w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"TRY": "2"} })
		w.after(time.Second)
		gate := make(chan struct{})
		w.engine.behind(func() { w.engine.registry["other"], w.engine.pulls = true, gate })
		w.declare("web", func(s *api.Spec) { s.Image = "other" })
		w.engine.exit("web", 1)
		w.after(time.Minute)
		if now, _ := w.engine.named("web"); now.DockerID != first.DockerID || now.State != "running" {
			t.Fatalf("what stood before does not run again: %+v", now.Container)
		}
		if w.reason() != "" {
			t.Errorf("degraded because of %q", w.reason())
		}
		close(gate)
		w.after(time.Minute)
		if now, _ := w.engine.named("web"); now.template.Spec.Image != "other" || now.State != "running" {
			t.Errorf("what is declared does not run: %+v", now.Container)
		}
		if r, _ := w.store.Resolve("web"); r.Status.ObservedGeneration != r.Generation || w.reason() != "" || plan.OnTrial(r) {
			t.Errorf("it is not done: %s", api.Encode(r.Status))
		}
	})
}

// A container is made with the limits that were intended and are noted, though others are declared by then. They may be declared away
// again before it is given them, and what it was made with could not be taken from it in place.
func TestReplace_AContainerIsMadeWithTheLimitsThatAreNoted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stop()
		w.boot(Config{Fail: func(point string) {
			if bytes, ours := map[string]int64{"after-intent": 128 << 20, "after-create": 0}[point]; ours {
				w.declareNow("web", func(s *api.Spec) { s.Resources.MemoryBytes = bytes })
			}
		}})
		w.declare("web", nil)
		w.after(time.Minute)
		if c, _ := w.engine.named("web"); c.State != "running" || c.template.Spec.Resources.MemoryBytes != 0 {
			t.Errorf("it has limits that nobody declares: %+v", c)
		}
	})
}

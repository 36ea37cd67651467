package controller

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// A container is stopped as it was made to be: by its declaration, else by its image.
func TestController_TheImagesStopSignalIsObeyed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.images["odd"] = true
		w.engine.stopSignal = map[string]string{"app": "SIGRTMIN+3", "odd": "SIGNOPE"}
		stop := func(calls string) {
			t.Helper()
			w.desire("web", api.DesiredStopped)
			w.after(time.Second)
			w.expect("web", api.StateStopped, calls)
		}
		w.declare("web", nil)
		w.after(10 * time.Second)
		w.expect("web", api.StateRunning, "create start")
		stop("killSIGRTMIN+3")
		w.declare("web", func(s *api.Spec) { s.StopSignal, s.DesiredState = "SIGINT", api.DesiredRunning })
		w.after(10 * time.Second)
		w.engine.told()
		w.declare("web", func(s *api.Spec) { s.StopSignal, s.Image = "", "odd" })
		w.after(10 * time.Second)
		w.expect("web", api.StateRunning, "create killSIGINT rename rename start remove") // the old one by its own declaration
		stop("killSIGTERM")
	})
}

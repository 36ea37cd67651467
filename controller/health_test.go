package controller

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// speaks lets the flow have said something just now.
func (w *world) speaks(ready bool) {
	w.endpoints.mu.Lock()
	w.endpoints.last = time.Now()
	if ready {
		w.endpoints.ready = time.Now()
	}
	w.endpoints.mu.Unlock()
}

func TestController_AFlowThatIsSilentForTooLongIsRestarted(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", func(s *api.Spec) { s.Liveness = &api.Liveness{Heartbeat: 30} })
		w.expect("web", api.StateRunning, "create start")
		if got := w.status("web").Health; got != api.HealthStarting {
			t.Errorf("before its first word its health is %s", got)
		}
		for range 4 {
			w.after(20 * time.Second)
			w.speaks(false)
			w.control.Look(r.ID)
		}
		w.after(0)
		if got := w.status("web").Health; got != api.HealthHealthy {
			t.Errorf("while it speaks its health is %s", got)
		}
		w.expect("web", api.StateRunning, "")
		w.after(29 * time.Second)
		w.expect("web", api.StateRunning, "")
		w.after(2 * time.Second)
		w.expect("web", api.StateRunning, "killSIGTERM start")
		if st := w.status("web"); st.RestartCount != 1 || st.CrashStreak != 1 || st.Health != api.HealthStarting {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

func TestController_SilenceIsReportedOnlyWhereThatIsDeclared(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", func(s *api.Spec) {
			s.Liveness, s.RestartPolicy.OnUnhealthy = &api.Liveness{Heartbeat: 30}, api.UnhealthyReport
		})
		w.after(time.Minute)
		w.expect("web", api.StateRunning, "create start")
		if st := w.status("web"); st.Health != api.HealthUnhealthy || st.Condition(api.Ready).Reason != "Unhealthy" {
			t.Errorf("status: %s", api.Encode(st))
		}
		w.speaks(false)
		w.control.Look(r.ID)
		w.after(0)
		if st := w.status("web"); st.Health != api.HealthHealthy || st.Condition(api.Ready).Status != api.True {
			t.Errorf("status: %s", api.Encode(st))
		}
	})
}

func TestController_ReadyIsWhatTheFlowSaysInThisRun(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", func(s *api.Spec) { s.Readiness = api.ReadinessSocket })
		ready := func(status, reason string) {
			t.Helper()
			if c := w.status("web").Condition(api.Ready); c.Status != status || c.Reason != reason {
				t.Errorf("ready: %+v", c)
			}
		}
		ready(api.False, "WaitingForFlow")
		w.after(time.Second)
		w.speaks(true)
		w.control.Look(r.ID)
		w.after(0)
		ready(api.True, "Running")
		w.stop()
		w.endpoints.last, w.endpoints.ready = time.Time{}, time.Time{}
		w.boot(Config{})
		ready(api.True, "Running") // it said so in this run, to the manager before
		w.engine.exit("web", 1)
		w.after(time.Second)
		ready(api.False, "WaitingForFlow")
	})
}

func TestController_AnUnhealthyOneIsToldOfAndRestartedWithBackoff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.engine.told()
		for streak := 1; streak <= 3; streak++ {
			w.engine.sicken("web", "no answer, password=hunter22")
			w.after(time.Duration(streak) * 3 * time.Second)
			w.expect("web", api.StateRunning, "killSIGTERM start")
			if st := w.status("web"); st.CrashStreak != streak || st.RestartCount != streak {
				t.Errorf("status: %s", api.Encode(st))
			}
		}
		warned := told[api.HealthWarning](w, api.HealthWarned)
		if len(warned) != 3 || warned[0].Output != "no answer, password=[FILTERED]" || warned[0].FailingStreak != 3 {
			t.Errorf("warnings: %v", warned)
		}
	})
}

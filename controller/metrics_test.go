package controller

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flow-manager/flow-manager/api"
)

// gauge reads one of the controller's gauges.
func (w *world) gauge(name string) float64 {
	w.t.Helper()
	registry := prometheus.NewRegistry()
	if err := w.control.Register(registry); err != nil {
		w.t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == namespace+"_"+name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatalf("no metric %s", name)
	return 0
}

// A loop whose only worker hangs is seen before anything comes out of its queue.
func TestController_ALoopThatHangsIsSeen(t *testing.T) {
	inWorld(t, func(w *world) {
		hung := false
		w.stop()
		w.boot(Config{Workers: 1, Fail: func(point string) {
			if point == "after-start" && !hung {
				hung = true
				time.Sleep(5 * time.Minute)
			}
		}})
		w.declare("first", nil)
		w.after(time.Minute)
		w.declare("second", nil)
		w.after(time.Minute + 50*time.Second)
		if err := w.control.Alive(); err != nil {
			t.Errorf("after 2m50s: %v", err)
		}
		w.after(20 * time.Second)
		if err := w.control.Alive(); err == nil {
			t.Error("after 3m10s the loop counts as alive")
		}
		if age, depth := w.gauge("queue_oldest_seconds"), w.gauge("queue_depth"); age < 130 || depth < 2 {
			t.Errorf("%v ids wait, the oldest for %v s", depth, age)
		}
		w.after(2 * time.Minute)
		if err := w.control.Alive(); err != nil || w.status("second").State != api.StateRunning {
			t.Errorf("the loop goes round again: %v, second is %s", err, w.status("second").State)
		}
		if age, depth := w.gauge("queue_oldest_seconds"), w.gauge("queue_depth"); age != 0 || depth != 0 {
			t.Errorf("%v ids wait, the oldest for %v s", depth, age)
		}
	})
}

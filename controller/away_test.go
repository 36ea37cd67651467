package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Since when the engine is away is since it was lost, however often it is looked for, and each outage has its own time.
func TestController_SaysSinceWhenTheEngineIsAway(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		for range 2 {
			w.after(10 * time.Minute)
			if err := w.control.EngineKnown(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			w.engine.leave()
			w.after(10 * time.Minute)
			away, ok := errors.AsType[*api.EngineAway](w.control.EngineKnown())
			if !ok || away.Since.Sub(began).Abs() > 5*time.Second || !strings.Contains(away.Message, "EngineUnavailable") {
				t.Fatalf("away since %v: %+v", began, away)
			}
			if _, err := w.control.Explain(w.t.Context(), r); err == nil || !strings.Contains(err.Error(), away.Error()) {
				t.Errorf("explained: %v", err)
			}
			w.engine.come()
		}
	})
}

package controller

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// anyChange draws a declaration about one container, whether it is there or not.
func anyChange(rt *rapid.T, label string) func(w *store.Wish) error {
	image := rapid.SampledFrom([]string{"app", "app2"}).Draw(rt, label+" image")
	memory := rapid.SampledFrom([]int64{0, 64 << 20, 128 << 20}).Draw(rt, label+" memory")
	state := rapid.SampledFrom([]string{api.DesiredRunning, api.DesiredRunning, api.DesiredStopped, api.DesiredPaused}).Draw(rt, label+" state")
	policy := rapid.SampledFrom([]string{api.RestartAlways, api.RestartNever}).Draw(rt, label+" policy")
	what := rapid.SampledFrom([]string{"apply", "apply", "apply", "restart", "delete"}).Draw(rt, label)
	return func(w *store.Wish) error {
		was := w.Spec.DesiredState
		switch {
		case what == "delete" && w.Exists:
			w.Delete = true
		case what == "restart" && w.Exists:
			w.Restart, w.Spec.DesiredState = true, api.DesiredRunning
			w.Start = was != api.DesiredRunning && was != api.DesiredPaused
		default:
			w.Spec = api.Spec{Image: image, DesiredState: state, RestartPolicy: api.RestartPolicy{Name: policy}, Resources: api.Resources{MemoryBytes: memory}}
			w.Spec.Default("web")
			w.Start = w.Exists && (was == api.DesiredStopped || was == api.DesiredCreated) && state != api.DesiredStopped
		}
		return nil
	}
}

// What a dry run tells is what then happens.
func TestController_EffectIsWhatThenHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first, second := anyChange(rt, "first"), anyChange(rt, "second")
		fresh := rapid.Bool().Draw(rt, "fresh")
		var told api.Effect
		var did string
		inWorld(t, func(w *world) {
			w.engine.images["app2"] = true
			if !fresh {
				w.change(first)
				w.after(time.Minute)
			}
			w.engine.told()
			d := store.Declaration{Name: "web", Change: second}
			result, err := w.store.Try(w.t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			before := w.store.Revision()
			told.Effect = api.EffectNone
			if result.Changed {
				if told, err = w.control.Effect(w.t.Context(), result.Record, !result.Created); err != nil {
					t.Fatal(err)
				}
			}
			if calls := w.engine.told(); calls != "" || w.store.Revision() != before {
				t.Errorf("the dry run called %q and wrote %d changes", calls, w.store.Revision()-before)
			}
			w.change(second)
			w.after(time.Minute)
			did = happened(w.engine.told(), !result.Created)
			if _, there := w.store.Get(result.ID); !there && !result.Created {
				did = api.EffectDelete
			}
		})
		if told.Effect != did {
			rt.Fatalf("it was to be %s and was %s", told.Effect, did)
		}
	})
}

func (w *world) change(change func(*store.Wish) error) {
	w.t.Helper()
	if _, err := w.store.Declare(w.t.Context(), store.Declaration{Name: "web", Change: change}); err != nil {
		w.t.Fatal(err)
	}
}

// happened names what the engine was asked for.
func happened(calls string, existed bool) string {
	switch {
	case strings.Contains(calls, "create") && !existed:
		return api.EffectCreate
	case strings.Contains(calls, "create"):
		return api.EffectRecreate
	case strings.Contains(calls, "kill") && strings.Contains(calls, "start"):
		return api.EffectRestart
	case calls != "":
		return api.EffectInPlace
	}
	return api.EffectNone
}

package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// anyChange draws a declaration about one container, whether it is there or not: every operation but a pull,
// of which nobody knows what it brings.
func anyChange(rt *rapid.T, label string) func(w *store.Wish) error {
	image := rapid.SampledFrom([]string{"app", "app2"}).Draw(rt, label+" image")
	memory := rapid.SampledFrom([]int64{0, 64 << 20, 128 << 20}).Draw(rt, label+" memory")
	state := rapid.SampledFrom([]string{"", api.DesiredRunning, api.DesiredRunning, api.DesiredStopped, api.DesiredPaused}).Draw(rt, label+" state")
	policy := rapid.SampledFrom([]string{api.RestartAlways, api.RestartOnFailure, api.RestartNever}).Draw(rt, label+" policy")
	code := rapid.Bool().Draw(rt, label+" code")
	what := rapid.SampledFrom([]string{"apply", "apply", "apply", "apply", "start", "stop", "restart", "pause", "unpause", "retry", "code", "delete"}).Draw(rt, label)
	return func(w *store.Wish) error {
		switch {
		case !w.Exists || what == "apply":
			spec := api.Spec{Image: image, DesiredState: state, RestartPolicy: api.RestartPolicy{Name: policy}, Resources: api.Resources{MemoryBytes: memory}}
			if code {
				spec.Code = &api.Code{Path: codePath, Target: "/app"}
			}
			w.Specify(spec, nil, api.DesiredRunning)
		case what == "delete":
			w.AskDelete(false, false)
		case what == "start":
			w.AskStart()
		case what == "stop":
			w.AskStop()
		case what == "restart":
			w.AskRestart()
		case what == "pause":
			return w.AskPause()
		case what == "unpause":
			return w.AskUnpause()
		case what == "retry":
			w.Retry = true
		case what == "code" && w.Spec.Code != nil:
			w.TakeCode = true
		}
		return nil
	}
}

// moment is a declaration, and what comes before the next one.
type moment struct {
	change func(w *store.Wish) error
	pause  time.Duration
	exit   int // the container ends by itself with this code; -1: it does not
}

// anyHistory draws what a container has been through: declarations, some of them while an update is on trial, and exits.
func anyHistory(rt *rapid.T) []moment {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) moment {
		pauses := []time.Duration{0, 500 * time.Millisecond, 2 * time.Second, time.Minute, time.Minute}
		return moment{anyChange(rt, "earlier"), rapid.SampledFrom(pauses).Draw(rt, "pause"), rapid.SampledFrom([]int{-1, -1, -1, 0, 1}).Draw(rt, "exit")}
	}), 0, 4).Draw(rt, "history")
}

// rewrite puts another tree where the code is taken from: the same one again would be no other code.
func (w *world) rewrite(tree string) {
	w.code.mu.Lock()
	defer w.code.mu.Unlock()
	w.code.trees[codePath] = tree
}

func (w *world) live(history []moment) {
	for i, m := range history {
		w.rewrite(fmt.Sprint(i))
		w.changeAllowed(m.change)
		if m.exit >= 0 {
			w.engine.exit("web", m.exit)
		}
		w.after(m.pause)
	}
}

// What a dry run tells is what then happens, whatever came before.
func TestController_EffectIsWhatThenHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history, change := anyHistory(rt), anyChange(rt, "change")
		var told api.Effect
		var did string
		refused := false
		inWorld(t, func(w *world) {
			w.obey(codePolicy())
			w.engine.images["app2"], w.engine.registry["app"], w.engine.registry["app2"] = true, true, true
			w.live(history)
			w.engine.told()
			result, err := w.store.Try(w.t.Context(), store.Declaration{Name: "web", Change: change})
			if refused = err != nil; refused {
				return
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
			w.rewrite("last")
			code := w.codeOf(result.ID)
			w.change(change)
			w.after(10 * time.Minute)
			did = happened(w.engine.told(), !result.Created)
			if did == api.EffectNone && w.codeOf(result.ID) != code {
				did = api.EffectInPlace // the engine does not know of it before the next start
			}
			if _, there := w.store.Get(result.ID); !there && !result.Created {
				did = api.EffectDelete
			}
			if !result.Changed {
				did = api.EffectNone // what comes is not its doing
			}
		})
		if !refused && told.Effect != did {
			rt.Fatalf("it was to be %s and was %s", told.Effect, did)
		}
	})
}

// codeOf is the snapshot that a container's next start runs.
func (w *world) codeOf(id string) string {
	r, ok := w.store.Get(id)
	if !ok {
		return ""
	}
	return r.Current.Code
}

// changeAllowed is change for what may be refused.
func (w *world) changeAllowed(change func(*store.Wish) error) {
	_, _ = w.store.Declare(w.t.Context(), store.Declaration{Name: "web", Change: func(wish *store.Wish) error {
		if err := wish.Alive(); err != nil {
			return err
		}
		return change(wish)
	}})
	synctest.Wait()
}

func (w *world) change(change func(*store.Wish) error) {
	w.t.Helper()
	if _, err := w.store.Declare(w.t.Context(), store.Declaration{Name: "web", Change: change}); err != nil {
		w.t.Fatal(err)
	}
}

// happened names what the engine was asked for.
func happened(calls string, existed bool) string {
	calls = strings.Join(slices.DeleteFunc(strings.Fields(calls), func(call string) bool {
		return call == "remove" || call == "rename" || call == "pull" || call == "removecarried" // nobody who uses the container sees these
	}), " ")
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

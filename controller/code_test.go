package controller

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// withCode runs test in a world whose container web was declared with code and has proven itself.
func withCode(t *testing.T, test func(w *world)) {
	inWorld(t, func(w *world) {
		w.obey(codePolicy())
		w.declare("web", func(s *api.Spec) { s.Code = &api.Code{Path: codePath} })
		w.after(time.Minute)
		w.engine.told()
		test(w)
	})
}

// recode asks for the code of web anew, as another tree.
func (w *world) recode(tree string) {
	w.t.Helper()
	w.code.mu.Lock()
	w.code.trees[codePath] = tree
	w.code.mu.Unlock()
	w.wish(func(wish *store.Wish) { wish.TakeCode = true })
}

// wish declares a change of web, and lets what follows happen.
func (w *world) wish(edit func(wish *store.Wish)) {
	w.t.Helper()
	w.change(func(wish *store.Wish) error { edit(wish); return nil })
	synctest.Wait()
}

// expectCode holds that web's newest start found a tree, and that its status tells so.
func (w *world) expectCode(tree string) {
	w.t.Helper()
	c, _ := w.engine.named("web")
	if got := w.code.runs(&c.template); got != tree {
		w.t.Errorf("it runs %q, want %q", got, tree)
	}
	if got := w.status("web").CodeRevision; got != "digest-of-"+tree {
		w.t.Errorf("its status tells of %q, want %q", got, tree)
	}
}

func (w *world) reason() string {
	c := w.status("web").Condition(api.Degraded)
	if c.Status != api.True {
		return ""
	}
	return c.Reason
}

func TestController_CodeIsMountedAndUpdatedInPlace(t *testing.T) {
	withCode(t, func(w *world) {
		w.expectCode("one")
		first, _ := w.engine.named("web")
		if first.template.CodeDir == "" {
			t.Fatal("it has no mount of its code")
		}
		w.recode("two")
		w.expect("web", api.StateRunning, "killSIGTERM start")
		if r, _ := w.store.Resolve("web"); r.Status.ObservedGeneration >= r.Generation {
			t.Error("the update is done before it has proven itself")
		}
		w.after(6 * time.Second)
		w.expectCode("two")
		if again, _ := w.engine.named("web"); again.DockerID != first.DockerID {
			t.Error("it was made anew")
		}
		if r, _ := w.store.Resolve("web"); r.Status.ObservedGeneration != r.Generation || plan.OnTrial(r) || r.Status.RunningGeneration != r.Generation {
			t.Errorf("it is not done: %s", api.Encode(r.Status))
		}
		w.expect("web", api.StateRunning, "")
	})
}

func TestController_CodeThatDoesNotStayUpIsTakenBack(t *testing.T) {
	withCode(t, func(w *world) {
		w.recode("bad")
		w.engine.exit("web", 1)
		w.after(time.Second)
		w.expect("web", api.StateRunning, "killSIGTERM start start")
		w.expectCode("one")
		if w.reason() != "UpdateFailed" {
			t.Errorf("degraded because of %q", w.reason())
		}
		w.after(time.Hour)
		w.expect("web", api.StateRunning, "")
		w.recode("good")
		w.after(time.Minute)
		w.expectCode("good")
		if w.reason() != "" {
			t.Errorf("degraded because of %q", w.reason())
		}
	})
}

// One that goes on with what it is not to run is stopped for the old code too.
func TestController_CodeThatIsNotHealthyIsTakenBack(t *testing.T) {
	withCode(t, func(w *world) {
		w.recode("bad")
		w.engine.sicken("web", "no")
		w.engine.told()
		r, _ := w.store.Resolve("web")
		w.after(plan.Deadline(r) + time.Second)
		w.expect("web", api.StateRunning, "killSIGTERM start")
		w.expectCode("one")
		if w.reason() != "UpdateFailed" {
			t.Errorf("degraded because of %q", w.reason())
		}
	})
}

func TestController_CodeOfAStoppedContainer(t *testing.T) {
	withCode(t, func(w *world) {
		w.desire("web", api.DesiredStopped)
		w.engine.told()
		w.recode("two")
		w.expect("web", api.StateStopped, "")
		w.desire("web", api.DesiredRunning)
		w.expect("web", api.StateRunning, "start")
		w.expectCode("two")
	})
}

func TestController_TheSameCodeChangesNothing(t *testing.T) {
	withCode(t, func(w *world) {
		w.recode("one")
		w.expect("web", api.StateRunning, "")
		if r, _ := w.store.Resolve("web"); r.Status.ObservedGeneration != r.Generation {
			t.Error("it is not done")
		}
	})
}

func TestController_CodeGoesBackToAnEarlierGeneration(t *testing.T) {
	withCode(t, func(w *world) {
		first, _ := w.store.Resolve("web")
		w.recode("two")
		w.after(time.Minute)
		taken := w.code.taken
		w.wish(func(wish *store.Wish) { wish.CodeOf = first.Code })
		w.after(time.Minute)
		w.expectCode("one")
		if w.code.taken != taken {
			t.Error("it was taken from the host again")
		}
		w.wish(func(wish *store.Wish) { wish.CodeOf = first.Code })
		if r, _ := w.store.Resolve("web"); r.Status.ObservedGeneration != r.Generation {
			t.Error("the same once more is something to do")
		}
	})
}

func TestController_AContainerGetsCodeByReplacement(t *testing.T) {
	inWorld(t, func(w *world) {
		w.obey(codePolicy())
		w.declare("web", nil)
		w.after(time.Minute)
		w.engine.told()
		w.declare("web", func(s *api.Spec) { s.Code = &api.Code{Path: codePath} })
		w.after(time.Minute)
		if calls := w.engine.told(); !strings.HasPrefix(calls, "create killSIGTERM") {
			t.Errorf("calls: %s", calls)
		}
		w.expectCode("one")
		w.declare("web", func(s *api.Spec) { s.Code = nil })
		w.after(2 * time.Minute)
		if c, _ := w.engine.named("web"); c.template.CodeDir != "" {
			t.Error("it still has its code")
		}
		if r, _ := w.store.Resolve("web"); r.Code != 0 || r.Status.CodeRevision != "" {
			t.Errorf("it still tells of code: %s", api.Encode(r.Status))
		}
	})
}

// While the code is read, which may take long, what stands is looked after, and a newer declaration wins.
func TestController_CodeIsReadByTheWay(t *testing.T) {
	withCode(t, func(w *world) {
		gate := make(chan struct{})
		w.code.mu.Lock()
		w.code.gate = gate
		w.code.mu.Unlock()
		w.recode("two")
		w.expect("web", api.StateRunning, "")
		if c := w.status("web").Condition(api.Progressing); c.Reason != "CopyingCode" {
			t.Errorf("progressing because of %q", c.Reason)
		}
		w.engine.exit("web", 1)
		w.after(time.Second)
		w.expect("web", api.StateRunning, "start")
		w.expectCode("one")
		w.wish(func(wish *store.Wish) { wish.Spec.Code = &api.Code{Path: otherCode, Target: wish.Spec.Code.Target} })
		close(gate)
		w.after(time.Minute)
		w.expectCode("other")
		w.delete("web")
		w.after(time.Second)
		if len(w.code.links) > 0 {
			t.Errorf("links are left: %v", w.code.links)
		}
	})
}

func TestController_CodeThatTakesTooLong(t *testing.T) {
	withCode(t, func(w *world) {
		w.code.mu.Lock()
		w.code.gate = make(chan struct{})
		w.code.mu.Unlock()
		w.recode("two")
		w.after(copyTimeout + time.Second)
		w.expect("web", api.StateRunning, "")
		if w.reason() != "CodeCopyTimeout" {
			t.Errorf("degraded because of %q", w.reason())
		}
	})
}

func TestController_CodeThatCannotBeHad(t *testing.T) {
	damaged := api.Errorf(api.SystemError, "no space is left for the code")
	tests := []struct {
		name, call string
		err        error
		reason     string
	}{
		{"refused", "take", api.Errorf(api.ValidationError, "the link %q leads out of the code", "x"), "CodeRefused"},
		{"changing", "take", api.Errorf(api.ConflictError, "it changed"), "CodeChanging"},
		{"no space", "take", damaged, "CodeCopyFailed"},
		{"an error of the host", "take", errors.New("input/output error"), "CodeCopyFailed"},
		{"damaged", "verify", damaged, "CodeCopyFailed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withCode(t, func(w *world) {
				w.code.mu.Lock()
				w.code.fails = func(call string) error {
					if call == tt.call {
						return tt.err
					}
					return nil
				}
				w.code.mu.Unlock()
				w.recode("two")
				w.after(time.Second)
				w.expect("web", api.StateRunning, "")
				if w.reason() != tt.reason {
					t.Errorf("degraded because of %q, want %q", w.reason(), tt.reason)
				}
				w.code.mu.Lock()
				w.code.fails = func(string) error { return nil }
				w.code.mu.Unlock()
				w.after(10 * time.Minute)
				w.expectCode("two")
				if w.reason() != "" {
					t.Errorf("degraded because of %q", w.reason())
				}
			})
		})
	}
}

// A container whose code is lost from the manager's disk is left as it is, and says what to do when it is to be started.
func TestController_CodeThatWasLost(t *testing.T) {
	withCode(t, func(w *world) {
		w.code.mu.Lock()
		clear(w.code.kept)
		clear(w.code.links)
		w.code.mu.Unlock()
		w.engine.exit("web", 1)
		w.after(time.Minute)
		if calls := w.engine.told(); strings.Contains(calls, "start") || w.reason() != "CodeCopyFailed" {
			t.Errorf("calls %q, degraded because of %q", calls, w.reason())
		}
		w.recode("two")
		w.after(time.Minute)
		w.expectCode("two")
	})
}

// What no kept generation names goes at once, and not at the next resync: with the update that lets go of it, with its container, and
// where what was copied is not wanted any more.
func TestController_UnusedCodeGoesAtOnce(t *testing.T) {
	withCode(t, func(w *world) {
		judge := func(when string) {
			t.Helper()
			synctest.Wait()
			named := w.control.keptCode()
			w.code.mu.Lock()
			defer w.code.mu.Unlock()
			for digest := range w.code.kept {
				if !named[digest] {
					t.Errorf("%s: %s is left", when, digest)
				}
			}
		}
		update := func(tree string) {
			t.Helper()
			w.recode(tree)
			w.after(7 * time.Second)
			judge(tree)
		}
		for i := range 12 { // what runs is older than all that is kept to go back to
			w.recode("bad-" + string(rune('a'+i)))
			w.engine.exit("web", 1)
			w.after(7 * time.Second)
		}
		w.expectCode("one")
		update("good")
		for i := range 12 {
			update("tree-" + string(rune('a'+i)))
		}
		w.code.mu.Lock()
		w.code.fails = func(call string) error {
			if call == "verify" {
				return errors.New("input/output error")
			}
			return nil
		}
		w.code.mu.Unlock()
		update("unread")
		w.delete("web")
		w.after(2 * time.Second)
		if _, err := w.store.Resolve("web"); err == nil || len(w.code.kept) > 0 || len(w.code.links) > 0 {
			t.Errorf("of a deleted container are left %v and %v, %v", w.code.kept, w.code.links, err)
		}
	})
}

// What nobody uses is removed at a resync too: links of containers that are gone, and code that no kept generation names.
func TestController_UnusedCodeIsCollected(t *testing.T) {
	withCode(t, func(w *world) {
		for i := range 12 {
			w.recode("tree-" + string(rune('a'+i)))
			w.after(10 * time.Second)
		}
		w.after(3 * time.Minute)
		w.code.mu.Lock()
		old, kept, left := w.code.kept["digest-of-one"], w.code.kept["digest-of-tree-c"], len(w.code.kept)
		w.code.links["nobody"] = "digest-of-one"
		w.code.mu.Unlock()
		if old || !kept || left != 10 {
			t.Errorf("the first is kept: %v, the third last but ten: %v, in all %d", old, kept, left)
		}
		w.after(3 * time.Minute)
		if _, there := w.code.Linked("nobody"); there {
			t.Error("a link of nobody's is left")
		}
		w.delete("web")
		w.after(3 * time.Minute)
		if len(w.code.kept) > 0 || len(w.code.links) > 0 {
			t.Errorf("of a deleted container are left %v and %v", w.code.kept, w.code.links)
		}
	})
}

// While it is not certain who uses what, nothing is removed.
func TestController_NothingIsCollectedWhileSomethingIsNotKnown(t *testing.T) {
	withCode(t, func(w *world) {
		w.code.mu.Lock()
		w.code.kept["digest-of-somebody's"] = true
		w.code.mu.Unlock()
		w.engine.leave()
		synctest.Wait()
		w.control.requestSweep()
		synctest.Wait()
		if !w.code.kept["digest-of-somebody's"] {
			t.Error("it was collected while the engine was away")
		}
		w.engine.come()
		w.after(3 * time.Minute)
		if w.code.kept["digest-of-somebody's"] {
			t.Error("it was not collected afterwards")
		}
	})
}

// A dry run of other code tells of a restart, and of nothing for a container at rest but a change in place.
func TestController_EffectOfCode(t *testing.T) {
	withCode(t, func(w *world) {
		ask := func() string {
			result, err := w.store.Try(w.t.Context(), store.Declaration{Name: "web", Change: func(wish *store.Wish) error { wish.TakeCode = true; return nil }})
			if err != nil {
				t.Fatal(err)
			}
			e, err := w.control.Effect(w.t.Context(), result.Record, true)
			if err != nil {
				t.Fatal(err)
			}
			return e.Effect
		}
		if got := ask(); got != api.EffectRestart {
			t.Errorf("running: %s", got)
		}
		w.desire("web", api.DesiredStopped)
		if got := ask(); got != api.EffectInPlace {
			t.Errorf("stopped: %s", got)
		}
	})
}

// The last words of an update that was taken back, and of a run that ended, stay to be read until the next one has proven itself.
func TestController_ExplainTellsHowItEnded(t *testing.T) {
	withCode(t, func(w *world) {
		explain := func() api.Explanation {
			r, _ := w.store.Resolve("web")
			e, err := w.control.Explain(w.t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		code := 1
		ended := api.Ending{ExitCode: &code, Message: "it exited with code 1", Logs: []string{"password=[FILTERED]", "the end"}}
		w.recode("bad")
		w.engine.exit("web", code)
		w.after(time.Minute)
		if diff := cmp.Diff(&api.FailedUpdate{Reason: api.ReasonUpdateFailed, Ending: ended}, explain().FailedUpdate); diff != "" {
			t.Errorf("taken back: %s", diff)
		}
		w.recode("good")
		w.after(time.Minute)
		if e := explain(); e.FailedUpdate != nil || e.LastExit != nil {
			t.Errorf("nothing has ended: %+v %+v", e.FailedUpdate, e.LastExit)
		}
		w.engine.exit("web", code)
		w.after(time.Millisecond)
		if diff := cmp.Diff(&ended, explain().LastExit); diff != "" {
			t.Errorf("ended: %s", diff)
		}
		w.after(time.Minute)
		if e := explain(); e.LastExit != nil {
			t.Errorf("available again: %+v", e.LastExit)
		}
	})
}

func TestController_ExplainTellsOfTheNewestActions(t *testing.T) {
	withCode(t, func(w *world) {
		for range 3 {
			w.recode("bad")
			w.engine.exit("web", 1)
			w.after(time.Minute)
		}
		explained := func() (did []string) {
			r, _ := w.store.Resolve("web")
			e, err := w.control.Explain(w.t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range e.RecentActions {
				did = append(did, a.Action)
			}
			return did
		}
		if got := strings.Join(explained(), " "); len(explained()) != maxActions || !strings.HasSuffix(got, "stop start rollback start") {
			t.Errorf("recent actions: %s", got)
		}
		w.obey(codePolicy())
		if got := strings.Join(explained(), " "); got != "start" {
			t.Errorf("after a start of the manager: %s", got)
		}
	})
}

package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

func (w *world) backup(file string) {
	w.t.Helper()
	if _, err := store.Save(file, false, func(out io.Writer) error { return w.store.Backup(func(int64) io.Writer { return out }) }); err != nil {
		w.t.Fatal(err)
	}
}

// After a backup some of what it declares was changed and deleted, and something was made. Restored, it does nothing: neither
// are the dead made again nor the living taken back, until somebody says so; and even then nothing that it does not know is touched.
func TestRestored_NothingIsDoneBeforeItIsAccepted(t *testing.T) {
	inWorld(t, func(w *world) {
		file := filepath.Join(w.t.TempDir(), "backup")
		for _, name := range []string{"same", "gone", "stopped", "updated"} {
			w.declare(name, nil)
		}
		w.backup(file)
		w.delete("gone")
		w.desire("stopped", api.DesiredStopped)
		w.declare("updated", func(s *api.Spec) { s.Command = []string{"newer"} })
		w.declare("later", nil)
		w.after(time.Minute)
		before := w.engine.all()
		w.stop()
		if _, _, err := store.Restore(w.dir, file, store.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.engine.told()

		for range 2 { // it is asked at every start
			w.boot(Config{})
			w.after(5 * time.Minute)
			err := w.control.Ready()
			if err == nil || !strings.HasPrefix(err.Error(), "StoreRestored: ") {
				t.Fatalf("ready: %v", err)
			}
			for _, foretold := range []string{"--accept-restore", "take over updated; make anew gone;", "start stopped;", "leave alone later"} {
				if !strings.Contains(err.Error(), foretold) {
					t.Errorf("%q is not foretold: %v", foretold, err)
				}
			}
			if away, ok := errors.AsType[*api.EngineAway](w.control.EngineKnown()); !ok || !strings.Contains(away.Message, "--accept-restore") || away.Since.IsZero() {
				t.Errorf("clients are told of states as if they were known: %+v", away)
			}
			if r, err := w.store.Resolve("gone"); err != nil || !w.endpoints.Listening(r.ID) {
				t.Errorf("what is declared cannot be read, or its socket is not open: %v", err)
			}
			if calls := w.engine.told(); calls != "" {
				t.Errorf("calls: %q", calls)
			}
			w.stop()
		}

		w.boot(Config{AcceptRestore: true})
		w.after(time.Minute)
		for name, c := range before {
			now, there := w.engine.named(name)
			if !there || now.DockerID != c.DockerID && name != "updated" {
				t.Errorf("%s is another container: %+v", name, now)
			}
		}
		if c, _ := w.engine.named("gone"); c.State != "running" {
			t.Errorf("gone is %s", c.State)
		}
		if c, _ := w.engine.named("updated"); c.State != "running" || len(c.template.Spec.Command) > 0 || w.status("updated").Condition(api.Degraded).Status == api.True {
			t.Errorf("updated: %+v", c)
		}
		w.stop()
		w.boot(Config{})
		if err := w.control.Ready(); err != nil {
			t.Errorf("once accepted: %v", err)
		}
	})
}

// all are the engine's containers by name.
func (e *fakeEngine) all() map[string]fakeContainer {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]fakeContainer{}
	for _, c := range e.containers {
		all[c.Name] = *c
	}
	return all
}

// A tombstone of the backup and what was superseded at the time would be removed, and are not before that is accepted.
func TestRestored_ForetellsWhatWouldBeRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		file := filepath.Join(w.t.TempDir(), "backup")
		r := w.declare("web", nil)
		w.engine.leave()
		w.delete("web")
		w.backup(file)
		w.stop()
		w.engine.come()
		if _, _, err := store.Restore(w.dir, file, store.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.boot(Config{})
		w.after(time.Minute)
		if err := w.control.Ready(); err == nil || !strings.Contains(err.Error(), "stop web") {
			t.Errorf("ready: %v", err)
		}
		if c, there := w.engine.named("web"); !there || c.State != "running" {
			t.Errorf("web: %+v", c)
		}
		w.stop()
		w.boot(Config{AcceptRestore: true})
		w.after(time.Minute)
		if _, there := w.engine.named("web"); there {
			t.Error("what is declared deleted is there")
		}
		if _, ok := w.store.Tombstone(r.ID); !ok {
			t.Error("no tombstone")
		}
	})
}

func TestRestored_OnAnotherEngineBothAreToBeAccepted(t *testing.T) {
	inWorld(t, func(w *world) {
		file := filepath.Join(w.t.TempDir(), "backup")
		w.declare("web", nil)
		w.backup(file)
		w.stop()
		if _, _, err := store.Restore(w.dir, file, store.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.engine.behind(func() { w.engine.id = "another"; clear(w.engine.containers) })
		w.engine.told()
		w.boot(Config{AcceptRestore: true})
		w.after(time.Minute)
		if err := w.control.Ready(); err == nil || !strings.HasPrefix(err.Error(), "EngineChanged") {
			t.Errorf("ready: %v", err)
		}
		if calls := w.engine.told(); calls != "" {
			t.Errorf("calls: %q", calls)
		}
		w.stop()
		w.boot(Config{AcceptEngine: true})
		w.after(time.Minute)
		w.expect("web", api.StateRunning, "create start")
	})
}

// spoil damages the declaration of a container in the closed file, where it lies.
func (w *world) spoil(id string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "flow-manager.db")
	data, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	spoilt := bytes.ReplaceAll(data, []byte(`{"id":"`+id+`"`), []byte(`{"id";"`+id+`"`))
	if err := os.WriteFile(file, spoilt, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// The container of a record in quarantine is left alone, and its name is not given to another.
func TestQuarantined_TheContainerIsLeftAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.declare("web", nil)
		before, _ := w.engine.named("web")
		w.stop()
		w.spoil(r.ID)
		w.engine.told()
		w.boot(Config{})
		w.after(5 * time.Minute)
		if held := w.store.Quarantined(); len(held) == 0 {
			t.Fatal("nothing is in quarantine; this test proves nothing")
		}
		_, err := w.store.Declare(context.Background(), store.Declaration{Name: "web", Change: func(wish *store.Wish) error {
			wish.Spec = api.Spec{Image: "app", DesiredState: api.DesiredRunning}
			return nil
		}})
		if err == nil {
			t.Error("its name was given to another")
		}
		w.engine.exit("web", 1)
		w.after(5 * time.Minute)
		if calls := w.engine.told(); calls != "" {
			t.Errorf("calls: %q", calls)
		}
		if now, _ := w.engine.named("web"); now.DockerID != before.DockerID {
			t.Errorf("it is another one: %+v", now)
		}
		if n := w.control.foreign(); n != 1 {
			t.Errorf("%v foreign containers are reported", n)
		}
		if err := w.control.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

// A copy of the data directory that was put back has the instance and the epoch of the store that it takes the place of. It is
// told by what is in the engine, acts on nothing until it is accepted, and then takes over what it did not know.
func TestController_AStoreThatWasCopiedBackIsNoticed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		w.stop()
		copied, err := os.ReadFile(store.Path(w.dir))
		if err != nil {
			t.Fatal(err)
		}
		w.boot(Config{})
		w.declare("web", func(s *api.Spec) { s.Command = []string{"newer"} })
		w.declare("later", nil)
		w.after(time.Minute)
		newer, _ := w.engine.named("web")
		w.stop()
		if err := os.WriteFile(store.Path(w.dir), copied, 0o600); err != nil {
			t.Fatal(err)
		}
		w.engine.told()
		w.boot(Config{})
		w.after(time.Minute)
		if err := w.control.Ready(); err == nil || !strings.HasPrefix(err.Error(), "StoreRestored") || w.engine.told() != "" {
			t.Errorf("ready: %v", err)
		}
		w.stop()
		w.boot(Config{AcceptRestore: true})
		w.after(time.Minute)
		if w.reason() != "" {
			t.Errorf("degraded because of %q", w.reason())
		}
		w.delete("web")
		w.after(time.Minute)
		if _, there := w.engine.named("web"); there || w.engine.containers[newer.DockerID] != nil {
			t.Error("it was deleted and goes on")
		}
		if c, _ := w.engine.named("later"); c.State != "running" {
			t.Errorf("what nobody declares any more: %+v", c.Container)
		}
	})
}

// What was made of an intent that the backup knows is taken over, whatever it is called by now; and what was kept from earlier
// containers goes over to the next one, though the backup does not know that it is kept there.
func TestRestored_WhatTheBackupIntendedIsTakenOver(t *testing.T) {
	inWorld(t, func(w *world) {
		file := filepath.Join(w.t.TempDir(), "backup")
		w.declare("web", nil)
		w.after(time.Minute)
		data := map[string]string{"/data": "hex-1"}
		w.engine.behind(func() {
			for _, c := range w.engine.containers {
				c.Anonymous = data
			}
			w.engine.before = func(call string) error { return map[string]error{"create": errEngine}[call] }
		})
		w.declare("web", func(s *api.Spec) { s.Command = []string{"newer"} })
		w.after(time.Second / 2)
		w.backup(file) // the candidate is intended, and not made
		w.engine.behind(func() { w.engine.before = nil })
		w.after(time.Minute)
		stands, _ := w.engine.named("web")
		w.stop()
		if _, _, err := store.Restore(w.dir, file, store.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.engine.told()
		w.boot(Config{AcceptRestore: true})
		w.after(time.Minute)
		if c, _ := w.engine.named("web"); c.DockerID != stands.DockerID || c.State != "running" || len(w.engine.containers) != 1 {
			t.Errorf("%d containers, web: %+v", len(w.engine.containers), c)
		}
		if calls := w.engine.told(); strings.Contains(calls, "create") || strings.Contains(calls, "kill") {
			t.Errorf("calls: %q", calls)
		}
		w.declare("web", func(s *api.Spec) { s.Command = []string{"newest"} })
		w.after(time.Minute)
		if c, _ := w.engine.named("web"); c.DockerID == stands.DockerID || !maps.Equal(c.Carried, data) {
			t.Errorf("the next one: %+v", c)
		}
	})
}

// The same container may have been given other code since the backup. It is given again what the backup declares.
func TestRestored_CodeThatWasGivenSinceIsTakenBack(t *testing.T) {
	inWorld(t, func(w *world) {
		file := filepath.Join(w.t.TempDir(), "backup")
		w.stop()
		w.boot(Config{Policy: codePolicy()})
		w.declare("web", func(s *api.Spec) { s.Code = &api.Code{Path: codePath, Target: "/app"} })
		w.after(time.Minute)
		w.backup(file)
		w.recode("two")
		w.after(time.Minute)
		w.expectCode("two")
		w.stop()
		if _, _, err := store.Restore(w.dir, file, store.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.boot(Config{Policy: codePolicy(), AcceptRestore: true})
		w.after(time.Minute)
		w.expectCode("one")
	})
}

// What was left alone when the store was accepted stays so, whatever becomes of it: it does not make a copy of the store again.
func TestRestored_WhatIsLeftAloneIsNoSignOfACopy(t *testing.T) {
	inWorld(t, func(w *world) {
		file := filepath.Join(w.t.TempDir(), "backup")
		w.declare("web", nil)
		w.after(time.Minute)
		w.backup(file)
		r := w.declare("later", nil)
		w.after(time.Minute)
		w.stop()
		later := func(state string) {
			w.engine.behind(func() {
				for _, c := range w.engine.containers {
					if c.ID == r.ID {
						c.State = state
					}
				}
			})
		}
		later("created")
		if _, _, err := store.Restore(w.dir, file, store.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.boot(Config{AcceptRestore: true})
		w.after(time.Minute)
		w.stop()
		later("running")
		w.boot(Config{})
		w.after(time.Minute)
		if err := w.control.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

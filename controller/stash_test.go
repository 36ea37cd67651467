package controller

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// onSmallDisk puts the world's store on a filesystem of its own.
func (w *world) onSmallDisk() {
	w.t.Helper()
	if os.Geteuid() != 0 {
		w.t.Skip("only root may mount a small filesystem")
	}
	w.stop()
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", 0, "size=4m"); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := unix.Unmount(w.dir, 0); err != nil {
			w.t.Error(err)
		}
	})
	w.boot(Config{})
}

func (w *world) resizeDisk(size string) {
	w.t.Helper()
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", unix.MS_REMOUNT, "size="+size); err != nil {
		w.t.Fatal(err)
	}
}

// fillDisk leaves no room for any commit.
func (w *world) fillDisk() {
	w.t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(w.dir, &fs); err != nil {
		w.t.Fatal(err)
	}
	w.resizeDisk(fmt.Sprint((fs.Blocks - fs.Bfree) * uint64(fs.Bsize)))
	for _, size := range []int{20_000, 1} { // what is free within the file is used up too
		for i := 0; w.write(size) == nil; i++ {
			if i > 1000 {
				w.t.Fatal("the disk does not get full")
			}
		}
	}
}

// write commits an event of so many bytes.
func (w *world) write(size int) error {
	event := api.Activity{ActivityType: api.ActivityActor, Message: strings.Repeat("x", size)}.Event()
	_, err := w.store.Observe(w.t.Context(), w.declareOnly("ballast"), func(*store.Record) []api.Event { return []api.Event{event} })
	if err != nil && !errors.Is(err, store.ErrNotWritable) {
		w.t.Fatal(err)
	}
	return err
}

// declareOnly declares what leads to nothing: it is to be there, and its image is not.
func (w *world) declareOnly(name string) string {
	w.t.Helper()
	if r, err := w.store.Resolve(name); err == nil {
		return r.ID
	}
	return w.declare(name, func(s *api.Spec) { s.DesiredState = api.DesiredCreated }).ID
}

func TestUnwritten_CrashesAreRestartedWithTheirBackoff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onSmallDisk()
		w.declareOnly("ballast")
		w.declare("web", nil)
		w.declare("job", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartOnFailure })
		w.after(time.Minute)
		w.engine.told()
		w.fillDisk()
		if err := w.control.Ready(); err == nil || !strings.HasPrefix(err.Error(), "StoreNotWritable") {
			t.Fatalf("ready on a full disk: %v", err)
		}
		committed := *w.status("web")
		for i, pause := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
			w.engine.exit("web", 1)
			w.after(pause * 8 / 10)
			if calls := w.engine.told(); i > 0 && calls != "" {
				t.Errorf("after %d exits: %q before it was due", i+1, calls)
			}
			w.after(pause*4/10 + degradedInterval)
			if c, _ := w.engine.named("web"); c.State != "running" {
				t.Errorf("after %d exits: %s", i+1, c.State)
			}
			w.engine.told()
		}
		w.engine.exit("job", 0) // is done
		w.after(time.Minute)
		if calls := w.engine.told(); calls != "" {
			t.Errorf("calls: %q", calls)
		}
		if st := w.status("web"); st.RestartCount != committed.RestartCount {
			t.Errorf("%d restarts are shown, and none could be written", st.RestartCount)
		}

		w.resizeDisk("16m")
		w.after(10 * time.Second)
		if err := w.control.Ready(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if st := w.status("web"); st.RestartCount != 4 || st.CrashStreak != 4 || st.State != api.StateRunning {
			t.Errorf("web: %s", api.Encode(st))
		}
		if st := w.status("job"); st.State != api.StateExited || st.Condition(api.Ready).Reason != "Completed" {
			t.Errorf("job: %s", api.Encode(st))
		}
		w.expectEvent("web", api.ContainerCrashed)
		if calls := w.engine.told(); calls != "" {
			t.Errorf("calls once it could be written: %q", calls)
		}
	})
}

// expectEvent finds a durable event of a container.
func (w *world) expectEvent(name, event string) {
	w.t.Helper()
	r, err := w.store.Resolve(name)
	if err != nil {
		w.t.Fatal(err)
	}
	for watch := w.store.Watch(0); ; {
		changes, err := watch.Next(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range changes {
			for _, e := range c.Events {
				if c.ID == r.ID && e.Name == event {
					return
				}
			}
		}
		if changes[len(changes)-1].Revision == w.store.Revision() {
			w.t.Errorf("%s of %s was not told", event, name)
			return
		}
	}
}

// Whatever was declared before the disk was full: nothing is made, stopped, replaced or removed until a commit works.
func TestUnwritten_NothingElseIsDone(t *testing.T) {
	tests := map[string]func(w *world){
		"stop":    func(w *world) { w.desire("web", api.DesiredStopped) },
		"pause":   func(w *world) { w.desire("web", api.DesiredPaused) },
		"restart": func(w *world) { w.restart("web") },
		"update":  func(w *world) { w.declare("web", func(s *api.Spec) { s.Command = []string{"other"} }) },
		"limits":  func(w *world) { w.declare("web", func(s *api.Spec) { s.Resources.PidsLimit = 7 }) },
		"delete":  func(w *world) { w.delete("web") },
		"new":     func(w *world) { w.declare("new", nil) },
		"renamed": func(w *world) { w.engine.hand(func(c *fakeContainer) { c.Name = "other" }) },
		"paused":  func(w *world) { w.engine.hand(func(c *fakeContainer) { c.State = "paused" }) },
		"removed": func(w *world) { w.engine.hand(func(c *fakeContainer) { delete(w.engine.containers, c.DockerID) }) },
		"dead":    func(w *world) { w.engine.hand(func(c *fakeContainer) { c.State = "dead" }) },
		"sick":    func(w *world) { w.engine.hand(func(c *fakeContainer) { c.Health = api.HealthUnhealthy }) },
		"first start": func(w *world) {
			w.declare("web", func(s *api.Spec) { s.DesiredState = api.DesiredStopped })
			w.engine.hand(func(c *fakeContainer) { c.State, c.StartedAt = "created", time.Time{} })
			w.desire("web", api.DesiredRunning)
		},
	}
	for name, declare := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.onSmallDisk()
				w.declareOnly("ballast")
				w.declare("web", nil)
				w.after(time.Minute)
				w.engine.leave() // what is declared now is committed, and nothing of it is done yet
				w.after(time.Second)
				declare(w)
				w.fillDisk()
				w.engine.told()
				w.engine.come()
				w.after(5 * time.Minute)
				if calls := w.engine.told(); calls != "" {
					t.Errorf("calls on a full disk: %q", calls)
				}
				w.resizeDisk("16m")
				w.after(time.Minute)
				if calls := w.engine.told(); calls == "" {
					t.Error("nothing was to be done at all; this test proves nothing")
				}
			})
		})
	}
}

// hand changes the container web, without a word to anybody.
func (e *fakeEngine) hand(f func(c *fakeContainer)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, err := e.findLocked("web"); err == nil {
		f(c)
	}
}

// What is left of a deleted container is removed when that can be relied upon again.
func TestUnwritten_RemainsOfTheDeletedStay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onSmallDisk()
		w.declareOnly("ballast")
		w.engine.behind(func() {
			w.engine.before = func(call string) error {
				if call == "create" {
					return ErrUnavailable
				}
				return nil
			}
		})
		w.declare("web", nil)
		r, err := w.store.Resolve("web")
		if err != nil {
			t.Fatal(err)
		}
		w.delete("web")
		w.fillDisk()
		w.engine.told()
		w.engine.behind(func() { // the engine has finished what nobody waits for any more
			late := w.engine.addLocked("web")
			late.ID, late.Token, late.State = r.ID, r.Current.Token, "running"
		})
		w.after(5 * time.Minute)
		if calls := w.engine.told(); calls != "" {
			t.Errorf("calls on a full disk: %q", calls)
		}
		w.resizeDisk("16m")
		w.after(2 * time.Minute)
		if calls := w.engine.told(); calls != "kill remove" {
			t.Errorf("calls: %q", calls)
		}
	})
}

// A manager that starts on a full disk, after a reboot of the host even, brings back what ran.
func TestUnwritten_StartsAgainAfterAReboot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onSmallDisk()
		w.stop()
		w.boot(Config{Boot: "one"})
		w.declareOnly("ballast")
		w.declare("web", nil)
		w.declare("once", func(s *api.Spec) { s.RestartPolicy.Name = api.RestartNever })
		w.fillDisk()
		w.stop()
		w.engine.exit("web", 137)
		w.engine.exit("once", 137)
		w.engine.told()
		w.boot(Config{Boot: "two"})
		w.write(100_000) // which finds out that the disk is full
		w.after(time.Minute)
		if calls := w.engine.told(); calls != "start" {
			t.Errorf("calls: %q", calls)
		}
		w.engine.exit("web", 1) // by itself, this time
		w.after(time.Minute)
		w.resizeDisk("16m")
		w.after(time.Minute)
		if st := w.status("web"); st.State != api.StateRunning || st.CrashStreak != 1 || st.RestartCount != 2 {
			t.Errorf("web: %s", api.Encode(st))
		}
		if st := w.status("once"); st.State != api.StateExited || st.Condition(api.Ready).Reason != "Interrupted" {
			t.Errorf("once: %s", api.Encode(st))
		}
	})
}

// A start that the engine refuses is tried again, later each time.
func TestUnwritten_AFailedStartIsPutOff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onSmallDisk()
		w.declareOnly("ballast")
		w.declare("web", nil)
		w.fillDisk()
		w.engine.told()
		w.engine.behind(func() {
			w.engine.before = func(call string) error {
				if call == "start" {
					return errEngine
				}
				return nil
			}
		})
		w.engine.exit("web", 1)
		w.after(time.Minute)
		if n := strings.Count(w.engine.told(), "start"); n < 4 || n > 8 { // at once, then after 1, 2, 4, 8, 16 s and so on
			t.Errorf("%d attempts in a minute", n)
		}
		w.engine.behind(func() { w.engine.before = nil })
		w.after(2 * time.Minute)
		w.resizeDisk("16m")
		w.after(time.Minute)
		if st := w.status("web"); st.State != api.StateRunning || st.RestartCount != 1 || st.Condition(api.Degraded).Status == api.True {
			t.Errorf("web: %s", api.Encode(st))
		}
	})
}

// That the engine is away is no failure of a container, on a full disk either.
func TestUnwritten_AnEngineThatIsAwayIsNoFailure(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onSmallDisk()
		w.declareOnly("ballast")
		w.declare("web", nil)
		w.after(time.Minute)
		w.fillDisk()
		since := w.store.Revision()
		w.refuse("start", ErrUnavailable)
		w.engine.exit("web", 1)
		w.after(10 * time.Second)
		w.resizeDisk("16m")
		w.after(5 * time.Second)
		if n := w.reports(since, "StartFailed"); n > 0 {
			t.Errorf("%d reports of a start that failed", n)
		}
		if c := w.status("web").Condition(api.Degraded); c.Reason == "StartFailed" {
			t.Errorf("degraded: %s: %s", c.Reason, c.Message)
		}
	})
}

// A look at the engine may take long. What was decided upon before the disk got full is not done after it.
func TestUnwritten_NothingIsDoneThatWasDueBefore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.declare("web", nil)
		w.after(time.Minute)
		w.engine.behind(func() {
			w.engine.before = func(call string) error { return map[string]error{"pause": errEngine}[call] }
		})
		w.desire("web", api.DesiredPaused)
		w.stop()
		path := store.Path(w.dir)
		w.engine.before = func(call string) error {
			if call != "inspect" {
				return nil
			}
			if err := os.Rename(path, path+".away"); err != nil {
				t.Error(err)
			}
			w.engine.before = nil
			_, err := w.store.Declare(w.t.Context(), store.Declaration{Name: "web", Principal: "client", Change: func(next *store.Wish) error {
				next.Labels = map[string]string{"a": "b"}
				return nil
			}})
			if !errors.Is(err, store.ErrNotWritable) {
				t.Errorf("declared while nothing can be written: %v", err)
			}
			return nil
		}
		w.engine.told()
		w.boot(Config{})
		w.after(time.Minute)
		if calls := w.engine.told(); strings.Contains(calls, "pause") {
			t.Errorf("calls: %q", calls)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		if st := w.status("web"); st.State != api.StatePaused {
			t.Errorf("once it can be written: %s", api.Encode(st))
		}
	})
}

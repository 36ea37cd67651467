//go:build sim

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// simWorld is one seed's world: an engine, what clients were told, and one manager after the other.
type simWorld struct {
	root      string
	engine    *simEngine
	court     *court
	life      *simLife
	lives     int
	boots     int
	dirs      int
	owed      []simAsked // what was not answered when the newest life ended
	jumped    int64      // how far the host's clock had jumped when the newest life began
	folders   map[string]bool
	made      map[string]int // how often each folder was made
	listening map[string]bool
	code      *fakeSnapshots
	trees     simTrees
	twin      *simLife        // another manager on the same engine, nil where there is none
	twins     int             // how many lives it had
	twinIDs   map[string]bool // of its records
	saved     *simBackup      // the newest backup of the store, nil while there is none
	accept    bool            // what was restored
	failed    atomic.Pointer[string]
}

func (w *simWorld) newDir() string {
	w.dirs++
	dir := filepath.Join(w.root, strconv.Itoa(w.dirs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.broke(err)
	}
	return dir
}

// broke notes what the simulation itself did not expect, nil being nothing.
func (w *simWorld) broke(err error) {
	if err == nil {
		return
	}
	text := err.Error()
	w.failed.CompareAndSwap(nil, &text)
}

// listens is called with the engine's mutex held.
func (w *simWorld) listens(id string) bool { return w.folders[id] && w.listening[id] }

// verdict is the first violation, nil where there is none.
func (w *simWorld) verdict() error {
	if text := w.failed.Load(); text != nil {
		return errors.New(*text)
	}
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	if w.court.verdict != "" {
		return errors.New(w.court.verdict)
	}
	return nil
}

// play lives through a script and returns the first violation with the story that led to it.
func play(t *testing.T, s simScript, reached map[string]int) (failure error) {
	root, err := os.MkdirTemp(simRoot(), "sim")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	synctest.Test(t, func(t *testing.T) {
		w := &simWorld{root: root, engine: newSimEngine(s), court: newCourt(), folders: map[string]bool{}, made: map[string]int{}, listening: map[string]bool{}, code: newFakeSnapshots()}
		w.engine.court, w.engine.code = w.court, w.code
		w.rewrite(0)
		err := w.run(s)
		w.engine.mu.Lock()
		defer w.engine.mu.Unlock()
		if err != nil {
			failure = fmt.Errorf("%w\n%s", err, w.court.tell())
		}
		for pair, n := range w.court.reached {
			reached[pair] += n
		}
	})
	return failure
}

func (w *simWorld) run(s simScript) error {
	w.twinIDs = map[string]bool{}
	if err := w.boot(w.newDir()); err != nil {
		return err
	}
	var err error
	if s.Twin {
		err = w.bootTwin(w.newDir())
	}
	if err == nil {
		err = w.acts(s)
	}
	w.engine.settle()
	if err == nil {
		time.Sleep(time.Minute) // what was slow comes to its end
	}
	_, ending := w.end()
	ending = errors.Join(ending, w.endTwin())
	if err == nil {
		err = errors.Join(w.verdict(), ending)
	}
	return err
}

func (w *simWorld) acts(s simScript) error {
	for _, act := range s.Acts {
		w.engine.mu.Lock()
		w.engine.calm, w.court.quiet = false, false
		w.engine.mu.Unlock()
		for _, beat := range act {
			w.operate(beat.Op)
			if err := w.pass(beat.Op.Pause); err != nil {
				return err
			}
			w.harm(beat.Fault)
			if err := w.pass(beat.Fault.Pause); err != nil {
				return err
			}
		}
		if err := w.converge(); err != nil {
			return err
		}
	}
	return nil
}

// pass lets time go by; a manager that dies meanwhile is started again.
func (w *simWorld) pass(d time.Duration) error {
	until := time.Now().Add(d)
	for {
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
		case <-w.life.dead:
			timer.Stop()
		case <-w.court.over:
			timer.Stop()
			return w.verdict()
		}
		synctest.Wait()
		if !w.life.isDead() {
			break
		}
		if err := w.reboot(); err != nil {
			return err
		}
	}
	return errors.Join(w.verdict(), w.compare())
}

func (w *simWorld) reboot() error {
	dir, err := w.end()
	if err != nil {
		return err
	}
	return w.boot(dir)
}

// operate lets a client declare something.
func (w *simWorld) operate(op simStep) {
	if op.Kind == "" {
		return
	}
	var asked store.Wish
	if op.Kind == "code" {
		w.rewrite(op.Arg)
	}
	former := w.backTo(op.Name, op.Arg)
	e, m := w.engine, w.court.model
	e.mu.Lock()
	m.trees = len(w.trees)
	d := m.live[op.Name]
	if d != nil {
		d.unsure = &store.Wish{}
		w.court.disturb(d.id)
		if op.Kind == "retry" || op.Kind == "pull" {
			w.court.file(d.id).update.tries, w.court.file(d.id).codes = nil, nil
		}
		w.court.file(d.id).stops++ // an update that fails is stopped as well
	}
	if d != nil {
		w.court.file(d.id).caused, w.court.file(d.id).done = nil, ""
	}
	w.court.note("client %s %s %d", op.Kind, op.Name, op.Arg)
	e.mu.Unlock()
	full := w.life.full()
	result, err := w.life.store.Declare(context.Background(), store.Declaration{Name: op.Name, Principal: "client", Intent: intentOf(op.Kind), Change: func(next *store.Wish) error {
		if op.Kind == "delete" && !next.Exists {
			return errRefused
		}
		if op.Kind == "code-back" {
			next.CodeOf = former
		}
		err := wish(op.Kind, op.Arg, next)
		asked = *next
		return err
	}})
	if err == nil && !w.life.isDead() && result.Changed {
		defer func() {
			if !w.life.isDead() {
				w.life.ask(simAsked{id: result.ID, generation: result.Generation, intent: result.Record.IntentOf(result.Generation), patient: true})
			}
		}()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil && w.life.isDead() && d == nil:
		w.court.note("       not answered")
		m.orphan = append(m.orphan, asked)
	case err == nil && w.life.isDead():
		w.court.note("       not answered")
		d.unsure = &asked
		return
	case err == nil:
		m.acknowledge(&result, &asked)
		w.court.file(result.ID).caused = nil
	case !errors.Is(err, errRefused) && !w.life.isDead() && !(full && errors.Is(err, store.ErrNotWritable)):
		w.court.violate("a declaration was not taken: %v", err)
	}
	if d != nil {
		d.unsure = nil
	}
}

// compare holds the store against what was acknowledged.
func (w *simWorld) compare() error {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	m := w.court.model
	m.adopt(w.life.store)
	for id, d := range m.all {
		r, ok := w.life.store.Get(id)
		if _, buried := w.life.store.Tombstone(id); !ok && d.deleted && buried {
			if m.live[d.name] == d {
				delete(m.live, d.name)
			}
			continue
		}
		if !ok {
			return fmt.Errorf("the acknowledged declaration of %s (%s) is lost", d.name, id)
		}
		if diff := d.compare(r); diff != "" {
			return fmt.Errorf("%s was altered: %s: acknowledged %d %s, stored %d %s", d.name, diff, d.generation, api.Encode(d.spec), r.Generation, api.Encode(r.Spec))
		}
	}
	records, _ := w.life.store.List()
	for _, r := range records {
		if m.all[r.ID] == nil {
			return fmt.Errorf("%s was declared by nobody", r.Name)
		}
	}
	return nil
}

// simRoot is memory where there is some.
func simRoot() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func envInt(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSimulator plays SIM_SEEDS seeds (100) from SIM_FROM (1) on, SIM_LANES (2) at once. A seed that fails is printed and
// shrunk; SIM_FROM=<seed> SIM_SEEDS=1 plays it again.
func TestSimulator(t *testing.T) {
	// A life keeps little and throws much away: collecting that as often as is usual takes a quarter of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	seeds, from, lanes := envInt(t, "SIM_SEEDS", 100), envInt(t, "SIM_FROM", 1), envInt(t, "SIM_LANES", 2)
	var next, ops, faults atomic.Int64
	var mu sync.Mutex
	var failed int
	var failure error
	reached, survey := map[string]int{}, os.Getenv("SIM_SURVEY") != ""
	began := time.Now()
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(strconv.Itoa(lane), func(t *testing.T) {
				t.Parallel()
				mine := map[string]int{}
				for n := next.Add(1); n <= int64(seeds) && !t.Failed(); n = next.Add(1) {
					seed := from + int(n) - 1
					script := simScripts().Example(seed)
					o, f := script.count()
					if o < 40 || f < 10 {
						t.Errorf("seed %d has %d operations and %d faults", seed, o, f)
					}
					ops.Add(int64(o))
					faults.Add(int64(f))
					if err := play(t, script, mine); err != nil {
						if survey {
							line, _, _ := strings.Cut(err.Error(), "\n")
							t.Logf("seed %d: %s", seed, line)
							continue
						}
						next.Store(int64(seeds))
						mu.Lock()
						failed, failure = seed, err
						mu.Unlock()
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for pair, n := range mine {
					reached[pair] += n
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d seeds in %v: %.1f seeds/s; %d operations, %d faults", seeds, took.Round(time.Millisecond), float64(seeds)/took.Seconds(), ops.Load(), faults.Load())
	report(t, reached)
	if failure == nil {
		return
	}
	t.Errorf("seed %d: %v\nSIM_FROM=%d SIM_SEEDS=1 plays it again", failed, failure, failed)
	if os.Getenv("SIM_SHRINK") != "0" {
		small, err := shrink(t, simScripts().Example(failed))
		t.Errorf("what is left of it when what it does not need is taken away:\n%v\n%v", small, err)
	}
}

func report(t *testing.T, reached map[string]int) {
	var b strings.Builder
	for _, pair := range slices.Sorted(maps.Keys(reached)) {
		fmt.Fprintf(&b, " %s:%d", strings.ReplaceAll(strings.TrimSpace(pair), " ", "/"), reached[pair])
	}
	t.Logf("%d actions with their causes:%s", len(reached), b.String())
}

// shrink takes away what a failing script does not need, half of it at a time, then a quarter, down to single steps.
func shrink(t *testing.T, s simScript) (simScript, error) {
	var last error
	fails := func(candidate simScript) bool {
		err := play(t, candidate, map[string]int{})
		if err != nil {
			last = err
		}
		return err != nil
	}
	if !fails(s) {
		return s, errors.New("it did not fail again: what it takes is not in the script alone")
	}
	for size := len(s.steps()); size > 0; size /= 2 {
		for from := 0; from < len(s.steps()); from += size {
			if candidate := s.without(from, from+size); candidate.String() != s.String() && fails(candidate) {
				s = candidate
			}
		}
	}
	return s, last
}

//go:build sim

package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
)

// simLife is one manager process. Its death is a moment: what was committed by then is the file of the next life, perhaps
// with a part of the transaction that was under way, and nothing that it does later reaches the engine, the sockets or that
// file.
type simLife struct {
	world    *simWorld
	dir      string // its own data directory
	store    *store.Store
	control  *Controller
	left     atomic.Int64 // points until it dies
	writes   atomic.Int64 // transactions
	doomed   atomic.Bool
	torn     atomic.Int64 // not 0: the last transaction is torn, and how
	once     sync.Once
	last     sync.Once
	before   []byte // the file when it died
	after    []byte // the same after the transaction that was under way then
	dead     chan struct{}
	stop     context.CancelFunc
	ended    chan error
	over     bool   // it was waited for
	rebooted bool   // it ended with the host
	mark     []byte // how far it had come, when it died
	// unwritable is since when nothing can be written, nil where it can.
	unwritable *time.Time
	// wrote is when that changed last.
	wrote time.Time

	// client waits for what becomes of accepted requests.
	client *servertest.Session
	served chan error
	asked  map[*servertest.Request]simAsked // and not answered yet
	early  map[*servertest.Request]bool     // answered
	asking simAsked
}

// point is a place where SIGKILL may strike: before and after each engine call, at each of the manager's own fail points.
func (l *simLife) point() {
	if l.left.Add(-1) == 0 {
		l.kill()
	}
}

// now is the store's clock: the store's only writer asks it right before each transaction, so that nothing is half written.
func (l *simLife) now() time.Time {
	if l.isDead() {
		l.last.Do(func() { l.after = l.file() })
	}
	if l.left.Add(-1) == 0 || l.doomed.Load() {
		l.die()
	}
	if l.writes.Add(1) == simCalls {
		l.world.engine.mu.Lock()
		l.world.court.violate("the manager spins: %d transactions", simCalls)
		l.world.engine.mu.Unlock()
	}
	return l.world.engine.wall()
}

// kill lets the store's writer end this life between two transactions.
func (l *simLife) kill() {
	l.doomed.Store(true)
	_, err := l.store.Observe(context.Background(), "", func(*store.Record) []api.Event { return nil })
	if errors.Is(err, store.ErrClosed) {
		l.die()
	}
}

func (l *simLife) die() {
	l.once.Do(func() {
		if l.before, l.mark = l.file(), l.marked(); l.store.Err() != nil {
			l.torn.Store(0) // the store tries out whether it can be written, and that is more than one transaction
		}
		close(l.dead)
	})
}

const simStore = "flow-manager.db"

func (l *simLife) file() []byte {
	path := filepath.Join(l.dir, simStore)
	var data []byte
	var err error
	for _, at := range []string{path, path + simAway, path} { // it may be moved back in between
		if data, err = os.ReadFile(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		l.world.broke(err)
	}
	return data
}

// marked is how far the store says beside it that it has come, nil where it does not.
func (l *simLife) marked() []byte {
	data, err := os.ReadFile(filepath.Join(l.dir, simMark))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.world.broke(err)
	}
	return data
}

// heir is the data directory of the next life.
func (l *simLife) heir() string {
	left := l.before
	if seed := l.torn.Load(); seed != 0 {
		l.last.Do(func() { l.after = l.file() })
		left = tear(l.before, l.after, rand.New(rand.NewPCG(uint64(seed), uint64(l.writes.Load()))))
	}
	dir := l.world.newDir()
	err := os.WriteFile(filepath.Join(dir, simStore), left, 0o600)
	if !l.rebooted { // it is in memory
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, simMark), l.mark, 0o600))
	}
	if err != nil {
		l.world.broke(err)
	}
	return dir
}

func (l *simLife) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

// boot begins a life on what the last one left.
func (w *simWorld) boot(dir string) error {
	w.lives++
	w.code.mu.Lock()
	w.code.held = map[string]int{} // whoever held it is dead
	w.code.mu.Unlock()
	l := &simLife{world: w, dir: dir, dead: make(chan struct{}), ended: make(chan error, 1)}
	l.left.Store(math.MaxInt64)
	var err error
	if l.store, err = store.Open(dir, store.Options{NoSync: true, Now: l.now, Mark: filepath.Join(dir, simMark), Writable: l.writable}); err != nil {
		return fmt.Errorf("open the store of life %d: %w", w.lives, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	defer func() { w.jumped = w.engine.skew.Load() }()
	w.engine.mu.Lock()
	w.life, w.court.model.life = l, l
	w.court.held = l.store.Restored() != "" && !w.accept
	w.court.note("life %d begins", w.lives)
	for id := range w.court.model.all {
		w.court.file(id).caused = nil // a process knows what it has caused itself
		// A wait lasts at most for what was left of it; and where the newest event seems to be still to come, the engine cannot be
		// asked what has happened since.
		if w.jumped != w.engine.skew.Load() || l.store.EngineEvent().After(w.engine.wall()) {
			f := w.court.file(id)
			f.exit, f.sick, f.streak = nil, time.Time{}, 0
		}
	}
	w.engine.mu.Unlock()
	if err := w.compare(); err != nil {
		w.broke(err)
	}
	l.control = New(Config{Store: l.store, Runtime: &simPort{number: w.lives, engine: w.engine, life: l}, Endpoints: &simEndpoints{w, l}, Snapshots: &simSnapshots{w.code, w, l}, Policy: codePolicy(), AcceptRestore: w.accept,
		Log: zerolog.New(&simLog{w}), Workers: 4, Now: w.engine.wall, Uptime: w.uptime, Boot: fmt.Sprint("boot-", w.boots), Fail: func(string) { l.point() }})
	if err := l.serve(ctx); err != nil {
		return err
	}
	go l.commits(ctx, l.store.Revision())
	go func() { l.ended <- l.control.Run(ctx) }()
	synctest.Wait()
	return nil
}

// end waits until what a life began has ended, and gives the directory that the next one continues from.
func (w *simWorld) end() (string, error) {
	l := w.life
	if l.over {
		return l.dir, nil // the next one did not come about
	}
	l.over = true
	if !l.isDead() {
		l.makeRoom()
	}
	l.stop()
	err := errors.Join(<-l.ended, <-l.served)
	if l.isDead() {
		synctest.Wait()
		l.last.Do(func() { l.after = l.file() }) // before the store notes the newest event, which is another transaction
	}
	err = errors.Join(err, l.store.Close())
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	maps.DeleteFunc(w.listening, func(id string, _ bool) bool { return !w.twinIDs[id] })
	for _, one := range l.asked {
		w.owed = append(w.owed, one)
	}
	for id := range w.court.model.all {
		w.court.file(id).stops++                                                           // what was asked to stop and not noted is asked again
		if l.unwritable != nil || time.Since(l.wrote) < time.Minute && !l.wrote.IsZero() { // and what was only in memory is lost
			w.court.disturb(id)
		}
	}
	if l.isDead() {
		return l.heir(), nil // how a dead process ends is nobody's concern
	}
	return l.dir, err
}

// simEndpoints are the flows' sockets: folders outlive the process, listeners do not.
type simEndpoints struct {
	world *simWorld
	life  *simLife
}

func (s *simEndpoints) Open(id string) error {
	failed := false
	err := s.do(func() {
		if s.life == s.world.twin {
			s.world.twinIDs[id] = true
		}
		if d := s.world.court.model.all[id]; d != nil {
			failed = s.world.engine.takeLocked("open", d.name) != nil
		}
		if failed {
			return
		}
		if !s.world.folders[id] {
			s.world.made[id]++
			f := s.world.court.file(id)
			f.stops++ // a flow that speaks is restarted, for it has lost its socket
			f.sick = time.Time{}
		}
		s.world.folders[id], s.world.listening[id] = true, true
	})
	if failed {
		return errors.Join(err, api.Errorf(api.SocketError, "no room for a socket"))
	}
	return err
}

func (s *simEndpoints) Listening(id string) bool {
	s.world.engine.mu.Lock()
	defer s.world.engine.mu.Unlock()
	return s.world.listens(id)
}

func (s *simEndpoints) Remove(id string) error {
	return s.do(func() {
		for _, c := range s.world.engine.containers {
			if _, declared := s.life.store.Get(id); declared && c.ID == id && s.world.court.owns(c) {
				s.world.court.violate("the socket folder of %s is removed while its container is there", c.Name)
			}
		}
		delete(s.world.folders, id)
		delete(s.world.listening, id)
	})
}

// Left gives the folders in their order, so that a seed leads to the same life each time.
func (s *simEndpoints) Left() ([]string, error) {
	var left []string
	err := s.do(func() {
		for _, id := range slices.Sorted(maps.Keys(s.world.folders)) {
			if s.world.folders[id] && s.world.twinIDs[id] == (s.life == s.world.twin) {
				left = append(left, id)
			}
		}
	})
	return left, err
}

func (s *simEndpoints) do(effect func()) error {
	s.life.point()
	s.world.engine.mu.Lock()
	defer s.world.engine.mu.Unlock()
	if s.life.isDead() {
		return errEngine
	}
	effect()
	return nil
}

// Heard is a flow that never is silent.
func (s *simEndpoints) Heard(string) (last, ready time.Time) {
	now := time.Now().Add(time.Second)
	return now, now
}

// Connected is of a flow that always is.
func (s *simEndpoints) Connected(string) bool { return true }

// Mount names the folder, which is another one each time that it is made.
func (s *simEndpoints) Mount(id string) string {
	s.world.engine.mu.Lock()
	defer s.world.engine.mu.Unlock()
	return fmt.Sprintf("%s-%d", id, s.world.made[id])
}

func (s *simEndpoints) Dir(id string) string          { return "/run/flows/" + id }
func (s *simEndpoints) Lifecycle(string, string, int) {}

// simLog reads from the controller's log which actions were taken, and why.
type simLog struct{ world *simWorld }

func (s *simLog) Write(line []byte) (int, error) {
	s.world.engine.mu.Lock()
	defer s.world.engine.mu.Unlock()
	if bytes.Contains(line, []byte(`"level":"debug"`)) {
		s.world.court.reached[field(line, "operation")+" "+field(line, "cause")]++
		s.world.court.steps(field(line, "id"))
		if os.Getenv("SIM_STEPS") != "" {
			s.world.court.note("step  %s %s %s", field(line, "name"), field(line, "operation"), field(line, "message"))
		}
	} else if bytes.Contains(line, []byte(`"level":"warn"`)) {
		s.world.court.note("log   %s", string(bytes.TrimSpace(line)))
	}
	return len(line), nil
}

func field(line []byte, key string) string {
	_, rest, ok := bytes.Cut(line, []byte(`"`+key+`":"`))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// uptime is how long the world is there: no clock that jumps changes that.
func (w *simWorld) uptime() time.Duration { return time.Since(w.court.began) }

//go:build sim

package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// simLife is one manager process. Its death is a moment: what was committed by then is copied into the file of the next
// life, and nothing that it does later reaches the engine, the sockets or that file.
type simLife struct {
	world   *simWorld
	dir     string // its own data directory
	heir    string // that of the next
	store   *store.Store
	control *Controller
	left    atomic.Int64 // points until it dies
	writes  atomic.Int64 // transactions
	doomed  atomic.Bool
	once    sync.Once
	dead    chan struct{}
	stop    context.CancelFunc
	ended   chan error
}

// point is a place where SIGKILL may strike: before and after each engine call, at each of the manager's own fail points.
func (l *simLife) point() {
	if l.left.Add(-1) == 0 {
		l.kill()
	}
}

// now is the store's clock: the store's only writer asks it right before each transaction, so that nothing is half written.
func (l *simLife) now() time.Time {
	if l.left.Add(-1) == 0 || l.doomed.Load() {
		l.die()
	}
	if l.writes.Add(1) == simCalls {
		l.world.engine.mu.Lock()
		l.world.court.violate("the manager spins: %d transactions", simCalls)
		l.world.engine.mu.Unlock()
	}
	return time.Now()
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
		l.heir = l.world.newDir()
		data, err := os.ReadFile(filepath.Join(l.dir, "flow-manager.db"))
		if err == nil {
			err = os.WriteFile(filepath.Join(l.heir, "flow-manager.db"), data, 0o600)
		}
		if err != nil {
			l.world.broke(err)
		}
		close(l.dead)
	})
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
	l := &simLife{world: w, dir: dir, dead: make(chan struct{}), ended: make(chan error, 1)}
	l.left.Store(math.MaxInt64)
	var err error
	if l.store, err = store.Open(dir, store.Options{NoSync: true, Now: l.now}); err != nil {
		return fmt.Errorf("open the store of life %d: %w", w.lives, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	w.engine.mu.Lock()
	w.life, w.court.model.life = l, l
	w.court.note("life %d begins", w.lives)
	w.engine.mu.Unlock()
	if err := w.compare(); err != nil {
		w.broke(err)
	}
	l.control = New(Config{Store: l.store, Runtime: &simPort{number: w.lives, engine: w.engine, life: l}, Endpoints: &simEndpoints{w, l},
		Log: zerolog.New(&simLog{w}), Workers: 4, Boot: fmt.Sprint("boot-", w.boots), Fail: func(string) { l.point() }})
	go func() { l.ended <- l.control.Run(ctx) }()
	synctest.Wait()
	return nil
}

// end waits until what a life began has ended, and gives the directory that the next one continues from.
func (w *simWorld) end() (string, error) {
	l := w.life
	l.stop()
	err := <-l.ended
	err = errors.Join(err, l.store.Close())
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	clear(w.listening)
	for id := range w.court.model.all {
		w.court.file(id).stops++ // what was asked to stop and not noted is asked again
	}
	if l.isDead() {
		return l.heir, nil // how a dead process ends is nobody's concern
	}
	return l.dir, err
}

// simEndpoints are the flows' sockets: folders outlive the process, listeners do not.
type simEndpoints struct {
	world *simWorld
	life  *simLife
}

func (s *simEndpoints) Open(id string) error {
	return s.do(func() { s.world.folders[id], s.world.listening[id] = true, true })
}

func (s *simEndpoints) Remove(id string) error {
	return s.do(func() {
		for _, c := range s.world.engine.containers {
			if c.ID == id && s.world.court.owns(c) {
				s.world.court.violate("the socket folder of %s is removed while its container is there", c.Name)
			}
		}
		delete(s.world.folders, id)
		delete(s.world.listening, id)
	})
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

func (s *simEndpoints) Dir(id string) string          { return "/run/flows/" + id }
func (s *simEndpoints) Lifecycle(string, string, int) {}

// simLog reads from the controller's log which actions were taken, and why.
type simLog struct{ world *simWorld }

func (s *simLog) Write(line []byte) (int, error) {
	s.world.engine.mu.Lock()
	defer s.world.engine.mu.Unlock()
	if bytes.Contains(line, []byte(`"level":"debug"`)) {
		s.world.court.reached[field(line, "operation")+" "+field(line, "cause")]++
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

//go:build sim

package controller

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// simTwin are the flows of another manager on the same engine, and the argument of their declaration.
func simTwin() map[string]int { return map[string]int{"twin": 0, "twin-job": 8} }

// bootTwin begins a life of another manager, with a store and flows of its own.
func (w *simWorld) bootTwin(dir string) error {
	l := &simLife{world: w, dir: dir, dead: make(chan struct{}), ended: make(chan error, 1)}
	l.left.Store(math.MaxInt64)
	var err error
	if l.store, err = store.Open(dir, store.Options{NoSync: true, Now: l.now, Mark: filepath.Join(dir, simMark)}); err != nil {
		return fmt.Errorf("open the other manager's store: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	w.engine.mu.Lock()
	w.twin = l
	w.engine.mu.Unlock()
	w.twins++
	l.control = New(Config{Store: l.store, Runtime: &simPort{number: -w.twins, engine: w.engine, life: l}, Endpoints: &simEndpoints{w, l}, Snapshots: newFakeSnapshots(), Policy: codePolicy(),
		Log: zerolog.Nop(), Workers: 4, Now: w.engine.wall, Uptime: w.uptime, Boot: fmt.Sprint("boot-", w.boots)})
	for name, arg := range simTwin() {
		if err := l.declare(name, arg); err != nil {
			return err
		}
	}
	go func() { l.ended <- l.control.Run(ctx) }()
	return nil
}

func (l *simLife) declare(name string, arg int) error {
	_, err := l.store.Declare(context.Background(), store.Declaration{Name: name, Principal: "other", Change: func(next *store.Wish) error { return wish("apply", arg, next) }})
	if errors.Is(err, errRefused) {
		return nil // it is being deleted
	}
	return err
}

func (w *simWorld) endTwin() error {
	l := w.twin
	if l == nil {
		return nil
	}
	l.stop()
	err := errors.Join(<-l.ended, l.store.Close())
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	for id := range w.twinIDs {
		delete(w.listening, id)
	}
	w.twin = nil
	return err
}

// harmTwin is what happens to the other manager or its flows.
func (w *simWorld) harmTwin(arg int) error {
	l := w.twin
	if l == nil {
		return nil
	}
	w.engine.mu.Lock()
	for id := range w.twinIDs {
		w.court.disturb(id)
	}
	w.engine.mu.Unlock()
	name := [2]string{"twin", "twin-job"}[arg>>2&1]
	switch arg & 3 {
	case 0:
		w.engine.hand("exit", name, arg>>3)
	case 1:
		_, err := l.store.Declare(context.Background(), store.Declaration{Name: name, Principal: "other", Intent: store.IntentDeleted, Change: func(next *store.Wish) error {
			if !next.Exists {
				return errRefused
			}
			next.AskDelete(true, false)
			return nil
		}})
		if !errors.Is(err, errRefused) {
			return err
		}
	case 2:
		return l.declare(name, [4]int{0, 1, 8, 9}[arg>>3&3])
	default:
		if err := w.endTwin(); err != nil {
			return err
		}
		return w.bootTwin(l.dir)
	}
	return nil
}

// twinSettled holds that the other manager's flows are as declared.
func (w *simWorld) twinSettled() error {
	if w.twin == nil {
		return nil
	}
	records, _ := w.twin.store.List()
	for _, r := range records {
		c := w.engine.containers[r.Current.DockerID]
		switch {
		case r.Run.Suspected >= 2 && c != nil && !c.alive(): // the engine was lost each time that it alone was being started
		case len(r.Tracks.Trouble()) > 0, r.Status.ObservedGeneration != r.Generation:
			return fmt.Errorf("the other manager's %s: %s", r.Name, api.Encode(r.Status))
		case c == nil:
			return fmt.Errorf("the other manager's %s has no container", r.Name)
		case r.Run.Ended != plan.Completed && c.State != "running":
			return fmt.Errorf("the other manager's %s is %s", r.Name, c.State)
		}
	}
	return nil
}

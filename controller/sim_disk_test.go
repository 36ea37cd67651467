//go:build sim

package controller

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/store"
)

// What may become of the manager's own disk: it is full for a while, a tree of code on it is damaged, or its store is a copy from
// earlier that somebody has put back.

// simAway is what a store's file is called while nothing can be written: a store does not write where its file is not at its place.
const simAway = ".away"

const simMark = "mark"

// fill lets nothing be written for a while.
func (l *simLife) fill(lasts time.Duration) {
	path := filepath.Join(l.dir, simStore)
	if err := os.Rename(path, path+simAway); err != nil {
		return // it is full already
	}
	time.AfterFunc(lasts, l.makeRoom)
}

// makeRoom lets it be written again. A dead one writes nothing more.
func (l *simLife) makeRoom() {
	if l.isDead() {
		return
	}
	path := filepath.Join(l.dir, simStore)
	_ = os.Rename(path+simAway, path) // where nothing was away there is room
}

func (l *simLife) full() bool {
	_, err := os.Stat(filepath.Join(l.dir, simStore+simAway))
	return err == nil
}

// writable is told by the store when commits stop working, and when they work again.
func (l *simLife) writable(err error) {
	e := l.world.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if l.wrote, l.unwritable = now, nil; err != nil {
		l.unwritable = &now
	}
	if !l.isDead() {
		e.court.lost = time.Now()
		e.court.note("the store is written: %v", err == nil)
	}
}

// mute holds that nothing is done that could not be written down, but for a start of what has ended by itself. A step that was begun
// before goes on.
func (c *court) mute(l *simLife, call, name string) {
	if l.unwritable != nil && l.full() && time.Since(*l.unwritable) > simSlack && call != "start" && call != "connect" {
		c.violate("%s: %s is asked for, and nothing can be written down", name, call)
	}
}

// damage spoils the code that a container was given.
func (w *simWorld) damage(name string) {
	r, err := w.life.store.Resolve(name)
	if err != nil || r.Current.Code == "" {
		return
	}
	w.engine.mu.Lock()
	w.court.disturb(r.ID)
	w.court.file(r.ID).failed[""], w.court.file(r.ID).hands = true, time.Now()
	w.engine.mu.Unlock()
	w.code.mu.Lock()
	defer w.code.mu.Unlock()
	w.code.damaged[r.Current.Code] = true
}

// spoiled reports whether code was damaged after it was read.
func (w *simWorld) spoiled(digest string) bool {
	w.code.mu.Lock()
	defer w.code.mu.Unlock()
	return w.code.damaged[digest]
}

// simBackup is a copy of the store, and what clients had been told when it was made.
type simBackup struct {
	file      []byte
	live, all map[string]*simDeclared
}

func (w *simWorld) backUp() {
	var file bytes.Buffer
	if err := w.life.store.Backup(func(int64) io.Writer { return &file }); err != nil || w.life.isDead() {
		return
	}
	b := &simBackup{file: file.Bytes(), live: map[string]*simDeclared{}, all: map[string]*simDeclared{}}
	for id, d := range w.court.model.all {
		copied := *d
		copied.labels, copied.was = maps.Clone(d.labels), maps.Clone(d.was)
		b.all[id] = &copied
		if w.court.model.live[d.name] == d {
			b.live[d.name] = &copied
		}
	}
	w.saved = b
}

// copyBack puts the backup in the store's place behind the manager's back. Nothing is done by it until that is accepted.
func (w *simWorld) copyBack() error {
	b := w.saved
	if b == nil {
		return nil
	}
	w.saved = nil
	left, err := w.end()
	if err != nil {
		return err
	}
	dir := w.newDir()
	mark, err := os.ReadFile(filepath.Join(left, simMark))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, simMark), mark, 0o600), os.WriteFile(filepath.Join(dir, simStore), b.file, 0o600)); err != nil {
		return err
	}
	w.owed = nil
	w.engine.mu.Lock()
	w.court.note("the store is a copy from earlier")
	w.court.goBack(b)
	w.engine.mu.Unlock()
	if err := w.boot(dir); err != nil {
		return err
	}
	if err := w.pass(5 * time.Second); err != nil {
		return err
	}
	if w.life.store.Restored() == "" {
		return nil // nothing had changed since
	}
	if left, err = w.end(); err != nil {
		return err
	}
	accepts := func(yes bool) {
		w.engine.mu.Lock()
		defer w.engine.mu.Unlock()
		w.accept = yes
	}
	accepts(true)
	defer accepts(false)
	if err := w.boot(left); err != nil {
		return err
	}
	for w.life.store.Restored() != "" { // the engine may be away
		if err := w.pass(time.Second); err != nil {
			return err
		}
	}
	return nil
}

// goBack lets what clients were told be what they were told then.
func (c *court) goBack(b *simBackup) {
	c.model.live, c.model.all, c.model.orphan = b.live, b.all, nil
	c.copied = true
	c.told, c.stood = map[string]map[int64]bool{}, map[string]bool{}
	old := c.files
	c.files = map[string]*simFile{}
	for id := range c.model.life.world.twinIDs {
		c.files[id] = old[id]
	}
	for id := range b.all {
		f := c.file(id)
		f.copied = true
		if o := old[id]; o != nil {
			f.ran, f.over, f.run = o.ran, o.over, o.run
		}
		f.stops, f.doubt, f.hands = 3, time.Now().Add(simSlack), time.Now()
		f.failed[""], f.blind = true, true
	}
}

// disown leaves to nobody what a store does not know that is just being accepted.
func (c *court) disown() {
	for _, o := range c.model.life.world.engine.containers {
		c.owns(o)
	}
}

// disowns finds out whose a container is since the store is another one: what it does not know is nobody's until it takes it over.
func (c *court) disowns(o *simContainer) {
	owned := slices.ContainsFunc(c.placements(o.ID), func(p store.Placement) bool { return p.Owns(o.Token, o.DockerID, o.Name) })
	if owned != o.ours {
		o.ours, o.born = owned, o.Container
	}
}

// lostCode reports whether the code that a record asks for is not kept any more: a copy of the store from earlier may ask for some
// that was given up since.
func (w *simWorld) lostCode(r *store.Record) bool {
	w.code.mu.Lock()
	defer w.code.mu.Unlock()
	return r.Spec.Code != nil && slices.ContainsFunc(r.Codes, func(t store.Taken) bool { return !w.code.kept[t.Digest] }) || r.Current.Code != "" && !w.code.kept[r.Current.Code]
}

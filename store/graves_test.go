package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
)

// remembered are the names of what was deleted, the earliest first, as they are in memory; they have to be the same in the file.
func remembered(t *testing.T, s *Store) []string {
	t.Helper()
	names, ids := []string{}, map[string]bool{}
	for _, stone := range s.graves.order {
		names, ids[stone.ID] = append(names, stone.Name), true
		if found, ok := s.Tombstone(stone.ID); !ok || found != stone {
			t.Errorf("%s is not found by its id", stone.Name)
		}
	}
	written := map[string]bool{}
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketTombstones).ForEach(func(id, _ []byte) error { written[string(id)] = true; return nil })
	})
	if diff := cmp.Diff(ids, written); diff != "" || err != nil || len(s.graves.byID) != len(ids) {
		t.Errorf("%d in memory by id; in the file: %v %s", len(s.graves.byID), err, diff)
	}
	return names
}

func bury(t *testing.T, s *Store, name string) {
	t.Helper()
	if err := s.Bury(t.Context(), declare(t, s, Declaration{Name: name, Change: running}).ID); err != nil {
		t.Fatal(err)
	}
}

// Tombstones are bounded, by their number and by their age, in a store that runs and in one that is opened.
func TestStore_Tombstones_Bounded(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	s := open(t, dir, Options{Now: func() time.Time { return now }, MaxTombstones: 3})
	expect := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(append([]string{}, want...), remembered(t, s)); diff != "" {
			t.Error(diff)
		}
	}
	reopen := func(bound int) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, Options{Now: func() time.Time { return now }, MaxTombstones: bound})
	}
	for n := range 5 {
		bury(t, s, fmt.Sprint("web-", n))
		now = now.Add(time.Hour)
	}
	expect("web-2", "web-3", "web-4")
	reopen(3)
	expect("web-2", "web-3", "web-4")
	reopen(2)
	expect("web-3", "web-4")
	now = now.Add(tombstoneLifetime - time.Hour)
	bury(t, s, "late")
	expect("web-4", "late")
	now = now.Add(2 * time.Hour)
	declare(t, s, Declaration{Name: "live", Change: running})
	expect("late")
	now = now.Add(tombstoneLifetime)
	reopen(2)
	expect()
}

// Of those of one commit none goes for the others.
func TestStore_Tombstones_OfOneCommit(t *testing.T) {
	s := open(t, t.TempDir(), Options{MaxTombstones: 2})
	bury(t, s, "old")
	var batch []*op
	for n := range 3 {
		id := declare(t, s, Declaration{Name: fmt.Sprint("web-", n), Change: running}).ID
		batch = append(batch, &op{done: make(chan struct{}), decide: func(tx *txn) (effect, error) {
			r, _ := tx.lookup(id)
			gone := r.ForViewer()
			return effect{drop: tombstone(r, tx.now), gone: &gone}, nil
		}})
	}
	s.closed.Do(func() { close(s.closing) })
	<-s.done // so that this test is who commits
	s.commit(batch)
	if diff := cmp.Diff([]string{"web-0", "web-1", "web-2"}, remembered(t, s)); diff != "" {
		t.Error(diff)
	}
}

// A clock that was set back puts nothing before its turn.
func TestGraves_Add(t *testing.T) {
	g := newGraves(map[string]*Tombstone{})
	now := time.Now()
	for name, age := range map[string]time.Duration{"a": 3, "b": 2, "c": 1, "d": 0} {
		g.add(&Tombstone{ID: name, DeletedAt: now.Add(-age * 15 * 24 * time.Hour)})
	}
	var spent []string
	for _, stone := range g.spent(0, 10, now) {
		spent = append(spent, stone.ID)
	}
	if diff := cmp.Diff([]string{"a"}, spent); diff != "" {
		t.Error(diff)
	}
	if n := len(g.spent(2, 3, now)); n != 3 {
		t.Errorf("%d of 4 go for the two that come, where 3 may be", n)
	}
}

// quickest is what the cheapest of many deletions took.
func quickest(t *testing.T, s *Store) time.Duration {
	t.Helper()
	least := time.Hour
	for n := range 100 {
		id := declare(t, s, Declaration{Name: fmt.Sprint("web-", n), Change: running}).ID
		began := time.Now()
		if err := s.Bury(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	return least
}

// A deletion costs no more where many were before it, even where all of them are remembered.
func TestStore_Bury_CostsTheSame(t *testing.T) {
	const many = 20_000
	crowded := t.TempDir()
	graveyard(t, crowded, many)
	alone := quickest(t, open(t, t.TempDir(), Options{NoSync: true}))
	s := open(t, crowded, Options{NoSync: true, MaxTombstones: 10 * many})
	if n := len(s.graves.order); n != many {
		t.Fatalf("%d tombstones", n)
	}
	if among := quickest(t, s); among > 4*alone {
		t.Errorf("a deletion takes %s, and %s after %d others", alone, among, many)
	}
}

package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// graves are the tombstones, by id and in the order of their deletions, so that those that go are found without a look at those
// that stay.
type graves struct {
	byID  map[string]*Tombstone
	order []*Tombstone // the earliest deletion first
}

func newGraves(byID map[string]*Tombstone) graves {
	order := slices.SortedFunc(maps.Values(byID), func(a, b *Tombstone) int {
		return cmp.Or(a.DeletedAt.Compare(b.DeletedAt), cmp.Compare(a.ID, b.ID))
	})
	return graves{byID, order}
}

// add takes in a new one. It is the latest, unless the clock was set back.
func (g *graves) add(t *Tombstone) {
	at := len(g.order)
	for at > 0 && g.order[at-1].DeletedAt.After(t.DeletedAt) {
		at--
	}
	g.order = slices.Insert(g.order, at, t)
	g.byID[t.ID] = t
}

// spent are the first ones that go when so many come: those past their time, and those above the bound.
func (g *graves) spent(come, bound int, now time.Time) []*Tombstone {
	n := min(max(0, len(g.order)+come-bound), len(g.order))
	for n < len(g.order) && now.Sub(g.order[n].DeletedAt) > tombstoneLifetime {
		n++
	}
	return g.order[:n]
}

// drop forgets the first n.
func (g *graves) drop(n int) {
	for _, t := range g.order[:n] {
		delete(g.byID, t.ID)
	}
	clear(g.order[:n])
	g.order = g.order[n:]
}

func eraseTombstones(tx *bolt.Tx, gone []*Tombstone) error {
	b := tx.Bucket(bucketTombstones)
	for _, t := range gone {
		if err := b.Delete([]byte(t.ID)); err != nil {
			return fmt.Errorf("forget a deletion: %w", err)
		}
	}
	return nil
}

// trimGraves drops what a file has of tombstones past their time or above the bound. Where it cannot be written they stay: the
// next commit drops them.
func (s *Store) trimGraves() {
	spent := s.graves.spent(0, s.options.MaxTombstones, s.options.Now())
	if len(spent) == 0 {
		return
	}
	if err := s.db.Update(func(tx *bolt.Tx) error { return eraseTombstones(tx, spent) }); err == nil {
		s.graves.drop(len(spent))
	}
}

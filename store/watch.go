package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// ChangeType is what happened to a container.
type ChangeType string

// The change types.
const (
	Added    ChangeType = "added"
	Modified ChangeType = "modified"
	Deleted  ChangeType = "deleted"
)

// Change is one committed transaction on one container: what kind, whether the declaration changed, and the durable events.
type Change struct {
	Revision uint64      `json:"-"`
	At       time.Time   `json:"at"`
	ID       string      `json:"id"`
	Type     ChangeType  `json:"type"`
	Spec     bool        `json:"spec,omitempty"`
	Events   []api.Event `json:"events,omitempty"`
	// FormerLabels are those before a change of the labels, nil where they stayed as they were.
	FormerLabels map[string]string `json:"former_labels,omitzero"`
	// Gone is the container that a deletion took, as viewers see it: its secrets do not outlive it.
	Gone *api.Container `json:"gone,omitempty"`
	// Prev is the revision of the container's change before, 0 where there is none or an older version of the manager wrote this.
	Prev uint64 `json:"prev,omitempty"`
	// Told counts the events up to and with this change's. A change of an older version of the manager has none.
	Told Tally `json:"told,omitempty"`
	// Record is how the container stood right after; nil for a deletion and for a change that was read from the file.
	Record *Record `json:"-"`
	// Flow is a change that is only about what a flow said. It may be missing from the log earlier than others.
	Flow bool `json:"flow,omitempty"` // the last: see flowMark
}

const (
	maxRecentBytes = 8 << 20 // of what they hold
	maxRecent      = 1024    // changes kept in memory
	pageSize       = 512     // changes that Next returns at most
	pageBytes      = 1 << 20 // of the file that it reads for them, or one change
)

// Watch reads changes in order, each once, at its reader's own pace: a slow reader holds up nobody and loses nothing until
// it falls behind the file's retention.
type Watch struct {
	store *Store
	after uint64
}

// Watch begins after the given revision.
func (s *Store) Watch(after uint64) *Watch { return &Watch{store: s, after: after} }

// Next waits for changes and returns at least one. It ends with ErrExpired (list again), ErrClosed, or ctx's error.
func (w *Watch) Next(ctx context.Context) ([]Change, error) {
	for {
		changes, grown, err := w.ready()
		if err != nil {
			return nil, err
		}
		if len(changes) > 0 {
			w.after = changes[len(changes)-1].Revision
			return changes, nil
		}
		select {
		case <-grown:
		case <-w.store.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("watch: %w", ctx.Err())
		}
	}
}

func (w *Watch) ready() ([]Change, <-chan struct{}, error) {
	s := w.store
	s.mu.RLock()
	grown, revision := s.grown, s.revision
	if w.after >= revision {
		s.mu.RUnlock()
		if w.after > revision {
			return nil, nil, fmt.Errorf("revision %d has not happened: %w", w.after, ErrExpired)
		}
		return nil, grown, nil
	}
	missing := int(revision - w.after)
	if missing <= len(s.recent) {
		from := len(s.recent) - missing
		to := min(from+pageSize, len(s.recent))
		changes := s.recent[from:to:to] // what is there is written once
		s.mu.RUnlock()
		return changes, grown, nil
	}
	s.mu.RUnlock()
	changes, err := s.readLog(w.after, revision, pageSize)
	return changes, grown, err
}

// readLog gives what follows without a gap, but for what flows said; where something cannot be read, that is one. What is in the file
// behind the newest revision that is shown is not committed for anybody yet. It gives most changes at the most.
func (s *Store) readLog(after, newest uint64, most int) ([]Change, error) {
	var changes []Change
	size := 0
	err := s.read(func(tx *bolt.Tx) error {
		if !follows(tx, after) {
			return nil
		}
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := c.Seek(revisionKey(after + 1)); k != nil && len(changes) < most && size < pageBytes; k, v = c.Next() {
			size += len(v)
			var change Change
			revision, ok := revisionOf(k)
			if !ok || revision > newest || json.Unmarshal(v, &change) != nil {
				return nil
			}
			change.Revision = revision
			changes = append(changes, change)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("after revision %d: %w", after, ErrExpired)
	}
	return changes, nil
}

// follows tells whether the log goes on behind a revision.
func follows(tx *bolt.Tx, after uint64) bool {
	k, _ := tx.Bucket(bucketLog).Cursor().First()
	first, ok := revisionOf(k)
	return ok && first <= after+1
}

// remember keeps the newest changes in memory.
func (s *Store) remember(changes []Change) {
	s.recent = append(s.recent, changes...)
	for i := range changes {
		s.recentBytes += changes[i].size()
	}
	drop := 0
	if len(s.recent) > 2*maxRecent {
		drop = len(s.recent) - maxRecent
	}
	for size, i := s.recentBytes, 0; size > maxRecentBytes && i < len(s.recent)-1; i++ {
		size -= s.recent[i].size()
		drop = max(drop, i+1)
	}
	if drop == 0 {
		return
	}
	for i := range drop {
		s.recentBytes -= s.recent[i].size()
	}
	s.recent = append([]Change(nil), s.recent[drop:]...)
}

// size is about how much memory a change takes. What records share is counted for each: the least that is kept is too little.
func (c *Change) size() int {
	n := 0
	for i := range c.Events {
		n += len(c.Events[i].Data)
	}
	if c.Gone != nil {
		n += weight(&c.Gone.Spec)
	}
	if c.Record != nil {
		n += weight(&c.Record.Spec)
	}
	return n
}

// weight is about how many bytes those parts of a spec take that may be long.
func weight(s *api.Spec) int {
	n := 0
	for _, values := range []map[string]string{s.Environment, s.Volumes} {
		for key, value := range values {
			n += len(key) + len(value)
		}
	}
	for _, word := range slices.Concat(s.Command, s.Entrypoint) {
		n += len(word)
	}
	return n
}

func (tx *txn) outlived(value []byte) bool {
	var c Change
	return json.Unmarshal(value, &c) != nil || tx.now.Sub(c.At) > tx.options.Retention
}

package store

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// Store is the open file and its mirror in memory. All methods may be called at once.
type Store struct {
	db       *bolt.DB
	file     fs.FileInfo // what db was opened as
	options  Options
	instance string
	epoch    string
	// quarantine does not change.
	quarantine quarantine
	ops        chan *op
	closing    chan struct{}
	closed     sync.Once
	done       chan struct{}
	trial      <-chan time.Time // of run alone: when to try whether the store can be written again
	unmapping  <-chan time.Time // of run alone: when to let go of the file's pages
	ruined     error            // of run alone: why nothing is written any more
	keys       ledger           // of run alone
	mark       *os.File         // of run alone: nil where there is none
	// engineEvent is when the newest event of the engine was that was seen, in unix nanoseconds; 0: never.
	engineEvent  atomic.Int64
	writtenEvent int64  // of run alone: what the file says
	logged       logged // of run alone

	// mu guards the mirror. Only the goroutine of run writes it, so that one may read without.
	mu          sync.RWMutex
	engine      string
	restored    string
	clock       steady
	strangers   []string // create tokens of containers that a restored store did not know, and ids of discarded records
	revision    uint64
	told        Tally
	records     map[string]*Record
	names       map[string]string
	graves      graves
	recent      []Change
	recentBytes int
	grown       chan struct{} // closed and replaced when revision grows
	broken      error         // of the newest commit
}

// Close waits for what is being committed and closes the file. Watches end with ErrClosed.
func (s *Store) Close() error {
	s.closed.Do(func() { close(s.closing) })
	<-s.done
	if s.ruined != nil {
		return fmt.Errorf("close the store: %w", s.ruined) // what bbolt holds locked is let go with the process
	}
	if s.mark != nil {
		_ = s.mark.Close() // what it says was written
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// Instance names this store for ever; containers bear it as a label.
func (s *Store) Instance() string { return s.instance }

// Revision is that of the newest change.
func (s *Store) Revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// Err is why the newest commit did not work, nil where it did.
func (s *Store) Err() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.broken
}

// Engine is the id of the engine that this store's containers live in, empty before the first was seen.
func (s *Store) Engine() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine
}

// EngineEvent is when the newest event of the engine was that was seen, by the engine's clock: as far as the file knows it, which
// is up to the newest commit. Zero: never.
func (s *Store) EngineEvent() time.Time {
	seen := s.engineEvent.Load()
	if seen == 0 {
		return time.Time{}
	}
	return time.Unix(0, seen)
}

// NoteEngineEvent has the next commit note when an event of the engine was seen. It writes nothing by itself.
func (s *Store) NoteEngineEvent(at time.Time) { s.engineEvent.Store(at.UnixNano()) }

// Restored is when the store was restored from a backup that was not accepted yet; "" where nothing waits to be accepted.
func (s *Store) Restored() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.restored
}

// MarkRestored has the store be treated as one that was restored, from its next start on with a new epoch: what is in the engine
// says that its file was copied back.
func (s *Store) MarkRestored(ctx context.Context) error {
	return s.do(ctx, func(tx *txn) (effect, error) { return effect{restored: tx.now.Format(time.RFC3339)}, nil })
}

// Get finds a live container's record by id.
func (s *Store) Get(id string) (*Record, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.records[id]
	return r, ok
}

// List gives all records, by name, and the revision they are of.
func (s *Store) List() ([]*Record, uint64) {
	s.mu.RLock()
	records := make([]*Record, 0, len(s.records))
	for _, r := range s.records {
		records = append(records, r)
	}
	revision := s.revision
	s.mu.RUnlock()
	sort.Slice(records, func(i, j int) bool { return records[i].Name < records[j].Name })
	return records, revision
}

// Tombstone finds what is left of a deleted container.
func (s *Store) Tombstone(id string) (*Tombstone, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, ok := s.graves.byID[id]
	return t, ok
}

// Resolve finds the container that a client means by its id, its name, its Docker id, or the beginning of that. The error
// is an *api.Error.
func (s *Store) Resolve(ref string) (*Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.resolve(ref, s)
}

// view is the mirror, or the mirror under what a transaction has already changed.
type view interface {
	lookup(id string) (*Record, bool)
	byName(name string) (*Record, bool)
}

func (s *Store) lookup(id string) (*Record, bool) {
	r, ok := s.records[id]
	return r, ok
}

func (s *Store) byName(name string) (*Record, bool) { return s.lookup(s.names[name]) }

func (s *Store) resolve(ref string, v view) (*Record, error) {
	if ref == "" {
		return nil, api.Invalid(api.FieldError{Field: "container_id", Message: "is required: the container's id, name or Docker id"})
	}
	if r, ok := v.lookup(ref); ok {
		return r, nil
	}
	if r, ok := v.byName(ref); ok {
		return r, nil
	}
	if api.IsDockerID(ref) {
		return s.resolveDockerID(ref, v)
	}
	return nil, s.notFound(ref)
}

func (s *Store) resolveDockerID(prefix string, v view) (*Record, error) {
	var hits []*Record
	for id := range s.records {
		if r, ok := v.lookup(id); ok && strings.HasPrefix(r.Status.DockerID, prefix) {
			hits = append(hits, r)
		}
	}
	switch len(hits) {
	case 0:
		return nil, s.notFound(prefix)
	case 1:
		return hits[0], nil
	}
	names := make([]string, len(hits))
	for i, r := range hits {
		names[i] = r.Name
	}
	sort.Strings(names)
	return nil, api.Errorf(api.ConflictError, "%q is the beginning of several Docker ids; use one of these names: %s", prefix, strings.Join(names, ", ")).With("candidates", names)
}

func (s *Store) notFound(ref string) error {
	if f := s.quarantine.find(ref); f != nil {
		return f.refusal()
	}
	if t, ok := s.graves.byID[ref]; ok {
		return api.Errorf(api.ContainerNotFound, "container %s (%s) was deleted at %s by %s", t.Name, t.ID, t.DeletedAt.Format("2006-01-02T15:04:05Z07:00"), t.DeletedBy).
			With("deleted_at", t.DeletedAt).With("deleted_by", t.DeletedBy).For("", "", t.ID)
	}
	ref = fmt.Sprintf("%.100s", ref) // longer than any id or name, but not as long as a request may be
	return api.Errorf(api.ContainerNotFound, "there is no container %q; list_containers names all", ref).With("container_id", ref)
}

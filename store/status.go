package store

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Observe lets edit change the status and tracking of a container's record, and commits that with the durable events that
// edit returns. A status_changed is added where a watcher would want one. Nothing is written where edit changes nothing and
// returns no events. edit may be called more than once. Without a record it returns ErrNotFound.
func (s *Store) Observe(ctx context.Context, id string, edit func(r *Record) []api.Event) (*Record, error) {
	var result *Record
	err := s.do(ctx, func(tx *txn) (effect, error) {
		current, ok := tx.lookup(id)
		if !ok {
			return effect{}, ErrNotFound
		}
		next := *current
		events := edit(&next)
		if len(events) == 0 && bytes.Equal(api.Encode(current.observation()), api.Encode(next.observation())) {
			result = current
			return effect{}, nil
		}
		result = &next
		return effect{record: &next, status: true, events: append(statusEvents(current, &next), events...)}, nil
	})
	return result, err
}

// NoteFlow commits durable events about what a container's flow said. They are kept for less long than others where there is much of
// it. Without a record it returns ErrNotFound.
func (s *Store) NoteFlow(ctx context.Context, id string, events []api.Event) error {
	return s.do(ctx, func(tx *txn) (effect, error) {
		current, ok := tx.lookup(id)
		if !ok {
			return effect{}, ErrNotFound
		}
		next := *current
		return effect{record: &next, status: true, events: events, flow: true}, nil
	})
}

// Bury drops a container's record and leaves its tombstone.
func (s *Store) Bury(ctx context.Context, id string, events ...api.Event) error {
	return s.do(ctx, func(tx *txn) (effect, error) {
		r, ok := tx.lookup(id)
		if !ok {
			return effect{}, ErrNotFound
		}
		gone := r.ForViewer()
		return effect{drop: tombstone(r, tx.now), gone: &gone, events: events}, nil
	})
}

// tombstone names only what can still be recognised: a placement whose container was never made owns nothing.
func tombstone(r *Record, now time.Time) *Tombstone {
	return &Tombstone{ID: r.ID, Name: r.Name, Labels: r.Labels, Placements: r.AllPlacements(), DeletedAt: now, DeletedBy: r.DeletedBy}
}

// SetEngine remembers the engine that this store's containers live in.
func (s *Store) SetEngine(ctx context.Context, id string) error {
	return s.do(ctx, func(*txn) (effect, error) { return effect{engine: id}, nil })
}

// Clock is under which boot of the host the controller's clock was begun, and what it would have shown at that boot; "" where
// none is noted.
func (s *Store) Clock() (boot string, zero time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clock.boot, s.clock.zero
}

// SetClock notes that.
func (s *Store) SetClock(ctx context.Context, boot string, zero time.Time) error {
	return s.do(ctx, func(*txn) (effect, error) { return effect{clock: &steady{boot, zero.UTC()}}, nil })
}

// steady is a clock that runs evenly.
type steady struct {
	boot string
	zero time.Time
}

// String is the form in the file.
func (c steady) String() string { return c.boot + " " + c.zero.Format(time.RFC3339Nano) }

// readSteady is the inverse of String; what cannot be read is not known.
func readSteady(text string) steady {
	boot, at, _ := strings.Cut(text, " ")
	zero, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return steady{}
	}
	return steady{boot, zero}
}

// AcceptRestore lets what a restored store declares be acted upon. strangers are create tokens of containers that it has made and
// does not know: they are remembered as such.
func (s *Store) AcceptRestore(ctx context.Context, strangers []string) error {
	return s.do(ctx, func(tx *txn) (effect, error) {
		return effect{accept: true, strangers: append(slices.Clone(tx.strangers), strangers...)}, nil
	})
}

// IsStranger reports whether a create token is of a container that a store which was restored had made and did not know, or an id
// is of a container whose damaged record was discarded.
func (s *Store) IsStranger(of string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Contains(s.strangers, of)
}

// statusEvents tells watchers of what they can see: another state, health, outcome or reason.
func statusEvents(old, next *Record) []api.Event {
	if visible(&old.Status) == visible(&next.Status) {
		return nil
	}
	cause := api.CauseDeclaration
	if next.Status.LastAction != nil {
		cause = next.Status.LastAction.Cause
	}
	return []api.Event{api.StatusChange{
		ContainerID: next.ID, Name: next.Name, OldState: old.Status.State, NewState: next.Status.State, Health: next.Status.Health,
		Reason: reason(&next.Status), Cause: cause, Generation: next.Generation,
		ObservedGeneration: next.Status.ObservedGeneration, RestartCount: next.Status.RestartCount,
	}.Event()}
}

type visibleStatus struct {
	state, health, reason string
	observed              int64
	restarts              int
}

func visible(s *api.Status) visibleStatus {
	return visibleStatus{s.State, s.Health, reason(s), s.ObservedGeneration, s.RestartCount}
}

// reason is what matters most about a status: what is wrong, else what is going on, else why it is ready or not.
func reason(s *api.Status) string {
	for _, t := range []string{api.Degraded, api.Progressing} {
		if c := s.Condition(t); c.Status == api.True {
			return c.Reason
		}
	}
	return s.Condition(api.Ready).Reason
}

package store

import (
	"maps"

	"github.com/flow-manager/flow-manager/api"
)

// Tally is how many events of each name the store has told. It does not change.
type Tally map[string]int64

// plus is t and these events, n times each.
func (t Tally) plus(events []api.Event, n int64) Tally {
	if len(events) == 0 {
		return t
	}
	sum := maps.Clone(t)
	if sum == nil {
		sum = Tally{}
	}
	for _, e := range events {
		sum[e.Name] += n
	}
	return sum
}

// Tally is that of the newest revision.
func (s *Store) Tally() (uint64, Tally) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision, s.told
}

// TallyAt is that of an earlier revision, as long as what followed it is kept; nil where it is not known.
func (s *Store) TallyAt(revision uint64) Tally {
	s.mu.RLock()
	newest, told := s.revision, s.told
	s.mu.RUnlock()
	if revision >= newest {
		return told
	}
	next, err := s.readLog(revision, newest, 1)
	if err != nil || next[0].Told == nil {
		return nil
	}
	return next[0].Told.plus(next[0].Events, -1)
}

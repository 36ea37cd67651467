package store

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// Version is the resource version of a revision.
func (s *Store) Version(revision uint64) string { return version(s.epoch, revision) }

func version(epoch string, revision uint64) string {
	return epoch + "-" + strconv.FormatUint(revision, 10)
}

// withinMark stands between a revision and how many of its events are meant, in the resource version of one that is not the last.
const withinMark = "."

// VersionOf is the resource version of the nth of all the events that a change is told as, counted from 1. That of the last one
// is the change's own.
func (s *Store) VersionOf(revision uint64, n, all int) string {
	if n == all {
		return s.Version(revision)
	}
	return s.VersionAt(Position{revision - 1, n})
}

// Position is a place between two events: behind all changes up to After, and behind the first Within events of the next one.
type Position struct {
	After  uint64
	Within int
}

// VersionAt is the resource version that leads to a position.
func (s *Store) VersionAt(p Position) string {
	if p.Within > 0 {
		return s.Version(p.After+1) + withinMark + strconv.Itoa(p.Within)
	}
	return s.Version(p.After)
}

// Position is the place behind what has a resource version. It is ErrExpired where what follows is not kept any more or has not
// happened, and where the version is of another epoch, as from before a restore; an *api.Error where this store never gave it.
func (s *Store) Position(resourceVersion string) (Position, error) {
	epoch, number, _ := strings.Cut(resourceVersion, "-")
	if epoch != s.epoch {
		return Position{}, fmt.Errorf("resource version %.100q is of another store or time: %w", resourceVersion, ErrExpired)
	}
	number, within, partly := strings.Cut(number, withinMark)
	revision, err := strconv.ParseUint(number, 10, 64)
	if !partly && err == nil && number == strconv.FormatUint(revision, 10) {
		return Position{After: revision}, s.kept(revision)
	}
	n, wrong := strconv.Atoi(within)
	p := Position{revision - 1, n}
	if err != nil || wrong != nil || revision == 0 || n < 1 || s.VersionAt(p) != resourceVersion {
		return Position{}, neverGiven(resourceVersion)
	}
	change, err := s.readLog(p.After, min(revision, s.Revision()), 1)
	if err == nil && n > len(change[0].Events) {
		err = neverGiven(resourceVersion)
	}
	return p, err
}

// PositionSince is the place before the first change that is kept of those at or after a time; where there is none, behind the
// newest. Clocks may be set back: what came later by the clock only may be before it.
func (s *Store) PositionSince(at time.Time) (Position, error) {
	p := Position{After: s.Revision()}
	err := s.read(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		k, _ := c.First()
		first, ok := revisionOf(k)
		if !ok || first > p.After {
			return nil
		}
		n := sort.Search(int(p.After-first+1), func(i int) bool {
			var change Change
			_, v := c.Seek(revisionKey(first + uint64(i)))
			return json.Unmarshal(v, &change) == nil && !change.At.Before(at)
		})
		p.After = first + uint64(n) - 1
		return nil
	})
	return p, err
}

func neverGiven(resourceVersion string) error {
	return api.Invalid(api.FieldError{Field: "resource_version", Message: fmt.Sprintf("%.100q is none that this server gives; take one from an event or a list, whole and unchanged, or leave it out", resourceVersion)})
}

// kept tells whether what follows a revision can be watched.
func (s *Store) kept(after uint64) error {
	s.mu.RLock()
	revision, oldest := s.revision, s.revision-uint64(len(s.recent))
	s.mu.RUnlock()
	switch {
	case after > revision:
		return fmt.Errorf("revision %d has not happened: %w", after, ErrExpired)
	case after >= oldest:
		return nil
	}
	return s.read(func(tx *bolt.Tx) error {
		if !follows(tx, after) {
			return fmt.Errorf("after revision %d: %w", after, ErrExpired)
		}
		return nil
	})
}

package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

const (
	// probePace is how often a store that could not be written tries whether it can be again.
	probePace = 2 * time.Second
	// probeRoom is what such a trial writes: as much as the largest declaration takes. What it leaves in the file is free for
	// what is committed next.
	probeRoom = api.MaxSpecBytes + 64<<10
)

// bucketRoom is only there during a trial.
var bucketRoom = []byte("room")

// update runs f in a transaction. Where bbolt has panicked nobody knows what it holds locked: nothing is written any more.
func (s *Store) update(f func(tx *bolt.Tx) error) error {
	if s.ruined != nil {
		return s.ruined
	}
	err := guarded(func() error { return s.db.Update(f) })
	if errors.Is(err, errPanicked) {
		s.ruined = err
	}
	return err
}

// read is update for what only looks.
func (s *Store) read(f func(tx *bolt.Tx) error) error {
	return guarded(func() error { return s.db.View(f) })
}

// reached tells whether a commit that did not work is in the file all the same: its last sync failed, and nobody can say
// whether what it wrote stays.
func (s *Store) reached(revision uint64) bool {
	if s.ruined != nil {
		return false
	}
	found := false
	err := s.read(func(tx *bolt.Tx) error {
		found = string(tx.Bucket(bucketMeta).Get([]byte("revision"))) == strconv.FormatUint(revision, 10)
		return nil
	})
	return err == nil && found
}

// stands refuses to write where the file is not at its place any more: what is written then is lost with the process.
func (s *Store) stands() error {
	standing, err := os.Stat(s.db.Path())
	if err == nil && !os.SameFile(standing, s.file) {
		err = fmt.Errorf("another file stands in the place of %s", s.db.Path())
	}
	if err != nil {
		return fmt.Errorf("the file was taken away: %w", err)
	}
	return nil
}

// judge notes whether commits work, and sees to it that a trial follows where they do not.
func (s *Store) judge(err error) {
	s.mu.Lock()
	was := s.broken
	s.broken = err
	s.mu.Unlock()
	switch {
	case err == nil:
		s.trial = nil
	case s.trial == nil:
		s.trial = time.After(probePace)
	}
	if (was == nil) != (err == nil) {
		s.options.Writable(err)
	}
}

// probe tries whether there is room again; nobody may be about to write anything.
func (s *Store) probe() {
	s.trial = nil
	err := s.update(func(tx *bolt.Tx) error {
		if err := s.stands(); err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists(bucketRoom)
		if err != nil {
			return err
		}
		return b.Put(bucketRoom, make([]byte, probeRoom))
	})
	if err == nil {
		err = s.update(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketRoom) })
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNotWritable, err)
	}
	s.judge(err)
}

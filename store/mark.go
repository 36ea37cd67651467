package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A file that somebody has copied back is the same store, at an earlier time: it has the instance and the epoch of the one that
// it took the place of. A mark beside the sockets, which is no part of a copy, says how far the store had come on this host.

// mark is how far a store has come.
type mark struct {
	instance, epoch string
	revision        uint64
}

// String has one length for one store, so that a mark can be written over the one before.
func (m mark) String() string { return fmt.Sprintf("%s %s %020d\n", m.instance, m.epoch, m.revision) }

// readMark is the mark that is there; one that cannot be read says nothing.
func readMark(path string) (m mark) {
	f, err := os.Open(path)
	if err != nil {
		return mark{}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return mark{}
	}
	if _, err := fmt.Sscanf(string(text), "%s %s %d", &m.instance, &m.epoch, &m.revision); err != nil {
		return mark{}
	}
	return m
}

// overtaken reports whether the store had come further than the file says.
func (s *Store) overtaken(m mark) bool {
	return m.instance == s.instance && m.epoch == s.epoch && m.revision > s.revision
}

// beginMark judges the file by the mark, and goes on writing that. Without a place for it there is none: the mark is a help, and
// no reason not to start.
func (s *Store) beginMark() error {
	path := s.options.Mark
	if path == "" {
		return nil
	}
	if s.overtaken(readMark(path)) {
		if err := s.copiedBack(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil
	}
	s.mark = f
	s.writeMark()
	return nil
}

// copiedBack has the store be treated as a restored one: a new epoch, and nothing is done by it until that is accepted.
func (s *Store) copiedBack() error {
	now := s.options.Now().UTC().Format(time.RFC3339)
	epoch := newEpoch()
	err := s.update(func(tx *bolt.Tx) error {
		return putAll(tx.Bucket(bucketMeta), map[string]string{"epoch": epoch, "restored": now})
	})
	if err != nil {
		return fmt.Errorf("note that the file was copied back: %w", err)
	}
	s.restored = now
	return s.readAll()
}

// writeMark notes how far the store has come. The folder is memory on most hosts, and no sync is waited for.
func (s *Store) writeMark() {
	if s.mark == nil {
		return
	}
	_, _ = s.mark.WriteAt([]byte(mark{s.instance, s.epoch, s.revision}.String()), 0) // what is not written is not known at the next start
}

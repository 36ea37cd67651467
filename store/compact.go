package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

const (
	// compactFrom is the size in bytes below which a file stays as it is.
	compactFrom = 1 << 20
	// compactBatch is how many bytes of records are copied at once.
	compactBatch = 4 << 20
)

// compactName is that of a copy that takes the place of the file at path. Only who has that file locked makes one, so that what
// stands there after a start was left by a process that died.
func compactName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".compact")
}

// shrink puts a smaller copy in the place of a file of which more than half is free, and tells how large that was; 0 where it
// stays. The one that stood is in use until it is closed, and stays where the copy cannot be made.
func (s *Store) shrink(path string) (int64, error) {
	_ = os.Remove(compactName(path)) // where one is left that cannot be removed, whoever makes the next one is told
	size, err := s.wasteful(path)
	if err != nil || size == 0 {
		return 0, err
	}
	err = s.compact(path)
	switch {
	case err == nil:
		return size, nil
	case errors.Is(err, errPanicked), s.stands() != nil: // the copy may stand there, and nobody knows whether it stays
		return 0, fmt.Errorf("make the file smaller: %w", err)
	}
	s.options.Compacted(size, size, err)
	return 0, nil
}

// wasteful is the size of a file of which more than half is free; else 0. One that is elsewhere, behind a link, stays.
func (s *Store) wasteful(path string) (int64, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() < compactFrom {
		return 0, err
	}
	stats, used := s.db.Stats(), int64(0)
	err = s.read(func(tx *bolt.Tx) error {
		used = tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize)
		return nil
	})
	if err != nil || used > info.Size()/2 {
		return 0, err
	}
	return info.Size(), nil
}

// compact puts a copy that has no free pages in the place of the open file, with the same mode and owner.
func (s *Store) compact(path string) error {
	f, err := os.OpenFile(compactName(path), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a file beside %s: %w", path, err)
	}
	err = complete(f, path, true, func(f *os.File) error {
		return guarded(func() error { return errors.Join(s.copyRecords(f), s.likeOld(f), s.stands()) })
	})
	s.options.Fail("compact-done")
	return err
}

// copyRecords makes f a store with what is in the open one.
func (s *Store) copyRecords(f *os.File) error {
	to, err := bolt.Open(f.Name(), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoSync: true}) // all is synced at the end
	if err != nil {
		return fmt.Errorf("open %s: %w", f.Name(), err)
	}
	to.AllocSize = growth
	s.options.Fail("compact-begun")
	if err := errors.Join(bolt.Compact(to, s.db, compactBatch), to.Close()); err != nil {
		return fmt.Errorf("copy the records: %w", err)
	}
	s.options.Fail("compact-copied")
	return verify(f)
}

// likeOld gives f the mode and the owner of the file in whose place it comes.
func (s *Store) likeOld(f *os.File) error {
	if owner, ok := s.file.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("give the copy to the store's owner: %w", err)
		}
	}
	return f.Chmod(s.file.Mode().Perm())
}

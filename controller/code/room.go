package code

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/flow-manager/flow-manager/api"
)

// block is the least that an entry takes of a disk.
const block = 4096

// room is how many bytes all copies take: the snapshots, those set aside, and what is being copied.
type room struct {
	measuring sync.Mutex
	measured  bool // guarded by measuring

	// of is what stands, by its path in the snapshots' folder, and taken that and what is being copied. Snapshots.mu guards both.
	of    map[string]int64
	taken int64
}

// takes is what an entry counts for, in whole blocks.
func takes(kind kind, size int64) int64 {
	if !kind.isFile() {
		return block
	}
	return max(1, (size+block-1)/block) * block
}

// reserve takes room for an entry that is about to be copied.
func (s *Snapshots) reserve(e entry) (int64, error) {
	n := takes(e.kind, e.stamp.size)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room.taken+n > s.limits.Total {
		return 0, api.Errorf(api.SystemError, "the manager's copies of code may take %d bytes in all (--max-code-bytes), and this one does not fit beside them: "+
			"leave out what the flow does not need, delete containers whose code is not needed any more, or raise the limit", s.limits.Total)
	}
	s.room.taken += n
	return n, nil
}

// giveBack is for what was reserved and did not become a snapshot.
func (s *Snapshots) giveBack(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room.taken -= n
}

// leaveLocked is for what stands no more, or not there.
func (r *room) leaveLocked(path string) int64 {
	n := r.of[path]
	delete(r.of, path)
	r.taken -= n
	return n
}

func (r *room) standLocked(path string, n int64) {
	r.of[path] = n
	r.taken += n
}

// measure finds out, once, what was there before.
func (s *Snapshots) measure(ctx context.Context) error {
	s.room.measuring.Lock()
	defer s.room.measuring.Unlock()
	if s.room.measured {
		return nil
	}
	paths, err := s.standing()
	if err != nil {
		return unwritable(err)
	}
	for _, path := range paths {
		n, err := size(ctx, s.in(path))
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("measure the snapshots: %w", ctx.Err())
		case err != nil:
			return unwritable(fmt.Errorf("measure the snapshots: %w", err))
		}
		s.mu.Lock()
		if _, err := os.Lstat(s.in(path)); err == nil { // it was not removed meanwhile
			s.room.standLocked(path, n)
		}
		s.mu.Unlock()
	}
	s.room.measured = true
	return nil
}

// standing are the paths of all snapshots, those that were set aside with them.
func (s *Snapshots) standing() ([]string, error) {
	var paths []string
	for _, folder := range []string{"", damagedFolder} {
		entries, err := os.ReadDir(s.in(folder))
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		for _, e := range entries {
			if isDigest(digestIn(e.Name())) {
				paths = append(paths, filepath.Join(folder, e.Name()))
			}
		}
	}
	return paths, nil
}

// size counts as reserve does. What is removed meanwhile counts for nothing.
func size(ctx context.Context, path string) (n int64, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			n += takes(kindFolder, 0)
			return nil
		}
		info, err := d.Info()
		if err == nil {
			n += takes(kindFile, info.Size())
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return n, err
}

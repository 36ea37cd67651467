package code

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Folders beside the snapshots.
const (
	linksFolder   = "links"
	partialFolder = "partial"
	removedFolder = "removed"
	damagedFolder = "damaged"
)

const dirMode = 0o700

// Snapshots are the snapshots in one folder, and the links to them.
type Snapshots struct {
	dir    string
	limits Limits

	// mu makes one of what looks at names in dir and then changes them, and guards held.
	mu   sync.Mutex
	held map[string]int
	room room
}

// Open makes dir where it is absent, and removes what a process that died had half made or half removed.
func Open(ctx context.Context, dir string, limits Limits) (*Snapshots, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the snapshots' folder: %w", err)
	}
	s := &Snapshots{dir: dir, limits: limits.withDefaults(), held: map[string]int{}, room: room{of: map[string]int64{}}}
	for _, name := range []string{"", linksFolder, partialFolder, removedFolder, damagedFolder} {
		if err := makeFolder(s.in(name)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(syncFile(s.dir), syncFile(filepath.Dir(s.dir))); err != nil {
		return nil, err
	}
	for _, name := range []string{partialFolder, removedFolder} {
		if err := empty(ctx, s.in(name)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// makeFolder makes a folder with its mode, whatever the umask is and whatever it was before.
func makeFolder(path string) error {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return fmt.Errorf("make the snapshots' folder: %w", err)
	}
	if err := os.Chmod(path, dirMode); err != nil {
		return fmt.Errorf("set the mode of the snapshots' folder: %w", err)
	}
	return nil
}

// empty removes all that is in a folder.
func empty(ctx context.Context, path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("list leftovers: %w", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("remove leftovers: %w", err)
		}
		if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
			return fmt.Errorf("remove leftovers: %w", err)
		}
	}
	return nil
}

func (s *Snapshots) in(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// fresh is a path in one of the folders that nothing has.
func (s *Snapshots) fresh(folder string) string { return s.in(folder, rand.Text()) }

// hold keeps Collect from the snapshot of digest until release, which may be called again.
func (s *Snapshots) hold(digest string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[digest]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held[digest]--; s.held[digest] == 0 {
			delete(s.held, digest)
		}
	})
}

// syncFile makes what a file or folder holds durable.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open to sync: %w", err)
	}
	err = file.Sync()
	if err != nil {
		err = fmt.Errorf("sync: %w", err)
	}
	return errors.Join(err, file.Close())
}

// stands looks for the snapshot of digest; nil means that it is not there.
func (s *Snapshots) stands(digest string) (fs.FileInfo, error) {
	info, err := os.Lstat(s.in(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the snapshot: %w", err)
	}
	return info, nil
}

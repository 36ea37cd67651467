package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const (
	// lockTimeout is how long a file may be in use by another process that is about to end.
	lockTimeout = time.Second
	lockPace    = 20 * time.Millisecond
	// mapSize is how much of the address space a file is mapped to from the beginning: while it fits, no commit has to wait for
	// a backup that is being read in order to map the file anew. It costs no memory.
	mapSize = 1 << 30
	// growth is by how much a file grows at a time; each time costs a sync of its own.
	growth = 256 << 10
)

// lock opens a file that exists and locks it, for itself alone or together with other readers. bbolt's own lock on the same
// open file is then had at once.
func lock(path string, flag int, exclusive bool) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // to open a FIFO would wait for whoever writes to it
		return nil, errNotRegular
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockPace) {
		f, err := os.OpenFile(path, flag&^os.O_CREATE, 0)
		if err != nil {
			return nil, err
		}
		had, err := claim(f, path, exclusive)
		if had {
			return f, nil
		}
		_ = f.Close() // nothing was written to it
		switch {
		case err != nil:
			return nil, fmt.Errorf("lock %s: %w", path, err)
		case time.Now().After(deadline):
			return nil, ErrInUse
		}
	}
}

// claim locks f, if nobody else has it and it still is what stands at path: a restore may have put another file there since
// f was opened, and f aside.
func claim(f *os.File, path string, exclusive bool) (bool, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil && standsAt(f, path), err
}

func standsAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	standing, gone := os.Stat(path)
	return err == nil && gone == nil && os.SameFile(opened, standing)
}

// mode is how a file is opened.
type mode struct{ readOnly, noSync bool }

// openBolt opens a file that exists, once it was looked over.
func openBolt(path string, m mode) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoSync: m.noSync, ReadOnly: m.readOnly, InitialMmapSize: mapSize,
		OpenFile: func(path string, flag int, _ os.FileMode) (*os.File, error) {
			f, err := lock(path, flag, !m.readOnly)
			if err != nil {
				return nil, err
			}
			if err := verify(f); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		},
	})
	switch {
	case err == nil:
		db.AllocSize = growth
		return db, nil
	case errors.Is(err, ErrInUse), errors.Is(err, ErrDamaged), errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotRegular):
		return nil, err
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, fmt.Errorf("open: %w", err)
}

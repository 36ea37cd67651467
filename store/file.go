package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// writeFile makes a file that is there whole or not at all, on disk before it bears its name. fill is given an empty one
// beside it. Where path exists and replace is not set, the error is fs.ErrExist.
func writeFile(path string, replace bool, fill func(f *os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("make a file beside %s: %w", path, err)
	}
	return complete(f, path, replace, fill)
}

// complete has f filled and gives it the name path once it is on disk. Where that does not work f is taken away.
func complete(f *os.File, path string, replace bool, fill func(f *os.File) error) error {
	err := errors.Join(fill(f), f.Sync(), f.Close())
	if err == nil {
		err = place(f.Name(), path, replace)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// place gives a file its name.
func place(temporary, path string, replace bool) error {
	if replace {
		return os.Rename(temporary, path)
	}
	err := unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not every filesystem can do it
		if _, gone := os.Lstat(path); errors.Is(gone, fs.ErrNotExist) {
			return os.Rename(temporary, path)
		}
		err = unix.EEXIST
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// syncDir makes the names of a folder's files durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// copyTo writes a file as it stands between two commits.
func copyTo(db *bolt.DB, f *os.File) error {
	return db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
}

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrExists means that a backup would take another file's place.
var ErrExists = errors.New("the file exists")

// Backup writes the store as it stands between two commits to what begin gives, which is told how many bytes come. Commits
// go on meanwhile, and what they free cannot be used again before this has ended: begin's writer must not take for ever.
func (s *Store) Backup(begin func(size int64) io.Writer) error {
	return guarded(func() error { return s.db.View(func(tx *bolt.Tx) error { return send(tx, begin(tx.Size())) }) })
}

// BackupStopped is Backup for the store in dir while nobody has it open, else ErrInUse.
func BackupStopped(dir string, w io.Writer) error {
	path := Path(dir)
	if err := look(path, func(tx *bolt.Tx) error { return send(tx, w) }); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func send(tx *bolt.Tx, w io.Writer) error {
	if _, err := tx.WriteTo(w); err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	return nil
}

// Save makes a file of what fill writes, once it is on disk and has been checked. An existing one is ErrExists, or replaced
// unless it is in use.
func Save(path string, replace bool, fill func(w io.Writer) error) (Report, error) {
	if err := mayWrite(path, replace); err != nil {
		return Report{}, fmt.Errorf("%s: %w", path, err)
	}
	var r Report
	err := writeFile(path, replace, func(f *os.File) error {
		if err := fill(f); err != nil {
			return err
		}
		var err error
		r, err = Check(f.Name())
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s: %w", path, ErrExists)
	}
	r.Path = path
	return r, err
}

// mayWrite spares the work where the file cannot be put there, and a store whose manager runs.
func mayWrite(path string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !replace:
		return ErrExists
	case !info.Mode().IsRegular():
		return errNotRegular
	}
	f, err := lock(path, os.O_RDONLY, true)
	if err != nil {
		return err
	}
	return f.Close()
}

// Restore puts a copy of file, which has to be a store that can be opened, in the place of the one in dir, which nobody may
// have open. The copy begins a new epoch, and waits to be accepted before anything is done by it. What stood before is kept
// beside it, under the name that is returned; "" where there was none.
func Restore(dir, file string, o Options) (r Report, kept string, err error) {
	o = o.withDefaults()
	path, now := Path(dir), o.Now().UTC()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return r, "", fmt.Errorf("make the data directory: %w", err)
	}
	if sameFile(file, path) {
		return r, "", fmt.Errorf("%s is the store itself: %w", file, ErrExists)
	}
	current, err := lock(path, os.O_RDONLY, true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return r, "", fmt.Errorf("%s: %w", path, err)
	default:
		defer current.Close() // ends the lock
		kept = path + ".before-restore-" + now.Format("20060102T150405.000Z")
	}
	if r, err = Check(file); err == nil {
		err = replaceBy(file, path, kept, now, o.Fail)
	}
	return r, kept, err
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, gone := os.Stat(b)
	return err == nil && gone == nil && os.SameFile(one, other)
}

// replaceBy gives the store that stands a second name before a copy of file takes its first one: there is a store at each moment.
func replaceBy(file, path, kept string, now time.Time, fail func(string)) error {
	err := writeFile(path, kept != "", func(f *os.File) error {
		if err := copyStamped(file, f, now); err != nil {
			return err
		}
		fail("restore-copied")
		if kept == "" {
			return nil
		}
		if err := os.Link(path, kept); err != nil {
			return fmt.Errorf("keep the store that stands: %w", err)
		}
		fail("restore-kept")
		return nil
	})
	fail("restore-done")
	return err
}

// copyStamped makes f, in the store's folder, a copy of file that knows that it is one. Who restores as root does not take the
// store away from the manager's own user.
func copyStamped(file string, f *os.File, now time.Time) error {
	folder, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	if owner, ok := folder.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("give the store to its owner: %w", err)
		}
	}
	if err := look(file, func(tx *bolt.Tx) error { return send(tx, f) }); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return change(f.Name(), func(tx *bolt.Tx) error {
		return putAll(tx.Bucket(bucketMeta), map[string]string{"epoch": newEpoch(), "restored": now.Format(time.RFC3339)})
	})
}

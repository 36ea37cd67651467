package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk is a folder on a filesystem of its own, of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small filesystem")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk leaves no room in dir.
func fillDisk(t *testing.T, dir string) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	f, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	return filler
}

// What is written to a file that was taken away is gone with the process, so nobody is told that it was declared.
func TestStore_WhoseFileWasTakenAway(t *testing.T) { synctest.Test(t, takenAway) }

func takenAway(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	declare(t, s, Declaration{Name: "web", Change: running})
	path := s.db.Path()
	for name, replaced := range map[string]bool{"gone": false, "another": true} {
		aside := filepath.Join(dir, name)
		if err := os.Rename(path, aside); err != nil {
			t.Fatal(err)
		}
		if replaced {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Declare(t.Context(), Declaration{Name: "web", Change: image(name)}); !errors.Is(err, ErrNotWritable) {
			t.Errorf("%s: %v", name, err)
		}
		time.Sleep(2 * probePace)
		if s.Err() == nil {
			t.Errorf("%s: it counts as writable", name)
		}
		if err := os.Rename(aside, path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * probePace)
		if s.Err() != nil {
			t.Errorf("%s, and back: %v", name, s.Err())
		}
		declare(t, s, Declaration{Name: "web", Change: image(name)})
	}
}

func TestStore_OnAFullDisk(t *testing.T) { synctest.Test(t, onAFullDisk) }

func onAFullDisk(t *testing.T) {
	disk := smallDisk(t, 2<<20)
	told := make(chan error, 100)
	dir := filepath.Join(disk, "data")
	s := open(t, dir, Options{Writable: func(err error) { told <- err }})
	declare(t, s, Declaration{Name: "web", Change: running})
	filler := fillDisk(t, disk)
	refused := error(nil)
	for i := 0; refused == nil && i < 1000; i++ { // what is free within the file is used up first
		_, refused = s.Declare(t.Context(), Declaration{Name: "web", Change: image(fmt.Sprint(i, strings.Repeat("x", 2000)))})
	}
	if !errors.Is(refused, ErrNotWritable) || !errors.Is(s.Err(), unix.ENOSPC) || !errors.Is(<-told, ErrNotWritable) {
		t.Fatalf("refused: %v; store: %v", refused, s.Err())
	}
	before, err := s.Resolve("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, Options{Writable: func(err error) { told <- err }}) // a manager that starts on a full disk
	if after, err := s.Resolve("web"); err != nil || after.Generation != before.Generation {
		t.Fatalf("it has lost what was declared: %v, %v", after, err)
	}
	if _, err := s.Declare(t.Context(), Declaration{Name: "big", Change: image(strings.Repeat("x", 30_000))}); !errors.Is(err, ErrNotWritable) {
		t.Errorf("declared on a full disk: %v", err)
	}
	if err := <-told; err == nil {
		t.Error("told that it can be written")
	}
	time.Sleep(2 * probePace) // in this bubble's time; each trial is in vain
	if s.Err() == nil {
		t.Error("writable on a full disk")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		if err != nil || s.Err() != nil {
			t.Errorf("with room again: %v, %v", err, s.Err())
		}
	case <-time.After(10 * probePace):
		t.Fatal("it does not find out that there is room again")
	}
	if s.Revision() != before.Revision {
		t.Errorf("a trial was given revision %d", s.Revision())
	}
	declare(t, s, Declaration{Name: "big", Change: image(strings.Repeat("x", 30_000))})
}

// A last sync that fails leaves open whether what it was for stays in the file. It is there now: that is what everybody is
// shown and what the next commit builds upon, though whoever asked is told that it failed.
func TestStore_ShowsWhatIsInTheFileThoughItsSyncFailed(t *testing.T) {
	dir := t.TempDir()
	s := newStore(Options{}.withDefaults())
	if err := s.load(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	d := Declaration{Name: "two", Change: running}
	doubtful := &op{done: make(chan struct{}), decide: func(tx *txn) (effect, error) {
		_, e, err := tx.declare(&d)
		return e, err
	}}
	tx, err := s.decideAll([]*op{doubtful})
	if err != nil {
		t.Fatal(err)
	}
	s.conclude([]*op{doubtful}, tx, unix.EIO)
	if !errors.Is(doubtful.err, ErrNotWritable) || !errors.Is(s.Err(), unix.EIO) {
		t.Errorf("told %v, store %v", doubtful.err, s.Err())
	}
	go s.run()
	declare(t, s, Declaration{Name: "three", Change: running})
	shown, revision := s.List()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if there, now := s.List(); fmt.Sprint(recordNames(there)) != fmt.Sprint(recordNames(shown)) || now != revision || revision != 2 {
		t.Errorf("shown %v of %d, in the file %v of %d", recordNames(shown), revision, recordNames(there), now)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// dump is all that a closed file holds, by bucket and key.
func dump(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := look(path, func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			all[string(name)] = ""
			return b.ForEach(func(k, v []byte) error { all[spot(string(name), string(k))] = string(v); return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wasteland is a store's folder whose file has records of every kind and so many free bytes.
func wasteland(t *testing.T, dir string, free int) (path string) {
	t.Helper()
	s := open(t, dir, Options{})
	for n := range 20 {
		declare(t, s, Declaration{Name: fmt.Sprint("web-", n), Principal: "me", Key: fmt.Sprintf("key-%020d", n), BodyHash: "1", Change: running})
	}
	declare(t, s, Declaration{Name: "web-1", Change: image("example/app:2")})
	for n := range 5 {
		bury(t, s, fmt.Sprint("gone-", n))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path = Path(dir)
	for _, f := range []func(tx *bolt.Tx) error{
		func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket(bucketRoom)
			return errors.Join(err, b.Put(bucketRoom, make([]byte, free)))
		},
		func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketRoom) },
	} {
		if err := change(path, f); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// compaction is what Open said of it.
type compaction struct {
	from, to int64
	err      error
}

func compactions(into *[]compaction) Options {
	return Options{Compacted: func(from, to int64, err error) { *into = append(*into, compaction{from, to, err}) }}
}

// A file that is free for the most part is made smaller once, and is the same store in every respect.
func TestOpen_MakesTheFileSmaller(t *testing.T) {
	dir := t.TempDir()
	path := wasteland(t, dir, 4<<20)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, records := stat(t, path), dump(t, path)
	var told []compaction
	s := open(t, dir, compactions(&told))
	after := stat(t, path)
	if after.Size() > 1<<20 || after.Mode() != before.Mode() {
		t.Errorf("%d bytes and %s, then %d and %s", before.Size(), before.Mode(), after.Size(), after.Mode())
	}
	if len(told) != 1 || told[0] != (compaction{before.Size(), after.Size(), nil}) {
		t.Errorf("told: %v", told)
	}
	if n := len(s.keys["me"]); n != 20 {
		t.Errorf("%d idempotency keys count, of 20", n)
	}
	if again := declare(t, s, Declaration{Name: "web-3", Principal: "me", Key: fmt.Sprintf("key-%020d", 3), BodyHash: "1", Change: image("b")}); again.Generation != 1 {
		t.Errorf("a repeated request: %+v", again)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(records, dump(t, path)); diff != "" {
		t.Error(diff)
	}
	s = open(t, dir, compactions(&told))
	if len(told) != 1 || !os.SameFile(after, stat(t, path)) {
		t.Error("it was made smaller again")
	}
	declare(t, s, Declaration{Name: "more", Change: running})
	if _, err := os.Lstat(compactName(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy is there: %v", err)
	}
}

// A file stays as it is where it is small, or in use for more than half, or not there itself.
func TestOpen_LeavesTheFile(t *testing.T) {
	large := func(t *testing.T, dir string) { // and free for a third
		graveyard(t, dir, 8000)
		path := Path(dir)
		size := int(stat(t, path).Size())
		for _, f := range []func(tx *bolt.Tx) error{
			func(tx *bolt.Tx) error {
				b, err := tx.CreateBucket(bucketRoom)
				return errors.Join(err, b.Put(bucketRoom, make([]byte, size/2)))
			},
			func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketRoom) },
		} {
			if err := change(path, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"small":  func(t *testing.T, dir string) { wasteland(t, dir, 300<<10) },
		"in use": large,
		"a link": func(t *testing.T, dir string) {
			aside := filepath.Join(t.TempDir(), "aside")
			path := wasteland(t, dir, 4<<20)
			if err := errors.Join(os.Rename(path, aside), os.Symlink(aside, path)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir)
			before := stat(t, Path(dir))
			var told []compaction
			open(t, dir, compactions(&told))
			if after := stat(t, Path(dir)); !os.SameFile(before, after) || len(told) > 0 {
				t.Errorf("%d bytes, then %d; told %v", before.Size(), after.Size(), told)
			}
		})
	}
}

// Deletions beyond the bound, as a file of before has them, are dropped and their room given back by one start.
func TestOpen_ManyDeletions(t *testing.T) {
	dir := t.TempDir()
	graveyard(t, dir, 10_000)
	before := stat(t, Path(dir)).Size()
	s := open(t, dir, Options{MaxTombstones: 100})
	if names := remembered(t, s); len(names) != 100 || names[0] != "flow-9900" || names[99] != "flow-9999" {
		t.Errorf("%d are remembered, %s to %s", len(names), names[0], names[len(names)-1])
	}
	if after := stat(t, Path(dir)).Size(); after > before/4 {
		t.Errorf("%d bytes, then %d", before, after)
	}
	bury(t, s, "another")
	if names := remembered(t, s); len(names) != 100 || names[99] != "another" {
		t.Errorf("%d are remembered", len(names))
	}
}

// Wherever it dies, the store is there with all that it held, and the next start makes it smaller and leaves nothing lying about.
func TestOpen_DiesWhileItMakesTheFileSmaller(t *testing.T) {
	for point, replaced := range map[string]bool{"compact-begun": false, "compact-copied": false, "compact-done": true} {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			path := wasteland(t, dir, 4<<20)
			before, records := stat(t, path), dump(t, path)
			killed(t, "open", dir, point)
			_, err := os.Lstat(compactName(path))
			if left := err == nil; left == replaced || os.SameFile(before, stat(t, path)) == replaced {
				t.Errorf("a copy is left: %v, the file was replaced: %v", left, !os.SameFile(before, stat(t, path)))
			}
			if diff := cmp.Diff(records, dump(t, path)); diff != "" {
				t.Error(diff)
			}
			if out, err := child(t, "open", dir, ""); err != nil {
				t.Fatal(err, out)
			}
			if diff := cmp.Diff(records, dump(t, path)); diff != "" || stat(t, path).Size() > 1<<20 {
				t.Errorf("after the next start: %d bytes %s", stat(t, path).Size(), diff)
			}
			if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
				t.Errorf("in the folder: %v, %v", names, err)
			}
		})
	}
}

// Half a copy, as a host leaves it whose power went, is taken away even where the file needs none.
func TestOpen_RemovesAHalfCopy(t *testing.T) {
	dir := t.TempDir()
	path := wasteland(t, dir, 0)
	if err := os.WriteFile(compactName(path), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
	if _, err := os.Lstat(compactName(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

// A store that cannot be made smaller is as good as before.
func TestOpen_CannotMakeTheFileSmaller(t *testing.T) {
	obstruct := func(t *testing.T, dir string) (clear func() error) {
		folder := compactName(Path(dir))
		if err := os.MkdirAll(filepath.Join(folder, "something"), 0o700); err != nil {
			t.Fatal(err)
		}
		return func() error { return os.RemoveAll(folder) }
	}
	full := func(t *testing.T, dir string) (clear func() error) {
		filler := fillDisk(t, dir)
		return func() error { return os.Remove(filler) }
	}
	for name, test := range map[string]struct {
		dir     func(t *testing.T) string
		prevent func(t *testing.T, dir string) (clear func() error)
		want    error
	}{
		"something in the way": {func(t *testing.T) string { return t.TempDir() }, obstruct, fs.ErrExist},
		"a full disk":          {func(t *testing.T) string { return smallDisk(t, 8<<20) }, full, unix.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			dir := test.dir(t)
			path := wasteland(t, dir, 4<<20)
			before := stat(t, path)
			clear := test.prevent(t, dir)
			var told []compaction
			s := open(t, dir, compactions(&told))
			if len(told) != 1 || !errors.Is(told[0].err, test.want) || !os.SameFile(before, stat(t, path)) {
				t.Errorf("told %v", told)
			}
			declare(t, s, Declaration{Name: "more", Change: running})
			if err := errors.Join(s.Close(), clear()); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, compactions(&told))
			if len(told) != 2 || told[1].err != nil || stat(t, path).Size() > 1<<20 {
				t.Errorf("told %v", told)
			}
			if _, err := s.Resolve("more"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who waits for the file meanwhile gets the one that is there afterwards.
func TestOpen_WaitsForTheSmallerFile(t *testing.T) {
	dir := t.TempDir()
	path := wasteland(t, dir, 4<<20)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	waits := make(chan error, 1)
	s := open(t, dir, Options{Fail: func(point string) {
		if point == "compact-begun" {
			go func() { waits <- await(ctx, path) }()
		}
	}})
	declare(t, s, Declaration{Name: "more", Change: running})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waits:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("it was not made smaller, or nobody was let in")
	}
}

// await checks the file once nobody has it, and says what is wrong with it.
func await(ctx context.Context, path string) error {
	for ctx.Err() == nil {
		r, err := Check(path)
		if errors.Is(err, ErrInUse) {
			continue
		}
		if err != nil || len(r.Problems) > 0 || r.Size > 1<<20 {
			return fmt.Errorf("%+v: %w", r, err)
		}
		return nil
	}
	return ctx.Err()
}

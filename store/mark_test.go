package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A file that was copied back is noticed by the mark, which is no part of the copy, and gets an epoch of its own.
func TestStore_AFileThatWasCopiedBack(t *testing.T) {
	dir, o := t.TempDir(), Options{NoSync: true, Mark: filepath.Join(t.TempDir(), "run", "store.mark")}
	open := func() *Store {
		t.Helper()
		s, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closed := func(s *Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open()
	declare(t, s, Declaration{Name: "web", Change: image("a")})
	epoch := s.epoch
	closed(s)
	copied, err := os.ReadFile(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	s = open()
	if s.Restored() != "" || s.epoch != epoch {
		t.Errorf("an ordinary start: restored %q", s.Restored())
	}
	declare(t, s, Declaration{Name: "web", Change: image("b")})
	closed(s)
	if err := os.WriteFile(Path(dir), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = open()
		if s.Restored() == "" || s.epoch == epoch {
			t.Errorf("restored %q, epoch as before: %v", s.Restored(), s.epoch == epoch)
		}
		if r, _ := s.Resolve("web"); r.Spec.Image != "a" {
			t.Errorf("it declares %s", r.Spec.Image)
		}
		closed(s)
	}
}

func TestStore_AMarkThatCannotBeReadOrWrittenIsNoReasonNotToStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.mark")
	for _, text := range []string{"", "x", "\x00\xff", "a b c", "a b -1"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.TempDir(), Options{NoSync: true, Mark: path})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if s.Restored() != "" {
			t.Errorf("%q: restored", text)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.TempDir(), Options{NoSync: true, Mark: filepath.Join(path, "no folder")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

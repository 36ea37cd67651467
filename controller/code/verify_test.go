package code

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// damages are what may become of a snapshot.
func damages() map[string]func(at string) error {
	return map[string]func(at string) error{
		"bit flipped":     func(at string) error { return os.WriteFile(at+"/a.txt", []byte("fIrst"), 0) },
		"byte added":      func(at string) error { return os.WriteFile(at+"/z", []byte("x"), 0) },
		"cut off":         func(at string) error { return os.Truncate(at+"/a.txt", 4) },
		"file removed":    func(at string) error { return os.Remove(at + "/z") },
		"file added":      func(at string) error { return os.WriteFile(at+"/y", nil, 0o644) },
		"folder removed":  func(at string) error { return os.Remove(at + "/empty") },
		"folder added":    func(at string) error { return os.Mkdir(at+"/y", 0o755) },
		"renamed":         func(at string) error { return os.Rename(at+"/z", at+"/y") },
		"moved":           func(at string) error { return os.Rename(at+"/z", at+"/lib/z") },
		"link led astray": func(at string) error { return errors.Join(os.Remove(at+"/lib/up"), os.Symlink("../..", at+"/lib/up")) },
		"link for a file": func(at string) error { return errors.Join(os.Remove(at+"/z"), os.Symlink("a.txt", at+"/z")) },
		"file for a folder": func(at string) error {
			return errors.Join(os.Remove(at+"/empty"), os.WriteFile(at+"/empty", nil, 0o644))
		},
		"FIFO for a file":   func(at string) error { return errors.Join(os.Remove(at+"/z"), unix.Mkfifo(at+"/z", 0o644)) },
		"not executable":    func(at string) error { return os.Chmod(at+"/bin/run", 0o644) },
		"executable":        func(at string) error { return os.Chmod(at+"/z", 0o755) },
		"unreadable file":   func(at string) error { return os.Chmod(at+"/z", 0o600) },
		"unreadable folder": func(at string) error { return os.Chmod(at+"/lib", 0o700) },
		"unreadable":        func(at string) error { return os.Chmod(at, 0o700) },
		"setuid":            func(at string) error { return os.Chmod(at+"/bin/run", 0o755|os.ModeSetuid) },
		"all but the name":  func(at string) error { return errors.Join(os.RemoveAll(at), os.Mkdir(at, 0o755)) },
		"a file":            func(at string) error { return errors.Join(os.RemoveAll(at), os.WriteFile(at, nil, 0o644)) },
		"a link":            func(at string) error { return errors.Join(os.Rename(at, at+"-moved"), os.Symlink(at+"-moved", at)) },
	}
}

// Whatever became of a snapshot, Verify sees it, Take mends it, and what stood there stays until nobody uses the digest.
func TestSnapshots_Verify(t *testing.T) {
	for name, do := range damages() {
		t.Run("ErrDamaged/"+name, func(t *testing.T) {
			s, root := fresh(t, Limits{}), grow(t, sample())
			digest := take(t, s, root)
			must(t, s.Verify(t.Context(), digest))
			must(t, s.Link(flow, digest))
			must(t, do(s.in(digest)))
			err := s.Verify(t.Context(), digest)
			if e, ok := errors.AsType[*api.Error](err); !ok || !errors.Is(err, ErrDamaged) || e.Type != api.SystemError {
				t.Fatalf("got %v, want it damaged", err)
			}
			broken, err := os.Lstat(s.in(digest))
			must(t, err)
			if again := take(t, s, root); again != digest {
				t.Errorf("digest %s, then %s", digest, again)
			}
			must(t, s.Verify(t.Context(), digest))
			aside := list(t, s.in(damagedFolder))
			if len(aside) != 1 {
				t.Fatalf("set aside: %q", aside)
			}
			if info, err := os.Lstat(s.in(damagedFolder, aside[0])); err != nil || !os.SameFile(info, broken) {
				t.Errorf("what was damaged is gone: %v", err)
			}
			collect(t, s)
			if left := list(t, s.in(damagedFolder)); !slices.Equal(left, aside) {
				t.Errorf("collected though it may be in use; left: %q", left)
			}
			must(t, s.Unlink(flow))
			collect(t, s)
			if left := list(t, s.in(damagedFolder)); len(left) > 0 {
				t.Errorf("still set aside: %q", left)
			}
		})
	}
	t.Run("ErrDamaged/AnyBit", func(t *testing.T) {
		s, small := fresh(t, Limits{}), tree{"f": file("abc"), "x": program("de")}
		digest := take(t, s, grow(t, small))
		for p, x := range small {
			for bit := range len(x.text) * 8 {
				damage(t, s.in(digest, p), bit)
				if err := s.Verify(t.Context(), digest); !errors.Is(err, ErrDamaged) {
					t.Errorf("bit %d of %s flipped: %v", bit, p, err)
				}
				damage(t, s.in(digest, p), bit)
			}
		}
		must(t, s.Verify(t.Context(), digest))
	})
	t.Run("ErrDamaged/OneUnderAnothersName", func(t *testing.T) {
		s := fresh(t, Limits{})
		one, two := take(t, s, grow(t, sample())), take(t, s, grow(t, tree{}))
		must(t, unix.Renameat2(unix.AT_FDCWD, s.in(one), unix.AT_FDCWD, s.in(two), unix.RENAME_EXCHANGE))
		for _, digest := range []string{one, two} {
			if err := s.Verify(t.Context(), digest); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", digest, err)
			}
		}
	})
	t.Run("ErrCancelled", func(t *testing.T) {
		s := fresh(t, Limits{})
		digest := take(t, s, grow(t, sample()))
		for n := 1; ; n++ {
			ctx, cancel := context.WithCancel(t.Context())
			h := &hook{Context: ctx, at: n, act: cancel}
			err := s.Verify(h, digest)
			cancel()
			if err == nil && n > 10 {
				return
			}
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
				t.Fatalf("cancelled at look %d: %v", n, err)
			}
		}
	})
}

func TestIsDamage(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {unreadable("a", unix.EMFILE), false}, {context.Canceled, false},
		{unreadable("a", unix.EIO), true}, {unreadable("a", unix.EUCLEAN), true}, {unreadable("a", unix.EBADMSG), true},
		{unreadable("a", unix.EACCES), true}, {changed("a"), true}, {refused("a", "x"), true}, {fmt.Errorf("x: %w", ErrDamaged), true},
	} {
		if got := isDamage(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

// Two that mend the same snapshot at once, at any two moments, do not set each other's aside.
func TestSnapshots_Take_MendedMeanwhile(t *testing.T) {
	root := grow(t, sample())
	for n := 1; ; n++ {
		s := fresh(t, Limits{})
		digest := take(t, s, root)
		must(t, os.Remove(filepath.Join(s.in(digest), "z")))
		h := &hook{Context: t.Context(), at: n, act: func() { take(t, s, root) }}
		_, release, err := s.Take(h, root)
		must(t, err)
		release()
		must(t, s.Verify(t.Context(), digest))
		if aside := list(t, s.in(damagedFolder)); len(aside) != 1 {
			t.Errorf("mended at look %d, set aside: %q", n, aside)
		}
		if h.looks < n {
			return
		}
	}
}

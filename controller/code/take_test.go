package code

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

func TestSnapshots_Take(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		s := fresh(t, Limits{})
		digest := take(t, s, grow(t, sample()))
		if want := sample().digest(); digest != want {
			t.Errorf("digest %s, want %s", digest, want)
		}
		if diff := cmp.Diff(sample(), read(t, s.in(digest)), cmp.AllowUnexported(thing{})); diff != "" {
			t.Errorf("the snapshot is another tree (-want +got):\n%s", diff)
		}
		must(t, s.Verify(t.Context(), digest))
	})
	t.Run("OK/EmptyTree", func(t *testing.T) {
		s := fresh(t, Limits{})
		if digest := take(t, s, grow(t, tree{})); digest != (tree{}).digest() {
			t.Errorf("digest %s", digest)
		}
	})
	// What a digest is of must not change by accident: records keep digests.
	t.Run("OK/Golden", func(t *testing.T) {
		const want = "f70b8d6065f0b3bdeefce30cf51c67c1455c4274a9c71ac219454c5902a1c3fd"
		if digest := take(t, fresh(t, Limits{}), grow(t, sample())); digest != want {
			t.Errorf("digest %s, want %s", digest, want)
		}
	})
	t.Run("OK/Again", func(t *testing.T) {
		s := fresh(t, Limits{})
		first := take(t, s, grow(t, sample()))
		before, err := os.Stat(s.in(first))
		must(t, err)
		if again := take(t, s, grow(t, sample())); again != first {
			t.Errorf("digest %s, then %s", first, again)
		}
		after, err := os.Stat(s.in(first))
		must(t, err)
		if !os.SameFile(before, after) || len(digests(t, s)) != 1 {
			t.Errorf("the snapshot was made anew; there are %q", digests(t, s))
		}
	})
	t.Run("OK/ManyEntriesInAFolder", func(t *testing.T) {
		many := tree{}
		for i := range listBatch*2 + 1 {
			many[fmt.Sprintf("%06d", i*7919%1000003)] = file("")
		}
		if digest := take(t, fresh(t, Limits{}), grow(t, many)); digest != many.digest() {
			t.Errorf("digest %s, want %s", digest, many.digest())
		}
	})
	t.Run("OK/LargeFile", func(t *testing.T) {
		large := tree{"large": file(strings.Repeat("0123456789abcdef", 40_000))}
		if digest := take(t, fresh(t, Limits{}), grow(t, large)); digest != large.digest() {
			t.Errorf("digest %s, want %s", digest, large.digest())
		}
	})
}

// Whatever a tree has beside names, kinds and contents is neither copied nor part of the digest.
func TestSnapshots_Take_Normalises(t *testing.T) {
	root := grow(t, sample())
	at := func(p string) string { return filepath.Join(root, p) }
	must(t, os.Chmod(at("a.txt"), 0o604))
	must(t, os.Chmod(at("z"), 0o077)) // only the owner's bit counts
	must(t, os.Chmod(at("bin/run"), 0o700|fs.ModeSetuid|fs.ModeSetgid))
	must(t, os.Chmod(at("empty"), 0o700|fs.ModeSticky|fs.ModeSetgid))
	must(t, os.Chtimes(at("a.txt"), time.Time{}, time.Unix(1e9, 0)))
	must(t, os.Remove(at("lib/deep/b.txt")))
	must(t, os.WriteFile(at("lib/deep/b.txt"), []byte("second"), 0o444))
	if err := unix.Setxattr(at("a.txt"), "user.note", []byte("x"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		must(t, os.Lchown(at("a.txt"), 12345, 54321))
		must(t, os.Lchown(at("bin/self"), 12345, 54321))
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	s := fresh(t, Limits{})
	digest := take(t, s, root)
	if digest != sample().digest() {
		t.Errorf("digest %s, want %s", digest, sample().digest())
	}
	for p, x := range sample().with("", dir()) {
		var st unix.Stat_t
		must(t, unix.Lstat(s.in(digest, p), &st))
		if st.Mode != x.kind.mode() || int(st.Uid) != os.Getuid() || int(st.Gid) != os.Getgid() {
			t.Errorf("%q has mode %o and owner %d:%d", p, st.Mode, st.Uid, st.Gid)
		}
		size, err := unix.Llistxattr(s.in(digest, p), nil)
		if err != nil || size != 0 {
			t.Errorf("%q has %d bytes of extended attributes, %v", p, size, err)
		}
	}
	for _, p := range []string{"", linksFolder, partialFolder, removedFolder, damagedFolder} {
		info, err := os.Lstat(s.in(p))
		must(t, err)
		if info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%q has mode %v", p, info.Mode())
		}
	}
}

// What stands there is closed to others, whoever made it and how.
func TestOpen_ClosesItsFolders(t *testing.T) {
	s := fresh(t, Limits{})
	folders := []string{"", linksFolder, partialFolder, removedFolder, damagedFolder}
	for _, name := range folders {
		must(t, os.Chmod(s.in(name), 0o777|fs.ModeSetgid))
	}
	open(t, s.dir, Limits{})
	for _, name := range folders {
		info, err := os.Lstat(s.in(name))
		must(t, err)
		if info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%q has mode %v", name, info.Mode())
		}
	}
}

func TestSnapshots_Take_HardLinksAndHoles(t *testing.T) {
	root := grow(t, tree{"one": file("same")})
	must(t, os.Link(filepath.Join(root, "one"), filepath.Join(root, "two")))
	hole := filepath.Join(root, "hole")
	must(t, os.WriteFile(hole, nil, 0o644))
	must(t, os.Truncate(hole, 300_000))
	s := fresh(t, Limits{})
	digest := take(t, s, root)
	want := tree{"one": file("same"), "two": file("same"), "hole": file(strings.Repeat("\x00", 300_000))}
	if digest != want.digest() {
		t.Errorf("digest %s, want %s", digest, want.digest())
	}
	one, err := os.Lstat(s.in(digest, "one"))
	must(t, err)
	two, err := os.Lstat(s.in(digest, "two"))
	must(t, err)
	if os.SameFile(one, two) {
		t.Error("the hard link was kept")
	}
}

func TestSnapshots_Take_Refuses(t *testing.T) {
	special := func(mode uint32) func(t *testing.T, at string) {
		return func(t *testing.T, at string) {
			if err := unix.Mknod(at, mode|0o644, int(unix.Mkdev(1, 3))); errors.Is(err, unix.EPERM) {
				t.Skip("making a device needs root")
			} else {
				must(t, err)
			}
		}
	}
	linked := func(target string) func(t *testing.T, at string) {
		return func(t *testing.T, at string) { must(t, os.Symlink(target, at)) }
	}
	socket := func(t *testing.T, at string) {
		listener, err := net.Listen("unix", at)
		must(t, err)
		t.Cleanup(func() { listener.Close() })
	}
	tests := map[string]struct {
		plant func(t *testing.T, at string)
		words []string
	}{
		"FIFO":         {special(unix.S_IFIFO), []string{"FIFO", "remove it"}},
		"device":       {special(unix.S_IFCHR), []string{"device", "remove it"}},
		"block device": {special(unix.S_IFBLK), []string{"device", "remove it"}},
		"socket":       {socket, []string{"socket", "remove it"}},
		"absolute":     {linked("/etc/passwd"), []string{"/etc/passwd", "relative"}},
		"leaving":      {linked("../../etc/passwd"), []string{"../../etc/passwd", "out of the code"}},
		"circle":       {linked("x"), []string{"circle", "remove it"}},
		"long target":  {linked(strings.Repeat("./", 513)), []string{"1026 bytes", "1024", "shorten"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := grow(t, sample())
			tt.plant(t, filepath.Join(root, "lib/x"))
			e := refuses(t, fresh(t, Limits{}), root, api.ValidationError, append(tt.words, `"lib/x"`)...)
			if e.Details["entry"] != "lib/x" {
				t.Errorf("details: %v", e.Details)
			}
		})
	}
}

func TestSnapshots_Take_RefusesPaths(t *testing.T) {
	root := grow(t, sample())
	outside := scratch(t)
	must(t, os.Symlink(root, filepath.Join(outside, "link")))
	for name, tt := range map[string]struct{ path, word string }{
		"relative":        {"lib", "absolute"},
		"not clean":       {root + "/lib/../bin", "without"},
		"trailing slash":  {root + "/", "without"},
		"not there":       {root + "/none", "not there"},
		"below a file":    {root + "/z/none", "no folder"},
		"file":            {root + "/z", "no folder"},
		"link":            {outside + "/link", "link in it"},
		"link on the way": {outside + "/link/lib", "link in it"},
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, fresh(t, Limits{}), tt.path, api.ValidationError, tt.word, fmt.Sprintf("%q", tt.path))
		})
	}
}

// Each limit at its edge and one above it.
func TestSnapshots_Take_Limits(t *testing.T) {
	hole := func(bytes int64) string {
		root := grow(t, tree{"hole": file("")})
		must(t, os.Truncate(filepath.Join(root, "hole"), bytes))
		return root
	}
	tests := map[string]struct {
		limits Limits
		root   string
		words  []string // none: it is taken
	}{
		"entries":           {Limits{Entries: 10}, grow(t, sample()), nil},
		"entries + 1":       {Limits{Entries: 9}, grow(t, sample()), []string{"9 entries", `"lib/deep"`, "leave out"}},
		"entries in root":   {Limits{Entries: 4}, grow(t, sample()), []string{"4 entries", `"."`, "leave out"}},
		"bytes":             {Limits{Bytes: 21}, grow(t, sample()), nil},
		"bytes + 1":         {Limits{Bytes: 20}, grow(t, sample()), []string{"20 bytes", `"lib/deep/b.txt"`, "leave out"}},
		"hole":              {Limits{Bytes: 1 << 20}, hole(1 << 20), nil},
		"hole + 1":          {Limits{Bytes: 1 << 20}, hole(1<<20 + 1), []string{"1048576 bytes", `"hole"`}},
		"hole of terabytes": {Limits{}, hole(1 << 42), []string{"1073741824 bytes", `"hole"`}},
		"depth":             {Limits{Depth: 3}, grow(t, sample()), nil},
		"depth + 1":         {Limits{Depth: 2}, grow(t, sample()), []string{"2 folders deep", `"lib/deep/b.txt"`, "move it up"}},
		"name":              {Limits{NameBytes: 5}, grow(t, sample()), nil},
		"name + 1":          {Limits{NameBytes: 4}, grow(t, sample()), []string{"5 bytes", `"a.txt"`, "shorten"}},
		"path":              {Limits{PathBytes: 14}, grow(t, sample()), nil},
		"path + 1":          {Limits{PathBytes: 13}, grow(t, sample()), []string{"14 bytes", `"lib/deep/b.txt"`, "shorten"}},
		"default depth":     {Limits{}, grow(t, deep(100)), nil},
		"default depth + 1": {Limits{}, grow(t, deep(101)), []string{"100 folders deep"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := fresh(t, tt.limits)
			if tt.words == nil {
				must(t, s.Verify(t.Context(), take(t, s, tt.root)))
				return
			}
			refuses(t, s, tt.root, api.ValidationError, tt.words...)
		})
	}
}

// deep is a file below n-1 folders.
func deep(n int) tree {
	t := tree{}
	for i := range n - 1 {
		t["d"+strings.Repeat("/d", i)] = dir()
	}
	return t.with(strings.Repeat("d/", n-1)+"f", file("x"))
}

// At whatever moment it is told to end, it ends there and leaves nothing.
func TestSnapshots_Take_Cancelled(t *testing.T) {
	root := grow(t, sample())
	for name, stands := range map[string]bool{"the first": false, "the second": true} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t, Limits{})
			if stands {
				take(t, s, root)
			}
			cancelEach(t, s, root)
		})
	}
	t.Run("before the sync", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		if _, _, err := fresh(t, Limits{}).Take(syncHook{ctx, cancel}, root); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// syncHook is a context that does something when the sync of the copy begins, which waits for it.
type syncHook struct {
	context.Context
	act func()
}

func (h syncHook) Done() <-chan struct{} {
	h.act()
	return h.Context.Done()
}

// cancelEach cancels a Take at each look at its context.
func cancelEach(t *testing.T, s *Snapshots, root string) {
	t.Helper()
	before := digests(t, s)
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		h := &hook{Context: ctx, at: n, act: cancel}
		_, release, err := s.Take(h, root)
		cancel()
		if err == nil { // it was done by then
			release()
			if aside := list(t, s.in(damagedFolder)); n < 25 || len(aside) > 0 {
				t.Errorf("cancelled at look %d, it went on and set aside %q", n, aside)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at look %d: %v", n, err)
		}
		if left := digests(t, s); !slices.Equal(left, before) || len(s.held) > 0 || h.looks > n+5 {
			t.Errorf("cancelled at look %d, it looked %d times and left %q", n, h.looks, left)
		}
		tidy(t, s)
	}
}

func TestSnapshots_Take_NoSpace(t *testing.T) {
	for name, options := range map[string]string{"bytes": "size=256k", "inodes": "nr_inodes=12"} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); errors.Is(err, unix.EPERM) {
				t.Skip("mounting needs root")
			} else {
				must(t, err)
			}
			t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
			s := open(t, dir, Limits{})
			small := take(t, s, grow(t, tree{"a": file("x")}))
			large := sample().with("large", file(strings.Repeat("x", 300_000)))
			e := refuses(t, s, grow(t, large), api.SystemError, "no space", "free some")
			if !errors.Is(e, unix.ENOSPC) {
				t.Errorf("its cause is %v", e.Err)
			}
			must(t, s.Verify(t.Context(), small))
			if again := take(t, s, grow(t, tree{"a": file("x")})); !slices.Equal(digests(t, s), []string{again}) {
				t.Errorf("snapshots: %q", digests(t, s))
			}
		})
	}
}

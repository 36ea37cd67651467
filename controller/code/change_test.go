package code

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// hook is a context that does something when it is looked at for the at-th time: what it is handed to looks often, so a test
// can do something at each moment of it, without production code that knows.
type hook struct {
	context.Context
	at, looks int
	act       func()
}

func (h *hook) Err() error {
	if h.looks++; h.looks == h.at {
		h.act()
	}
	return h.Context.Err()
}

// change is something that happens to a tree while it is copied.
type change struct {
	act    func(t *testing.T, root string)
	blamed []string // what the error may name
}

func changes() map[string]change {
	replace := func(p string, x thing) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			must(t, os.RemoveAll(filepath.Join(root, p)))
			plant(t, filepath.Join(root, p), x)
		}
	}
	fifo := func(p string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			must(t, os.RemoveAll(filepath.Join(root, p)))
			must(t, unix.Mkfifo(filepath.Join(root, p), 0o644))
		}
	}
	socket := func(p string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			must(t, os.RemoveAll(filepath.Join(root, p)))
			must(t, unix.Mknod(filepath.Join(root, p), unix.S_IFSOCK|0o644, 0))
		}
	}
	return map[string]change{
		"contents, times set back": {rewrite, []string{"a.txt"}},
		"appended":                 {extend, []string{"a.txt"}},
		"cut off":                  {func(t *testing.T, root string) { must(t, os.Truncate(root+"/a.txt", 2)) }, []string{"a.txt"}},
		"replaced":                 {supplant, []string{"a.txt", "bin/tmp", "bin", "."}},
		"made executable":          {func(t *testing.T, root string) { must(t, os.Chmod(root+"/a.txt", 0o755)) }, []string{"a.txt"}},
		"file added":               {replace("lib/deep/n", file("n")), []string{"lib/deep", "lib/deep/n"}},
		"folder added":             {replace("n", dir()), []string{".", "n"}},
		"file removed":             {func(t *testing.T, root string) { must(t, os.Remove(root+"/a.txt")) }, []string{".", "a.txt"}},
		"folder removed":           {func(t *testing.T, root string) { must(t, os.RemoveAll(root+"/lib")) }, []string{".", "lib", "lib/deep", "lib/deep/b.txt", "lib/up"}},
		"renamed":                  {func(t *testing.T, root string) { must(t, os.Rename(root+"/z", root+"/y")) }, []string{".", "z", "y"}},
		"link led elsewhere":       {replace("lib/up", link(".")), []string{"lib", "lib/up"}},
		"file to folder":           {replace("a.txt", dir()), []string{".", "a.txt"}},
		"file to link":             {replace("a.txt", link("/etc/passwd")), []string{".", "a.txt"}},
		"file to FIFO":             {fifo("a.txt"), []string{".", "a.txt"}},
		"file to socket":           {socket("a.txt"), []string{".", "a.txt"}},
		"folder to file":           {replace("lib", file("x")), []string{".", "lib", "lib/deep", "lib/deep/b.txt", "lib/up"}},
		"folder to link":           {replace("lib", link("/etc")), []string{".", "lib", "lib/deep", "lib/deep/b.txt", "lib/up"}},
		"folder to link inside":    {replace("lib", link("bin")), []string{".", "lib", "lib/deep", "lib/deep/b.txt", "lib/up"}},
		"folder to FIFO":           {fifo("lib"), []string{".", "lib", "lib/deep", "lib/deep/b.txt", "lib/up"}},
		"two files":                {both, []string{"a.txt", "lib/deep/b.txt"}},
		"the tree":                 {func(t *testing.T, root string) { must(t, os.Rename(root, root+"-old")); must(t, os.Mkdir(root, 0o755)) }, []string{"."}},
	}
}

// rewrite gives a file other contents of the same size and the same time.
func rewrite(t *testing.T, root string) {
	at := filepath.Join(root, "a.txt")
	info, err := os.Stat(at)
	must(t, err)
	must(t, os.WriteFile(at, []byte("FIRST"), 0o644))
	must(t, os.Chtimes(at, time.Time{}, info.ModTime()))
}

func extend(t *testing.T, root string) {
	f, err := os.OpenFile(filepath.Join(root, "a.txt"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("more")
	must(t, errors.Join(err, f.Close()))
}

// supplant renames another file over one.
func supplant(t *testing.T, root string) {
	must(t, os.WriteFile(filepath.Join(root, "bin/tmp"), []byte("other"), 0o644))
	must(t, os.Rename(filepath.Join(root, "bin/tmp"), filepath.Join(root, "a.txt")))
}

// both changes two files that belong together: a copy of one of them only is of a tree that never was.
func both(t *testing.T, root string) {
	must(t, os.WriteFile(filepath.Join(root, "a.txt"), []byte("FIRST"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "lib/deep/b.txt"), []byte("SECOND"), 0o644))
}

// At whatever moment a tree changes, Take gives the tree before, or after, or says that it changed.
func TestSnapshots_Take_Changing(t *testing.T) {
	for name, c := range changes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fresh(t, Limits{})
			told := 0
			for n := 1; ; n++ {
				reached, wasTold := changeAt(t, s, c, n)
				if told += wasTold; !reached {
					break
				}
			}
			if told == 0 {
				t.Error("the change was never noticed")
			}
		})
	}
}

// changeAt takes a tree that changes when its context is looked at for the nth time.
func changeAt(t *testing.T, s *Snapshots, c change, n int) (reached bool, told int) {
	t.Helper()
	root := grow(t, sample())
	tick(t)
	h := &hook{Context: t.Context(), at: n, act: func() { c.act(t, root) }}
	digest, release, err := s.Take(h, root)
	tidy(t, s)
	e, isError := errors.AsType[*api.Error](err)
	switch {
	case err == nil:
		release()
		if digest != sample().digest() && digest != read(t, root).digest() {
			t.Errorf("changed at look %d, the snapshot is of neither tree", n)
		}
	case !isError:
		t.Errorf("changed at look %d: %v", n, err)
	case !errors.Is(err, ErrChanged) && e.Type != api.ValidationError, errors.Is(err, ErrChanged) && e.Type != api.ConflictError:
		t.Errorf("changed at look %d: %v", n, err)
	default:
		if entry, _ := e.Details["entry"].(string); !slices.Contains(c.blamed, entry) {
			t.Errorf("changed at look %d, it says %v", n, err)
		}
		if errors.Is(err, ErrChanged) && !strings.Contains(e.Message, "try again") {
			t.Errorf("it does not say what to do: %s", e.Message)
		}
		told = 1
	}
	return h.looks >= n, told
}

// Where a folder's time does not tell that something was added or removed, its list does.
func TestSnapshots_Take_ChangedInOneTick(t *testing.T) {
	s, root := fresh(t, Limits{}), grow(t, tree{"a": file(""), "b": dir(), "b/c": file(""), "d": file("")})
	top, err := openFolder(root)
	must(t, err)
	defer top.Close()
	var now []entry
	w := walker{meter: meter{limits: s.limits}, visit: func(_ context.Context, _ folder, e entry) error { now = append(now, e); return nil }}
	must(t, w.walk(t.Context(), top))
	gone := entry{path: "b/gone", kind: kindFile}
	for name, tt := range map[string]struct {
		copied []entry
		blamed string
	}{
		"nothing":      {now, ""},
		"last added":   {now[:4], "d"},
		"one added":    {slices.Delete(slices.Clone(now), 3, 4), "b/c"},
		"last removed": {append(slices.Clone(now), gone), "b/gone"},
		"one removed":  {slices.Insert(slices.Clone(now), 3, gone), "b/gone"},
	} {
		err := s.unchanged(t.Context(), top, tt.copied)
		e, _ := errors.AsType[*api.Error](err)
		if tt.blamed == "" && err != nil || tt.blamed != "" && (!errors.Is(err, ErrChanged) || e.Details["entry"] != tt.blamed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tick returns when a change can be told from what was before by its time: old kernels keep time stamps coarsely.
func tick(t *testing.T) {
	t.Helper()
	probe := filepath.Join(t.TempDir(), "probe")
	must(t, os.WriteFile(probe, nil, 0o600))
	first, err := os.Stat(probe)
	must(t, err)
	for now := first; now.ModTime().Equal(first.ModTime()); {
		must(t, os.WriteFile(probe, []byte("x"), 0o600))
		now, err = os.Stat(probe)
		must(t, err)
	}
}

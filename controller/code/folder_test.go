package code

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What took an entry's place between the look at it and its opening is not taken for it, and not waited for.
func TestFolder_Open(t *testing.T) {
	fifo := func(at string) error { return unix.Mkfifo(at, 0o644) }
	socket := func(at string) error { return unix.Mknod(at, unix.S_IFSOCK|0o644, 0) }
	link := func(target string) func(string) error {
		return func(at string) error { return os.Symlink(target, at) }
	}
	file := func(at string) error { return os.WriteFile(at, []byte("first"), 0o644) }
	folder := func(at string) error { return os.Mkdir(at, 0o755) }
	nothing := func(string) error { return nil }
	for name, tt := range map[string]struct {
		was     string
		becomes func(at string) error
	}{
		"file to nothing": {"a.txt", nothing}, "file to another": {"a.txt", file}, "file to FIFO": {"a.txt", fifo},
		"file to socket": {"a.txt", socket}, "file to folder": {"a.txt", folder}, "file to link": {"a.txt", link("z")},
		"file to link outside": {"a.txt", link("/etc/passwd")}, "folder to nothing": {"lib", nothing},
		"folder to another": {"lib", folder}, "folder to FIFO": {"lib", fifo}, "folder to file": {"lib", file},
		"folder to link": {"lib", link("bin")}, "folder to link outside": {"lib", link("/etc")},
	} {
		t.Run("ErrChanged/"+name, func(t *testing.T) {
			root := grow(t, sample())
			in, err := openFolder(root)
			must(t, err)
			defer in.Close()
			var w walker
			w.limits = Limits{}.withDefaults()
			e, err := w.find(in, tt.was, tt.was, 1)
			must(t, err)
			opened, err := in.open(e)
			must(t, err)
			must(t, opened.Close())
			at := filepath.Join(root, tt.was)
			must(t, errors.Join(os.Rename(at, filepath.Join(root, "moved")), tt.becomes(at)))
			if _, err := in.open(e); !errors.Is(err, ErrChanged) {
				t.Errorf("got %v, want it changed", err)
			}
		})
	}
}

// Every sign of a change counts, for not every filesystem gives all of them; that somebody reads is none.
func TestStamp(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(st *unix.Stat_t)
		same bool
	}{
		"device":  {func(st *unix.Stat_t) { st.Dev++ }, false},
		"inode":   {func(st *unix.Stat_t) { st.Ino++ }, false},
		"mode":    {func(st *unix.Stat_t) { st.Mode++ }, false},
		"size":    {func(st *unix.Stat_t) { st.Size++ }, false},
		"written": {func(st *unix.Stat_t) { st.Mtim.Nsec++ }, false},
		"changed": {func(st *unix.Stat_t) { st.Ctim.Nsec++ }, false},
		"read":    {func(st *unix.Stat_t) { st.Atim.Nsec++ }, true},
		"nothing": {func(*unix.Stat_t) {}, true},
	} {
		var one, two unix.Stat_t
		tt.edit(&two)
		if same := stampOf(&one) == stampOf(&two); same != tt.same {
			t.Errorf("%s: the same is %v", name, same)
		}
	}
}

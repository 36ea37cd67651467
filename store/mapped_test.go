package store

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// mapped is how many KiB of a file this process has mapped, from /proc/self/smaps.
func mapped(t *testing.T, path string) (kib int) {
	t.Helper()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	ours := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		if name, _, _ := strings.Cut(line, " "); !strings.HasSuffix(name, ":") {
			ours = strings.HasSuffix(line, path)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil && ours {
			kib += n
		}
	}
	return kib
}

// What was read at the start and what commits look at does not stay in memory, and can be read all the same.
func TestStore_LetsGoOfPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, fileName)
		large := strings.Repeat("x", 64<<10)
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 32 {
			declare(t, s, Declaration{Name: fmt.Sprint("web-", n), Change: func(w *Wish) error {
				w.Labels = map[string]string{"large": large}
				return running(w)
			}})
		}
		rests := func(when string) {
			t.Helper()
			before := mapped(t, path)
			time.Sleep(pagesKept)
			synctest.Wait()
			if after := mapped(t, path); before < 1024 || after > 256 {
				t.Errorf("%s: %d KiB of the file are mapped, and later %d", when, before, after)
			}
		}
		rests("after the commits")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(dir, Options{}); err != nil {
			t.Fatal(err)
		}
		rests("after the start")
		r := declare(t, s, Declaration{Name: "web-7", Change: image("example/app:2")})
		if history, err := s.History(r.ID); err != nil || len(history) != 2 {
			t.Errorf("the history: %d of 2, %v", len(history), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		checkFile(t, dir)
	})
}

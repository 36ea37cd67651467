package code

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Before the rename that publishes a snapshot, each of its files and folders was synced; after it, the folder that it is in.
// The same goes for the rename that swaps a link, and for the one that removes a snapshot: synced before anything of it goes.
func TestSnapshots_SyncedInOrder(t *testing.T) {
	dir, trace := bothCodes(t), filepath.Join(scratch(t), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-q", "-o", trace, "-e", "trace=fsync,?rename,?renameat,?renameat2,?unlinkat", os.Args[0])
	cmd.Env = append(os.Environ(), "CODE_TEST_ACTOR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("strace is needed: %v\n%s", err, out)
	}
	calls, err := os.ReadFile(trace)
	must(t, err)
	home, second := filepath.Join(dir, "code"), secondCode().digest()
	synced, said := map[string]bool{}, []string{}
	for line := range strings.Lines(string(calls)) {
		if m := regexp.MustCompile(`fsync\(\d+<([^>]*)>`).FindStringSubmatch(line); m != nil {
			synced[m[1]] = true
			said = append(said, "sync "+strings.TrimPrefix(m[1], home))
		}
		m := regexp.MustCompile(`rename.*"([^"]*)", .*"([^"]*)"`).FindStringSubmatch(line)
		if m == nil {
			if strings.Contains(line, "unlinkat(") {
				said = append(said, "unlink")
			}
			continue
		}
		said = append(said, "rename to "+strings.TrimPrefix(m[2], home))
		if m[2] == filepath.Join(home, second) {
			everythingSynced(t, synced, m[1])
		}
	}
	if !slices.Equal(said[:2], []string{"sync ", "sync " + dir}) {
		t.Errorf("it begins with %q", said[:2])
	}
	follows(t, said, "rename to /"+second, "sync ")
	follows(t, said, "rename to /links/"+flow, "sync /links")
	if i := slices.IndexFunc(said, func(s string) bool { return strings.HasPrefix(s, "rename to /removed/") }); i < 0 || said[i+1] != "sync " {
		t.Errorf("removed without a sync before the rest: %q", said)
	}
}

func everythingSynced(t *testing.T, synced map[string]bool, partial string) {
	t.Helper()
	want := []string{partial}
	for p, x := range secondCode() {
		if x.kind != kindLink {
			want = append(want, filepath.Join(partial, p))
		}
	}
	for _, p := range want {
		if !synced[p] {
			t.Errorf("%s was not synced before it was published; synced: %q", p, slices.Sorted(maps.Keys(synced)))
		}
	}
}

// follows fails the test unless the second comes next after the first.
func follows(t *testing.T, said []string, first, second string) {
	t.Helper()
	if i := slices.Index(said, first); i < 0 || i+1 == len(said) || said[i+1] != second {
		t.Errorf("%q is not followed by %q: %q", first, second, said)
	}
}

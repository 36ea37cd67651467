package code

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// changingCalls are the system calls that change what is in a folder, as any architecture names them, and fsync.
var changingCalls = []string{
	"mkdir", "mkdirat", "write", "fsync", "chmod", "fchmod", "fchmodat", "symlink", "symlinkat", "rename", "renameat", "renameat2",
	"unlink", "unlinkat", "rmdir",
}

func firstCode() tree  { return sample() }
func secondCode() tree { return sample().with("a.txt", file("another")) }

// bothCodes is a folder that has both.
func bothCodes(t *testing.T) string {
	t.Helper()
	dir := scratch(t)
	for name, from := range map[string]tree{"first": firstCode(), "second": secondCode()} {
		must(t, os.Rename(grow(t, from), filepath.Join(dir, name)))
	}
	return dir
}

// act is the whole life of a process that is killed, or whose system calls fail. It says which step went wrong, and how.
func act(dir string) int {
	runtime.LockOSThread() // strace counts by thread
	step, err := update(dir)
	if err == nil {
		return 0
	}
	e := api.AsError(err)
	fmt.Fprintf(os.Stderr, "%s: %s: %s (no space: %v)", step, e.Type, e.Message, errors.Is(err, unix.ENOSPC))
	return 1
}

// update goes from the first code to the second and removes the first.
func update(dir string) (step string, err error) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(dir, "code"), Limits{})
	if err != nil {
		return "open", err
	}
	for _, name := range []string{"first", "second"} {
		digest, release, err := s.Take(ctx, filepath.Join(dir, name))
		if err != nil {
			return "take", err
		}
		if err := s.Link(flow, digest); err != nil {
			return "link", err
		}
		release()
	}
	_, err = s.Collect(ctx, func() map[string]bool { return nil })
	return "collect", err
}

// run is one such process, of which strace replaced one system call.
type run struct {
	dir     string
	said    string
	reached bool // the call that was to be replaced
}

func perform(t *testing.T, call string, n int, fault string) run {
	t.Helper()
	r := run{dir: bothCodes(t)}
	var stderr bytes.Buffer
	trace := filepath.Join(r.dir, "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-q", "-o", trace, "-e", "trace=?"+call,
		"-e", fmt.Sprintf("inject=?%s:%s:when=%d", call, fault, n), os.Args[0])
	cmd.Env = append(os.Environ(), "CODE_TEST_ACTOR="+r.dir, "GORACE=atexit_sleep_ms=0") // the race detector waits a second
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if _, died := errors.AsType[*exec.ExitError](err); !died {
			t.Fatalf("strace is needed: %v", err)
		}
	}
	calls, err := os.ReadFile(trace)
	must(t, err)
	r.said = stderr.String()
	r.reached = strings.Contains(string(calls), "INJECTED") || strings.Contains(string(calls), "killed by SIGKILL")
	return r
}

// sound fails the test unless every snapshot is whole and the link leads to one of them.
func sound(t *testing.T, s *Snapshots) {
	t.Helper()
	for _, digest := range digests(t, s) {
		must(t, s.Verify(t.Context(), digest))
	}
	if linked, ok := s.Linked(flow); ok {
		must(t, s.Verify(t.Context(), linked))
	}
	if left := list(t, s.in(damagedFolder)); len(left) > 0 {
		t.Errorf("set aside as damaged: %q", left)
	}
}

// arrives updates anew, which must work whatever went before.
func arrives(t *testing.T, dir string) {
	t.Helper()
	if step, err := update(dir); err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	s := open(t, filepath.Join(dir, "code"), Limits{})
	linked, _ := s.Linked(flow)
	if want := secondCode().digest(); linked != want || !slices.Equal(digests(t, s), []string{want}) {
		t.Errorf("linked to %s of %q", linked, digests(t, s))
	}
}

// eachCall performs with fault in every one of the calls in turn, and hands each run to judge.
func eachCall(t *testing.T, fault string, judge func(t *testing.T, r run)) {
	for _, call := range changingCalls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				r := perform(t, call, n, fault)
				if !r.reached {
					return
				}
				judge(t, r)
				if arrives(t, r.dir); t.Failed() {
					t.Fatalf("%s number %d: %s", call, n, r.said)
				}
				must(t, os.RemoveAll(r.dir))
			}
		})
	}
}

// Killed at any of the calls that change something, the next process finds each snapshot whole or not at all.
func TestSnapshots_Killed(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	t.Run("at", func(t *testing.T) {
		eachCall(t, "signal=KILL", func(t *testing.T, r run) {
			what := remains(r.dir)
			mu.Lock()
			seen[what]++
			mu.Unlock()
			s := open(t, filepath.Join(r.dir, "code"), Limits{})
			tidy(t, s)
			sound(t, s)
		})
	})
	t.Logf("killed %v", seen)
	for _, what := range []string{"while a snapshot was made", "while one was removed", "in between"} {
		if seen[what] == 0 {
			t.Errorf("it was never killed %s", what)
		}
	}
}

// remains tells what a process was at when it died.
func remains(dir string) string {
	for folder, what := range map[string]string{partialFolder: "while a snapshot was made", removedFolder: "while one was removed"} {
		if left, _ := os.ReadDir(filepath.Join(dir, "code", folder)); len(left) > 0 {
			return what
		}
	}
	return "in between"
}

// Where any of these calls finds no space, Take says so, and nothing is left half made unless removing is what does not work.
func TestSnapshots_NoSpace(t *testing.T) {
	var mu sync.Mutex
	said := map[string]int{}
	t.Run("for", func(t *testing.T) {
		eachCall(t, "error=ENOSPC", func(t *testing.T, r run) {
			step, message, _ := strings.Cut(r.said, ": ")
			mu.Lock()
			said[step]++
			mu.Unlock()
			if step == "take" && (!strings.Contains(message, "no space is left") || !strings.Contains(message, "(no space: true)")) {
				t.Errorf("take said %s", message)
			}
			s := &Snapshots{dir: filepath.Join(r.dir, "code"), limits: Limits{}.withDefaults()}
			if step == "take" || step == "link" {
				tidy(t, s)
			}
			if step != "open" {
				sound(t, s)
			}
		})
	})
	t.Logf("failed %v", said)
	for _, step := range []string{"open", "take", "link", "collect"} {
		if said[step] == 0 {
			t.Errorf("%s never failed", step)
		}
	}
}

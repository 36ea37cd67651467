package store

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The test program plays a process that dies: STORE_CHILD says what it does, STORE_DIE at which point.
const (
	envChild = "STORE_CHILD"
	envDie   = "STORE_DIE"
	envDir   = "STORE_DIR"
)

// beChild does what the environment asks for, in the place of the tests.
func beChild(what string) error {
	dir := os.Getenv(envDir)
	o := Options{Fail: dieAt}
	switch what {
	case "restore":
		_, _, err := Restore(filepath.Join(dir, "data"), filepath.Join(dir, "backup"), o)
		return err
	case "open":
		s, err := Open(dir, o)
		if err != nil {
			return err
		}
		return s.Close()
	case "migrate":
		o.migrations = []migration{dyingMigration}
		s, err := Open(dir, o)
		if err != nil {
			return err
		}
		return s.Close()
	case "save":
		_, err := Save(filepath.Join(dir, "backup"), true, func(w io.Writer) error { return BackupStopped(filepath.Join(dir, "data"), dyingWriter{w}) })
		return err
	}
	return fmt.Errorf("there is no child %q", what)
}

func dieAt(point string) {
	if point == os.Getenv(envDie) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// dyingWriter lets a process die while it writes.
type dyingWriter struct{ io.Writer }

func (w dyingWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if len(b) > 4096 { // past the first pages
		dieAt("save-written")
	}
	return n, err
}

// dyingMigration is that of format 1, which may die where it begins.
func dyingMigration(tx *bolt.Tx, now time.Time) error {
	dieAt("migration-begun")
	return toFormat2(tx, now)
}

func recordNames(records []*Record) []string {
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Name
	}
	return names
}

// child runs the test program as a child and returns what it printed.
func child(t *testing.T, what, dir, die string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+what, envDir+"="+dir, envDie+"="+die)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// killed is child for one that has to die at its point.
func killed(t *testing.T, what, dir, die string) {
	t.Helper()
	out, err := child(t, what, dir, die)
	if err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Fatalf("%s did not die at %s: %v\n%s", what, die, err, out)
	}
}

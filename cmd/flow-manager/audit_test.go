package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gopkg.in/natefinch/lumberjack.v2"
)

// audited are the numbers of the lines of all files of an audit log, which has to be JSON, in the order of the files' names but the
// newest last.
func audited(t *testing.T, path string) []int {
	t.Helper()
	aside, err := filepath.Glob(strings.TrimSuffix(path, ".log") + "-*.log")
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, file := range append(aside, path) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var l struct{ N int }
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v: %q", file, err, line)
			}
			all = append(all, l.N)
		}
	}
	return all
}

func openAuditAt(t *testing.T, path string) *auditLog {
	t.Helper()
	a, err := openAudit(path, tellerOf)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Lines are appended to what is there, and none is lost where the file is put aside because of its size, or taken away by others.
func TestAuditLog_KeepsEachLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	const lines, long = 5000, 1000
	n := 0
	for range 2 {
		a := openAuditAt(t, path)
		a.out = &lumberjack.Logger{Filename: path, MaxSize: 1}
		for range lines {
			a.log.Info().Int("n", n).Str("x", strings.Repeat("x", long)).Msg("said")
			n++
			if n == 100 {
				if err := os.Rename(path, filepath.Join(filepath.Dir(path), "audit-0.log")); err != nil {
					t.Fatal(err)
				}
				if err := a.reopen(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := a.reopen(); err != nil {
			t.Fatal(err)
		}
		if loss := a.lost(); loss.Dropped > 0 {
			t.Errorf("lost %+v", loss)
		}
	}
	got := audited(t, path)
	for i, n := range got {
		if i != n {
			t.Fatalf("line %d is number %d", i, n)
		}
	}
	if len(got) != n {
		t.Errorf("%d of %d lines", len(got), n)
	}
	aside, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "audit-*.log"))
	if len(aside) < 2*lines*long>>20 {
		t.Errorf("it was put aside as %q", aside)
	}
}

// full is a disk on which only so many bytes have room.
type full struct {
	*os.File
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:min(len(p), f.room)])
	f.room -= n
	if n < len(p) && err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

// What a full disk has no room for is counted and told of, and what comes later stands on lines of its own; so does what comes after a
// line that a former process could not end.
func TestAuditLog_OnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(`{"n":0}`+"\n"+`{"n":`), 0o600); err != nil {
		t.Fatal(err)
	}
	a := openAuditAt(t, path)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	disk := &full{file, 200}
	a.out = disk
	said := 0
	for n := 1; disk.room > 0; n++ {
		a.log.Info().Int("n", n).Msg("said")
		said = n
	}
	a.log.Info().Int("n", said+1).Msg("said")
	if loss := a.lost(); loss.Dropped != 2 || !strings.Contains(loss.Message, "no space left on device") {
		t.Errorf("lost: %+v", loss)
	}
	disk.room = 1000
	a.log.Info().Int("n", said+2).Msg("said")
	if err := a.reopen(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var whole []string
	for line := range strings.Lines(string(data)) {
		if json.Valid([]byte(line)) {
			var l struct{ N int }
			_ = json.Unmarshal([]byte(line), &l)
			whole = append(whole, fmt.Sprint(l.N))
		}
	}
	if len(whole) != said+1 || whole[said] != fmt.Sprint(said+2) || whole[1] != "1" {
		t.Errorf("whole are %v of %q", whole, data)
	}
}

func TestOpenAudit_Refuses(t *testing.T) {
	dir := t.TempDir()
	for path, says := range map[string]string{dir: "no regular file", "/dev/null": "no regular file", filepath.Join(dir, "none", "audit.log"): "no such file"} {
		if _, err := openAudit(path, tellerOf); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// backup saves a running store as file.
func backup(t *testing.T, s *Store, file string) Report {
	t.Helper()
	r, err := Save(file, false, func(w io.Writer) error { return s.Backup(func(int64) io.Writer { return w }) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBackup_WhileManyDeclare(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for g := range 4 {
		busy.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Declare(t.Context(), Declaration{Name: fmt.Sprint("busy-", g), Change: image(fmt.Sprint("v", i))}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	dir := t.TempDir()
	for i := range 20 {
		file := filepath.Join(dir, fmt.Sprint("backup-", i))
		if r := backup(t, s, file); len(r.Problems) > 0 || r.Path != file {
			t.Errorf("backup %d: %+v", i, r)
		}
	}
	close(stop)
	busy.Wait()
	last := backup(t, s, filepath.Join(dir, "last"))
	records, revision := s.List()
	info, err := os.Stat(last.Path)
	if err != nil || last.Revision != revision || last.Containers != len(records) || info.Size() != last.Size || info.Mode() != 0o600 {
		t.Errorf("%+v of revision %d, %v %v", last, revision, info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 21 {
		t.Errorf("left beside the backups: %v, %v", entries, err)
	}
}

// A backup that nobody reads holds a transaction open. Commits go on, though the file has to grow.
func TestBackup_ThatStallsHoldsUpNobody(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	declare(t, s, Declaration{Name: "web", Change: running})
	read, write := io.Pipe()
	ended := make(chan error)
	go func() { ended <- s.Backup(func(int64) io.Writer { return write }) }()
	if _, err := io.ReadFull(read, make([]byte, 3*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	grown := make(chan struct{})
	go func() {
		defer close(grown)
		for i := range 40 { // several MiB
			if _, err := s.Declare(t.Context(), Declaration{Name: "web", Change: image(strings.Repeat("x", 50_000) + fmt.Sprint(i))}); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-grown:
	case <-time.After(time.Minute):
		t.Error("commits wait for the backup")
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	<-grown
}

func TestSave_NeverAPartialFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "data"), Options{})
	declare(t, s, Declaration{Name: "web", Change: running})
	whole := backup(t, s, filepath.Join(dir, "whole"))
	data, err := os.ReadFile(whole.Path)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "backup")
	send := func(b []byte, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, written := w.Write(b)
			return errors.Join(written, err)
		}
	}
	broken := errors.New("the connection broke")
	for name, tt := range map[string]struct {
		b    []byte
		err  error
		want error
	}{
		"interrupted":  {data[:5000], broken, broken},
		"cut short":    {data[:len(data)-1], nil, ErrDamaged},
		"nothing":      {nil, nil, ErrDamaged},
		"no store":     {[]byte(strings.Repeat("hello", 5000)), nil, ErrDamaged},
		"torn content": {append(append([]byte{}, data[:8192]...), make([]byte, len(data)-8192)...), nil, ErrDamaged},
	} {
		for _, replace := range []bool{false, true} {
			if _, err := Save(file, replace, send(tt.b, tt.err)); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := Save(whole.Path, false, send(data, nil)); !errors.Is(err, ErrExists) {
		t.Errorf("over another: %v", err)
	}
	if _, err := Save(filepath.Join(dir, "data", fileName), true, send(data, nil)); !errors.Is(err, ErrInUse) {
		t.Errorf("over the store itself: %v", err)
	}
	if _, err := Save(dir, true, send(data, nil)); err == nil {
		t.Error("over a folder")
	}
	if r, err := Save(whole.Path, true, send(data, nil)); err != nil || r.Containers != 1 {
		t.Errorf("replaced: %+v, %v", r, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestSave_DiesWhileItWrites(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "data"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fill(s), s.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "backup")
	killed(t, "save", dir, "save-written")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
	if out, err := child(t, "save", dir, ""); err != nil {
		t.Fatal(err, out)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	killed(t, "save", dir, "save-written")
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the backup of before is not what it was: %v", err)
	}
}

func TestRestore(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	o := Options{Now: func() time.Time { return now }}
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := open(t, dir, o)
	declare(t, s, Declaration{Name: "web", Change: running})
	if err := s.SetEngine(t.Context(), "E"); err != nil {
		t.Fatal(err)
	}
	backup(t, s, file)
	before, version := s.Version(s.Revision()), s.Instance()
	declare(t, s, Declaration{Name: "later", Change: running})
	if _, _, err := Restore(dir, file, o); !errors.Is(err, ErrInUse) {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	report, kept, err := Restore(dir, file, o)
	if err != nil || report.Containers != 1 || report.Revision != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if want := filepath.Join(dir, fileName) + ".before-restore-20260102T030405.678Z"; kept != want {
		t.Errorf("kept as %s, want %s", kept, want)
	}
	if r, err := Check(kept); err != nil || r.Containers != 2 || len(r.Problems) > 0 {
		t.Errorf("kept: %+v, %v", r, err)
	}
	s = open(t, dir, o)
	records, revision := s.List()
	if fmt.Sprint(recordNames(records)) != "[web]" || revision != 1 || s.Instance() != version || s.Engine() != "E" || s.Restored() != "2026-01-02T03:04:05Z" {
		t.Errorf("restored: %v of %d, instance %s, engine %s, restored %q", recordNames(records), revision, s.Instance(), s.Engine(), s.Restored())
	}
	if _, err := s.Position(before); !errors.Is(err, ErrExpired) {
		t.Errorf("a resource version of before: %v", err)
	}
	if _, err := s.Declare(t.Context(), Declaration{ContainerID: "web", IfVersion: before, Change: image("b")}); errorType(err) != api.ConflictError {
		t.Errorf("under a resource version of before: %v", err)
	}
	if p, err := s.Position(s.Version(0)); err != nil || p != (Position{}) {
		t.Errorf("its own resource version: %v, %v", p, err)
	}
	for _, wrong := range []string{"", "-", "1", s.epoch + "x-1"} {
		if _, err := s.Position(wrong); !errors.Is(err, ErrExpired) {
			t.Errorf("resource version %q: %v", wrong, err)
		}
	}
}

// Whatever is named as a file and is none is refused at once: a folder, a device, and a FIFO that nobody writes to.
func TestRestore_OfNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{dir, fifo, "/dev/null"} {
		for what, try := range map[string]func() error{
			"restore": func() error { _, _, err := Restore(filepath.Join(dir, "data"), file, Options{}); return err },
			"check":   func() error { _, err := Check(file); return err },
		} {
			ended := make(chan error, 1)
			go func() { ended <- try() }()
			select {
			case err := <-ended:
				if !errors.Is(err, errNotRegular) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) {
					t.Errorf("%s %s: %v", what, file, err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s %s: it waits", what, file)
			}
		}
	}
	if _, err := os.Lstat(Path(filepath.Join(dir, "data"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store was left: %v", err)
	}
}

func TestRestore_IsAcceptedOnce(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := open(t, dir, Options{})
	backup(t, s, file)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(dir, file, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []bool{false, true, false} {
		s := open(t, dir, Options{})
		if waits := s.Restored() != ""; accept != waits && accept {
			t.Error("it is accepted already")
		}
		if accept {
			if err := s.AcceptRestore(t.Context(), nil); err != nil || s.Restored() != "" {
				t.Errorf("%q, %v", s.Restored(), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := open(t, dir, Options{}); s.Restored() != "" {
		t.Error("it is to be accepted again")
	}
}

func TestRestore_RefusesWhatIsNoBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	declare(t, s, Declaration{Name: "web", Change: running})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	noise := filepath.Join(t.TempDir(), "noise")
	newer := filepath.Join(t.TempDir(), fileName)
	if err := errors.Join(os.WriteFile(noise, []byte(strings.Repeat("noise", 9000)), 0o600), makeMissing(newer, &Options{migrations: make([]migration, Format)})); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]error{
		noise: ErrDamaged, newer: ErrNewerFormat, filepath.Join(dir, fileName): ErrExists, filepath.Join(dir, "absent"): os.ErrNotExist, dir: nil,
	} {
		if _, _, err := Restore(dir, file, Options{}); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	s = open(t, dir, Options{})
	if records, _ := s.List(); len(records) != 1 || s.Restored() != "" {
		t.Errorf("the store is another one: %v %q", recordNames(records), s.Restored())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// Wherever a restore dies, there is a whole store: the one before, or the restored one with the one before kept.
func TestRestore_DiesAtAnyPoint(t *testing.T) {
	for _, point := range []string{"restore-copied", "restore-kept", "restore-done"} {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			s := open(t, data, Options{})
			backup(t, s, filepath.Join(dir, "backup"))
			declare(t, s, Declaration{Name: "web", Change: running})
			before, _ := s.List()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			killed(t, "restore", dir, point)
			s = open(t, data, Options{})
			after, _ := s.List()
			if restored := s.Restored() != ""; restored != (point == "restore-done") || restored != (len(after) == 0) {
				t.Errorf("restored %v, with %v", restored, recordNames(after))
			}
			if point == "restore-done" {
				return
			}
			if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Restore(data, filepath.Join(dir, "backup"), Options{}); err != nil {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

// Whoever has opened the store when a restore puts it aside gets no lock on it, and opens the one that took its place.
func TestLock_IsOfTheFileThatStands(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, want := range []bool{true, false} {
		if had, err := claim(f, path, true); err != nil || had != want {
			t.Errorf("locked: %v, %v", had, err)
		}
		if err := writeFile(path, true, func(*os.File) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

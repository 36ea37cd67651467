package sockets

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func listenOwn(t *testing.T, path string) *Own {
	t.Helper()
	o, err := ListenOwn(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// abandon leaves a socket behind as a killed process does.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenOwn(t *testing.T) {
	t.Run("OK/Modes", func(t *testing.T) {
		defer syscall.Umask(syscall.Umask(0))
		path := filepath.Join(t.TempDir(), "new", "folder", "own.sock")
		o := listenOwn(t, path)
		for at, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
			if got := lstat(t, at).Mode(); got != want {
				t.Errorf("%s has mode %v, want %v", at, got, want)
			}
		}
		if mask := syscall.Umask(0); mask != 0 {
			t.Errorf("the umask is left at %03o", mask)
		}
		if got := o.Addr().String(); got != path {
			t.Errorf("the address is %s", got)
		}
	})
	t.Run("OK/ExistingFolder", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		listenOwn(t, filepath.Join(dir, "own.sock"))
		if got := lstat(t, dir).Mode().Perm(); got != 0o755 {
			t.Errorf("its mode is now %v", got)
		}
	})
	t.Run("OK/LongPath", func(t *testing.T) {
		listenOwn(t, filepath.Join(t.TempDir(), strings.Repeat("d", 200), "own.sock"))
	})
	t.Run("OK/AfterADeadProcess", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own.sock")
		abandon(t, path)
		listenOwn(t, path)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
	t.Run("ErrTaken", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own.sock")
		o := listenOwn(t, path)
		before := lstat(t, path)
		if _, err := ListenOwn(path); !errors.Is(err, ErrTaken) {
			t.Errorf("a second one: %v", err)
		}
		if !os.SameFile(before, lstat(t, path)) {
			t.Error("the living one's file was replaced")
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		listenOwn(t, path)
	})
	t.Run("ErrNoSocket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own.sock")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ListenOwn(path); err == nil || errors.Is(err, ErrTaken) {
			t.Errorf("got %v", err)
		}
		if data, err := os.ReadFile(path); string(data) != "precious" {
			t.Errorf("the file is now %q, %v", data, err)
		}
	})
}

func TestListenOwn_OneOfManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.sock")
	abandon(t, path)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			o, err := ListenOwn(path)
			if err == nil {
				won.Add(1)
				t.Cleanup(func() { _ = o.Close() })
			} else if !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d listen at the same path", won.Load())
	}
}

func TestOwn_Close(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.sock")
	o := listenOwn(t, path)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
	if err := o.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	o = listenOwn(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listenOwn(t, path)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another one's file was removed: %v", err)
	}
}

package sockets

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
)

func TestHub_Open(t *testing.T) {
	t.Run("OK/Modes", func(t *testing.T) {
		old := syscall.Umask(0o077)
		defer syscall.Umask(old)
		h, id, _ := newHub(t, Config{})
		for path, want := range map[string]fs.FileMode{
			filepath.Dir(h.Dir(id)): fs.ModeDir | 0o700, h.Dir(id): fs.ModeDir | 0o755, h.Path(id): fs.ModeSocket | 0o666,
		} {
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != want {
				t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
			}
		}
		onlySocket(t, h, id)
	})
	t.Run("OK/LongRunDir", func(t *testing.T) {
		long := filepath.Join(t.TempDir(), strings.Repeat("d", 200))
		h := openHub(t, Config{RunDir: long, Watcher: make(recorder, 10)})
		id := xid.New().String()
		if err := h.Open(id); err != nil {
			t.Fatal(err)
		}
		join(t, h, id)
	})
	t.Run("OK/AgainIsNothing", func(t *testing.T) {
		h, id, heard := newHub(t, Config{})
		f := join(t, h, id)
		before := lstat(t, h.Path(id))
		if err := h.Open(id); err != nil {
			t.Fatal(err)
		}
		if !os.SameFile(before, lstat(t, h.Path(id))) {
			t.Error("the socket was made anew")
		}
		f.handshake()
		heard.expect(t, "connection true")
		if len(heard) > 0 {
			t.Errorf("watcher also heard %q", <-heard)
		}
	})
	t.Run("OK/Repair", func(t *testing.T) {
		damages := map[string]func(h *Hub, id string) error{
			"SocketGone":  func(h *Hub, id string) error { return os.Remove(h.Path(id)) },
			"FolderGone":  func(h *Hub, id string) error { return os.RemoveAll(h.Dir(id)) },
			"RunDirGone":  func(h *Hub, id string) error { return os.RemoveAll(h.cfg.RunDir) },
			"SocketMode":  func(h *Hub, id string) error { return os.Chmod(h.Path(id), 0o600) },
			"FolderMode":  func(h *Hub, id string) error { return os.Chmod(h.Dir(id), 0o700) },
			"AnotherFile": func(h *Hub, id string) error { return replace(h.Path(id)) },
			"Leftover": func(h *Hub, id string) error {
				return os.Rename(h.Path(id), filepath.Join(h.Dir(id), "."+socketName(id)))
			},
		}
		for name, damage := range damages {
			t.Run(name, func(t *testing.T) {
				h, id, _ := newHub(t, Config{})
				old := join(t, h, id)
				if err := damage(h, id); err != nil {
					t.Fatal(err)
				}
				if err := h.Open(id); err != nil {
					t.Fatal(err)
				}
				old.handshake()
				join(t, h, id)
				if got := lstat(t, h.Path(id)).Mode(); got != fs.ModeSocket|0o666 {
					t.Errorf("the socket has mode %v", got)
				}
				if got := lstat(t, h.Dir(id)).Mode(); got != fs.ModeDir|0o755 {
					t.Errorf("the folder has mode %v", got)
				}
			})
		}
	})
	t.Run("ErrSymlinkedFolder", func(t *testing.T) {
		h, _, _ := newHub(t, Config{})
		id, elsewhere := xid.New().String(), t.TempDir()
		if err := os.Symlink(elsewhere, h.Dir(id)); err != nil {
			t.Fatal(err)
		}
		wantType(t, h.Open(id), api.SocketError)
		if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) > 0 {
			t.Errorf("the folder linked to has %v, %v", entries, err)
		}
		fails(t, send(t.Context(), h, id, `{}`, SendOptions{}), api.SocketConnectionError, "not_sent")
	})
	t.Run("ErrClosed", func(t *testing.T) {
		h, id, _ := newHub(t, Config{})
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		wantType(t, h.Open(id), api.SocketError)
	})
}

func replace(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		return err
	}
	return os.Chmod(path, 0o666)
}

// onlySocket fails the test if the container's folder holds anything but its socket.
func onlySocket(t *testing.T, h *Hub, id string) {
	t.Helper()
	entries, err := os.ReadDir(h.Dir(id))
	if err != nil || len(entries) != 1 || entries[0].Name() != socketName(id) {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	runDirMode = 0o700
	folderMode = 0o755
	socketMode = 0o666
)

// isID tells whether id has the form of the manager's ids. No such name can lead out of a folder.
func isID(id string) bool {
	return len(id) == 20 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuv") == ""
}

func socketName(id string) string { return id + ".sock" }

// socket is a listener and the file that leads to it.
type socket struct {
	*net.UnixListener
	file fs.FileInfo // with its mode
}

// openFolder makes the container's folder where it is missing and returns a handle that only names it.
func openFolder(runDir, id string) (*os.File, error) {
	if err := os.MkdirAll(runDir, runDirMode); err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	path := filepath.Join(runDir, id)
	if err := os.Mkdir(path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	folder, err := handle(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(through(folder, ""), folderMode); err != nil {
		return nil, errors.Join(fmt.Errorf("set mode of socket folder: %w", err), folder.Close())
	}
	return folder, nil
}

// handle only names a folder, whatever its path leads to by and by.
func handle(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket folder %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// through is a path to name in folder that stays short however long folder's own path is: a socket's address has 107 bytes.
func through(folder *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name)
}

// bind listens at name in folder. The socket gets its mode under another name and is renamed over whatever stands at name,
// so a flow that connects meanwhile finds either the old one or the new one, ready.
func bind(folder *os.File, name string, mode fs.FileMode) (*socket, error) {
	temporary, final := through(folder, "."+name), through(folder, name)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", folder.Name(), err)
	}
	// The name that the listener knows leads through our handle, whose number may be another's by the time it is closed.
	listener.SetUnlinkOnClose(false)
	file, err := publish(temporary, final, mode)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &socket{listener, file}, nil
}

func publish(temporary, final string, mode fs.FileMode) (fs.FileInfo, error) {
	if err := os.Chmod(temporary, mode); err != nil {
		return nil, fmt.Errorf("set mode of socket: %w", err)
	}
	file, err := os.Lstat(temporary)
	if err != nil {
		return nil, fmt.Errorf("look at socket: %w", err)
	}
	if err := os.Rename(temporary, final); err != nil {
		return nil, fmt.Errorf("rename socket: %w", err)
	}
	return file, nil
}

// standsAt tells whether whoever connects to path reaches s.
func (s *socket) standsAt(path string) bool {
	if s == nil {
		return false
	}
	file, err := os.Lstat(path)
	return err == nil && os.SameFile(s.file, file) && file.Mode() == s.file.Mode()
}

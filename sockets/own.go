package sockets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ownFolderMode = 0o700
	ownSocketMode = 0o600
	// probeTimeout is how long a process that listens may take to be found alive; one that is stuck is alive.
	probeTimeout = time.Second
)

// ErrTaken means that a living process listens at the path already.
var ErrTaken = errors.New("another process listens there")

// Own is a socket at a path of the caller's choice, for the process's own user and nobody else. Its folder is made where it
// is missing and left as it is where it stands. Close takes the socket's file away, unless another one stands there by then.
type Own struct {
	net.Listener
	fileID fileID
	path   string
}

// ListenOwn listens at path. What a dead process left there is replaced; of two that try at once, one gets ErrTaken.
func ListenOwn(path string) (*Own, error) {
	if err := os.MkdirAll(filepath.Dir(path), ownFolderMode); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open the socket's folder: %w", err)
	}
	defer folder.Close() // ends the lock
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%w, or is about to: lock folder %s: %w", ErrTaken, folder.Name(), err)
	}
	name := filepath.Base(path)
	if err := vacant(folder, name); err != nil {
		return nil, err
	}
	// Nobody else may connect in the moment before the socket has its mode.
	defer unix.Umask(unix.Umask(0o777 &^ ownSocketMode))
	s, err := bind(folder, name, ownSocketMode)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(s.fd), path)
	defer file.Close() // the listener has a descriptor of its own
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return &Own{listener, s.fileID, path}, nil
}

// vacant checks that name in folder is free, or a socket at which nobody listens.
func vacant(folder *os.File, name string) error {
	info, err := os.Lstat(procPath(folder, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", filepath.Join(folder.Name(), name))
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", procPath(folder, name))
	switch {
	case err == nil:
		_ = conn.Close() // it served its purpose
		return ErrTaken
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, context.DeadlineExceeded):
		return ErrTaken // it has more callers than it takes
	}
	return fmt.Errorf("ask who listens at the socket that is there: %w", err)
}

// Addr is where clients connect: the path, and not the name that the socket was bound under.
func (o *Own) Addr() net.Addr { return &net.UnixAddr{Name: o.path, Net: "unix"} }

// Close ends the listener.
func (o *Own) Close() error {
	err := o.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	folder, openErr := os.Open(filepath.Dir(o.path))
	if openErr != nil {
		return err // the folder is gone, and the socket with it
	}
	defer folder.Close()
	if o.fileID.isAt(procPath(folder, filepath.Base(o.path))) {
		err = errors.Join(err, os.Remove(o.path))
	}
	return err
}

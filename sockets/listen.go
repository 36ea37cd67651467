package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	runDirMode = 0o700
	folderMode = 0o755
	socketMode = 0o666
)

// isID reports whether id has the form of the manager's ids. No such name can lead out of a folder.
func isID(id string) bool {
	return len(id) == 20 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuv") == ""
}

func socketName(id string) string { return id + ".sock" }

// errWouldBlock means that no connection waits to be accepted.
var errWouldBlock = errors.New("nobody waits at the socket")

// socket listens, and knows the file that leads to it.
type socket struct {
	fileID fileID

	mu     sync.Mutex
	fd     int
	closed bool
	poller *poller // nil until the socket is polled
}

// fileID identifies a file together with its mode.
type fileID struct {
	dev, ino uint64
	mode     uint32
}

func fileIDOf(path string) (fileID, error) {
	var stat unix.Stat_t
	err := unix.Lstat(path, &stat)
	return fileID{stat.Dev, stat.Ino, stat.Mode}, err
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
	folder, err := openPath(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(procPath(folder, ""), folderMode); err != nil {
		return nil, errors.Join(fmt.Errorf("set mode of socket folder: %w", err), folder.Close())
	}
	return folder, nil
}

// openPath opens a handle that only names a folder, whatever its path leads to later.
func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket folder %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// procPath is a path to name in folder that stays short however long folder's own path is: a socket's address has 107 bytes.
func procPath(folder *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name)
}

// bind listens at name in folder. The socket gets its mode under another name and is renamed over whatever stands at name,
// so a flow that connects meanwhile finds either the old one or the new one, ready.
func bind(folder *os.File, name string, mode fs.FileMode) (*socket, error) {
	temporary, final := procPath(folder, "."+name), procPath(folder, name)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	fd, err := listen(temporary)
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", folder.Name(), err)
	}
	file, err := publish(temporary, final, mode)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &socket{fileID: file, fd: fd}, nil
}

// backlog is how many may wait to be accepted; the kernel allows as many as net.core.somaxconn says.
const backlog = 4096

func listen(path string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return 0, errors.Join(os.NewSyscallError("listen", err), unix.Close(fd))
	}
	return fd, nil
}

func publish(temporary, final string, mode fs.FileMode) (fileID, error) {
	if err := os.Chmod(temporary, mode); err != nil {
		return fileID{}, fmt.Errorf("set mode of socket: %w", err)
	}
	file, err := fileIDOf(temporary)
	if err != nil {
		return fileID{}, fmt.Errorf("look at socket: %w", err)
	}
	if err := os.Rename(temporary, final); err != nil {
		return fileID{}, fmt.Errorf("rename socket: %w", err)
	}
	return file, nil
}

// Accept does not block: where no connection waits, it returns errWouldBlock. After Close it returns net.ErrClosed.
func (s *socket) Accept() (net.Conn, error) {
	fd, err := s.accept()
	if err != nil {
		return nil, err
	}
	return fileConn{os.NewFile(uintptr(fd), "a flow's connection")}, nil
}

// fileConn is a connection with the descriptor that it was accepted with. One of package net has a copy, for which the process may have
// none left; what was accepted would be lost.
type fileConn struct{ *os.File }

// LocalAddr implements net.Conn, as does RemoteAddr.
func (c fileConn) LocalAddr() net.Addr  { return &net.UnixAddr{Net: "unix"} }
func (c fileConn) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// CloseRead ends reading once what has arrived was read.
func (c fileConn) CloseRead() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var shut error
	if err := raw.Control(func(fd uintptr) { shut = unix.Shutdown(int(fd), unix.SHUT_RD) }); err != nil {
		return err
	}
	return os.NewSyscallError("shutdown", shut)
}

func (s *socket) accept() (fd int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed {
		fd, _, err = unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, errWouldBlock
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED):
			return 0, os.NewSyscallError("accept4", err)
		}
	}
	return 0, net.ErrClosed
}

// poll has callback called once when a connection waits to be accepted, as poller.add does.
func (s *socket) poll(p *poller, callback func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poller = p
	return p.add(s.fd, callback)
}

// rearm has callback called once more. It does nothing after Close.
func (s *socket) rearm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return s.poller.rearm(s.fd)
}

// Close ends the listening. The file stays.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	if s.poller != nil {
		s.poller.remove(s.fd)
	}
	return os.NewSyscallError("close", unix.Close(s.fd))
}

// isAt reports whether whoever connects to path reaches s.
func (s *socket) isAt(path string) bool { return s != nil && s.fileID.isAt(path) }

func (m fileID) isAt(path string) bool {
	file, err := fileIDOf(path)
	return err == nil && file == m
}

package sockets

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// knocks is how many sockets with somebody before them are learned of at once.
const knocks = 128

// door waits at all sockets at once: a goroutine that waits at each one would keep 2 KiB of memory for it. The zero value is
// ready.
type door struct {
	mu    sync.Mutex
	epoll *os.File       // nil until there is a first socket
	ended chan struct{}  // closed when nobody is waited for any more
	bells map[int]func() // by the socket's file descriptor
}

// watch has ring called once when somebody is at the socket, be it now or later. It is called with the door's lock held, and so
// must neither wait nor call the door.
func (d *door) watch(fd int, ring func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.openLocked(); err != nil {
		return err
	}
	if err := d.controlLocked(unix.EPOLL_CTL_ADD, fd); err != nil {
		return err
	}
	d.bells[fd] = ring
	return nil
}

// again has ring called once more.
func (d *door) again(fd int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.controlLocked(unix.EPOLL_CTL_MOD, fd)
}

// leave sees to it that ring is not called from now on. A socket is left before it is closed.
func (d *door) leave(fd int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bells[fd] != nil {
		delete(d.bells, fd)
		_ = d.controlLocked(unix.EPOLL_CTL_DEL, fd) // or else its close does it
	}
}

// close ends all waiting. All sockets are closed by then.
func (d *door) close() error {
	d.mu.Lock()
	epoll := d.epoll
	d.epoll = nil
	d.mu.Unlock()
	if epoll == nil {
		return nil
	}
	err := epoll.Close()
	<-d.ended
	return err
}

func (d *door) openLocked() error {
	if d.epoll != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime waits for it, and no thread does
		return errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	epoll := os.NewFile(uintptr(fd), "the sockets")
	conn, err := epoll.SyscallConn()
	if err == nil {
		err = epoll.SetReadDeadline(time.Time{}) // fails where the runtime could not take it in
	}
	if err != nil {
		return errors.Join(fmt.Errorf("wait for the sockets: %w", err), epoll.Close())
	}
	d.epoll, d.ended, d.bells = epoll, make(chan struct{}), map[int]func(){}
	go d.run(conn)
	return nil
}

func (d *door) controlLocked(what, fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
	if err := unix.EpollCtl(int(d.epoll.Fd()), what, fd, &event); err != nil {
		return fmt.Errorf("wait at a socket: %w", os.NewSyscallError("epoll_ctl", err))
	}
	return nil
}

// run rings the bells until the door is closed.
func (d *door) run(conn syscall.RawConn) {
	defer close(d.ended)
	events := make([]unix.EpollEvent, knocks)
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0) // fails for nothing but an interruption
			return n > 0
		})
		if err != nil {
			return
		}
		d.ring(events[:n])
	}
}

// ring calls what waits for the events. One whose socket was left meanwhile waits for nothing, and where its descriptor is
// another socket's by now that one finds nobody.
func (d *door) ring(events []unix.EpollEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range events {
		if ring := d.bells[int(events[i].Fd)]; ring != nil {
			ring()
		}
	}
}

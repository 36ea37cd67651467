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

// batch is how many events are read at once.
const batch = 128

// poller waits for connections at all sockets with one goroutine. A goroutine for each socket would keep 2 KiB of memory for
// it. The zero value is ready.
type poller struct {
	mu        sync.Mutex
	epoll     *os.File       // nil until there is a first socket
	ended     chan struct{}  // closed when run has ended
	callbacks map[int]func() // by the socket's file descriptor
}

// add has callback called once when a connection waits at the socket, be it now or later. The poller's lock is held during the
// call, so callback must neither block nor call the poller.
func (p *poller) add(fd int, callback func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.openLocked(); err != nil {
		return err
	}
	if err := p.controlLocked(unix.EPOLL_CTL_ADD, fd); err != nil {
		return err
	}
	p.callbacks[fd] = callback
	return nil
}

// rearm has callback called once more.
func (p *poller) rearm(fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.controlLocked(unix.EPOLL_CTL_MOD, fd)
}

// remove ends the calls of callback. A socket is removed before it is closed.
func (p *poller) remove(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.callbacks[fd] != nil {
		delete(p.callbacks, fd)
		_ = p.controlLocked(unix.EPOLL_CTL_DEL, fd) // or else its close does it
	}
}

// close ends all waiting. All sockets are closed by then.
func (p *poller) close() error {
	p.mu.Lock()
	epoll := p.epoll
	p.epoll = nil
	p.mu.Unlock()
	if epoll == nil {
		return nil
	}
	err := epoll.Close()
	<-p.ended
	return err
}

func (p *poller) openLocked() error {
	if p.epoll != nil {
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
	p.epoll, p.ended, p.callbacks = epoll, make(chan struct{}), map[int]func(){}
	go p.run(conn)
	return nil
}

func (p *poller) controlLocked(what, fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
	if err := unix.EpollCtl(int(p.epoll.Fd()), what, fd, &event); err != nil {
		return fmt.Errorf("wait at a socket: %w", os.NewSyscallError("epoll_ctl", err))
	}
	return nil
}

// run reads events until the poller is closed.
func (p *poller) run(conn syscall.RawConn) {
	defer close(p.ended)
	events := make([]unix.EpollEvent, batch)
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0) // fails for nothing but an interruption
			return n > 0
		})
		if err != nil {
			return
		}
		p.dispatch(events[:n])
	}
}

// dispatch calls the events' callbacks. A socket that was removed meanwhile has none. If another socket has its descriptor by
// now, that one's callback finds no connection.
func (p *poller) dispatch(events []unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range events {
		if callback := p.callbacks[int(events[i].Fd)]; callback != nil {
			callback()
		}
	}
}

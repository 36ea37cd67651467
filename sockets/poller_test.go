package sockets

import (
	"net"
	"testing"

	"github.com/rs/xid"
	"golang.org/x/sys/unix"
)

// openMany opens sockets in one hub.
func openMany(t *testing.T, n int) (h *Hub, ids []string, heard recorder) {
	t.Helper()
	h, id, heard := newHub(t, Config{})
	ids = []string{id}
	for len(ids) < n {
		id := xid.New().String()
		if err := h.Open(id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return h, ids, heard
}

// A socket at which nobody is costs no goroutine.
func TestHub_Open_IdleSocketsAreCheap(t *testing.T) {
	const many = 1000
	h, _, _ := newHub(t, Config{})
	before := spending()
	for range many {
		if err := h.Open(xid.New().String()); err != nil {
			t.Fatal(err)
		}
	}
	after := spending()
	if n, each := after.goroutines-before.goroutines, (after.bytes-before.bytes)/many; n > 0 || each > 2048 {
		t.Errorf("%d goroutines more, and %d bytes for each socket", n, each)
	} else {
		t.Logf("%d bytes for each socket", each)
	}
}

// Flows that all come at once, more of them than the poller reads at once, are all let in; and those that come after them.
func TestPoller_Crowd(t *testing.T) {
	h, ids, heard := openMany(t, 2*batch+1)
	for range 2 {
		var crowd []net.Conn
		for _, id := range ids {
			crowd = append(crowd, dial(t, h, id))
		}
		for range ids {
			heard.expect(t, "connection true")
		}
		for _, nc := range crowd {
			nc.Close()
		}
		for range ids {
			heard.expect(t, "connection false")
		}
	}
}

// An event of a socket that was removed meanwhile is dropped, or wakes for nothing another one that has its descriptor by then.
func TestPoller_Removed(t *testing.T) {
	h, ids, heard := openMany(t, 2)
	wake := func(fd int) { h.poller.dispatch([]unix.EpollEvent{{Events: unix.EPOLLIN, Fd: int32(fd)}}) }
	removed, kept := h.endpoints[ids[0]].socket.fd, ids[1]
	if err := h.Remove(ids[0]); err != nil {
		t.Fatal(err)
	}
	wake(removed)
	wake(h.endpoints[kept].socket.fd)
	join(t, h, kept)
	heard.expect(t, "connection true")
}

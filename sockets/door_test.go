package sockets

import (
	"net"
	"testing"

	"github.com/rs/xid"
	"golang.org/x/sys/unix"
)

// openMany opens sockets in one hub.
func openMany(t *testing.T, n int) (h *Hub, ids []string, heard ear) {
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

// Flows that all come at once, more of them than the door learns of at a time, are all let in; and those that come after them.
func TestDoor_Crowd(t *testing.T) {
	h, ids, heard := openMany(t, 2*knocks+1)
	for range 2 {
		var crowd []net.Conn
		for _, id := range ids {
			crowd = append(crowd, dial(t, h, id))
		}
		for range ids {
			heard.hears(t, "connection true")
		}
		for _, nc := range crowd {
			nc.Close()
		}
		for range ids {
			heard.hears(t, "connection false")
		}
	}
}

// What the door has learned of a socket that was left meanwhile is forgotten, or wakes another one for nothing that has its
// descriptor by then.
func TestDoor_Left(t *testing.T) {
	h, ids, heard := openMany(t, 2)
	knock := func(fd int) { h.door.ring([]unix.EpollEvent{{Events: unix.EPOLLIN, Fd: int32(fd)}}) }
	left, stays := h.endpoints[ids[0]].socket.fd, ids[1]
	if err := h.Remove(ids[0]); err != nil {
		t.Fatal(err)
	}
	knock(left)
	knock(h.endpoints[stays].socket.fd)
	join(t, h, stays)
	heard.hears(t, "connection true")
}

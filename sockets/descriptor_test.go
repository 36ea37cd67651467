package sockets

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rs/xid"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// occupy takes all file descriptors that the process may have, below a limit that it sets; free gives some back.
func occupy(t *testing.T) (free func(n int)) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lower := limit
	lower.Cur = 256
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	var taken []int
	free = func(n int) {
		for _, fd := range taken[len(taken)-n:] {
			unix.Close(fd)
		}
		taken = taken[:len(taken)-n]
	}
	t.Cleanup(func() {
		free(len(taken))
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	})
	for {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return free
		}
		taken = append(taken, fd)
	}
}

// A connection is served with the last file descriptor that there is. Without one it waits until there is, and of all that wait one line
// tells.
func TestHub_TheLastFileDescriptor(t *testing.T) {
	var log bytes.Buffer
	h, first, _ := newHub(t, Config{Log: zerolog.New(zerolog.SyncWriter(&log))})
	ids := []string{first}
	for range 3 {
		id := xid.New().String()
		if err := h.Open(id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	run, err := os.Open(filepath.Dir(h.Dir(first)))
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	connect := func(id string) flow {
		nc, err := net.Dial("unix", procPath(run, filepath.Join(id, socketName(id))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return flow{t, nc}
	}
	ping := func(f flow) {
		t.Helper()
		f.SetDeadline(time.Now().Add(patience))
		f.handshake()
	}
	connect(first).handshake() // so that whatever needs a descriptor of its own has it
	free := occupy(t)
	free(2) // one for the flow's end, and one for ours
	ping(connect(first))
	var waiting []flow
	for _, id := range ids[1:] {
		free(1)
		waiting = append(waiting, connect(id))
	}
	tries := func() int {
		h.refusals.mu.Lock()
		defer h.refusals.mu.Unlock()
		return h.refusals.untold
	}
	for deadline := time.Now().Add(patience); tries() < 4; runtime.Gosched() { // each was tried twice, but for the one that was told of
		if time.Now().After(deadline) {
			t.Fatalf("%d were tried again", tries())
		}
	}
	free(3)
	for _, f := range waiting {
		ping(f)
	}
	if n := strings.Count(log.String(), "cannot be accepted"); n != 1 {
		t.Errorf("%d lines were logged: %s", n, log.String())
	}
}

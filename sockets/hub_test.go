package sockets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
)

func TestHub_BadIDs(t *testing.T) {
	h, _, _ := newHub(t, Config{})
	for _, id := range []string{"", ".", "..", "../" + xid.New().String(), "wxyzwxyzwxyzwxyzwxyz", "CKQ6J8V4H5T3R2P1N0M9", "0123456789abcdefghij\x00", strings.Repeat("a", 21)} {
		wantType(t, h.Open(id), api.ValidationError)
		wantType(t, h.Remove(id), api.ValidationError)
		if h.Dir(id) != "" || h.Path(id) != "" {
			t.Errorf("%q has the path %s", id, h.Path(id))
		}
	}
}

func TestHub_Remove(t *testing.T) {
	h, id, heard := newHub(t, Config{})
	f := join(t, h, id)
	heard.expect(t, "connection true")
	done := send(t.Context(), h, id, `{}`, SendOptions{ExpectReply: true})
	f.next()
	f.handshake() // the writer has noted by now that the message is whole
	if err := h.Remove(id); err != nil {
		t.Fatal(err)
	}
	fails(t, done, api.SocketConnectionError, "sent")
	f.expectEnd()
	heard.expect(t, "connection false")
	if _, err := os.Lstat(h.Dir(id)); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
	if err := h.Remove(id); err != nil {
		t.Errorf("remove again: %v", err)
	}
	if err := h.Open(id); err != nil {
		t.Fatal(err)
	}
	join(t, h, id)
}

// A flow outlives the manager: it finds the next one at the same path, while the old one's file still stands there.
func TestHub_Restart(t *testing.T) {
	h, id, heard := newHub(t, Config{})
	f := join(t, h, id)
	tellStatus(h, id, `1`)
	f.expect(`{"type":"status","status":1}`)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	f.expectEnd()
	heard.expect(t, "connection true", "connection false")
	lstat(t, h.Path(id))

	next := openHub(t, Config{RunDir: h.cfg.RunDir, Watcher: heard})
	if err := next.Open(id); err != nil {
		t.Fatal(err)
	}
	waits := send(t.Context(), next, id, `{"n":"1"}`, SendOptions{})
	f = connect(t, next, id)
	f.expect(`{"type":"status","status":1}`)
	if got := field(t, f.next(), "n"); got != "1" {
		t.Errorf("flow got %q", got)
	}
	succeeds(t, waits)
	heard.expect(t, "connection true")
	onlySocket(t, next, id)
}

// Whoever closed the hub may take the watcher's own things away.
func TestHub_Close_WaitsForTheWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(recorder)
		h := openHub(t, Config{RunDir: t.TempDir(), Watcher: heard})
		id := xid.New().String()
		h.endpoints[id] = newEndpoint(id, h)
		pipe(t, h, id)
		closed := make(chan error)
		go func() { closed <- h.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close returned while the watcher was being told")
		default:
		}
		if got := <-heard; got != "connection true" && got != "connection false" {
			t.Errorf("watcher heard %q", got)
		}
		for {
			select {
			case <-heard:
			case err := <-closed:
				if err != nil {
					t.Error(err)
				}
				return
			}
		}
	})
}

func TestHub_Close_Twice(t *testing.T) {
	h, _, _ := newHub(t, Config{})
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHub_TooManyConnections(t *testing.T) {
	h, id, heard := newHub(t, Config{})
	var flows []flow
	for range 16 {
		flows = append(flows, join(t, h, id))
	}
	extra := connect(t, h, id)
	if got := extra.next(); field(t, got, "type") != "error" || field(t, got, "error_type") != "socket_error" {
		t.Errorf("the 17th heard %s, want an error frame", got)
	}
	extra.expectEnd()
	heard.expect(t, "connection true", "fault socket_error map[]")
	for _, f := range flows {
		f.handshake()
	}
	flows[3].sendBytes([]byte{255, 0, 0, 0})
	flows[3].next()
	flows[3].expectEnd()
	join(t, h, id)
}

func TestHub_Order(t *testing.T) {
	const n = 2000
	h, id, heard := newHub(t, Config{MaxHeard: 1 << 30})
	f := join(t, h, id)
	var saying sync.WaitGroup
	saying.Go(func() {
		for i := range n {
			f.send(fmt.Sprintf(`{"n":%d}`, i))
		}
	})
	saying.Go(func() {
		for i := range n {
			if _, err := h.Send(t.Context(), id, json.RawMessage(fmt.Sprintf(`{"n":"%d"}`, i)), SendOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range n {
		if got, want := field(t, f.next(), "n"), fmt.Sprint(i); got != want {
			t.Fatalf("flow got message %s, want %s", got, want)
		}
	}
	heard.expect(t, "connection true")
	for i := range n {
		heard.expect(t, fmt.Sprintf(`message {"n":%d}`, i))
	}
	saying.Wait()
}

// Every asker gets the answer to its own question, however the flow orders them.
func TestHub_Send_Concurrent(t *testing.T) {
	h, id, _ := newHub(t, Config{})
	f := join(t, h, id)
	var asking sync.WaitGroup
	for i := range 64 {
		asking.Go(func() {
			reply, err := h.Send(t.Context(), id, json.RawMessage(fmt.Sprintf(`{"id":"%d","n":"%d"}`, i, i)), SendOptions{ExpectReply: true})
			if want := fmt.Sprintf(`{"reply_to":"%d","n":"%d"}`, i, i); err != nil || string(reply) != want {
				t.Errorf("reply %s, %v, want %s", reply, err, want)
			}
		})
	}
	var asked []string
	for range 64 {
		asked = append(asked, f.next())
	}
	for i := range asked {
		m := asked[len(asked)-1-i]
		f.send(fmt.Sprintf(`{"n":"%s","reply_to":"%s"}`, field(t, m, "n"), field(t, m, "id")))
	}
	asking.Wait()
}

// A flow that reads nothing costs its own messages and nobody else's.
func TestHub_SlowReader(t *testing.T) {
	h, slow, _ := newHub(t, Config{})
	quick := xid.New().String()
	if err := h.Open(quick); err != nil {
		t.Fatal(err)
	}
	join(t, h, slow)
	f := join(t, h, quick)
	ctx, cancel := context.WithCancel(t.Context())
	big := `{"a":"` + strings.Repeat("x", 1<<20-100) + `"}`
	stuck := send(ctx, h, slow, big, SendOptions{})
	for range 100 {
		done := send(t.Context(), h, quick, `{}`, SendOptions{ExpectReply: true})
		f.send(`{"reply_to":"` + field(t, f.next(), "id") + `"}`)
		succeeds(t, done)
		tellStatus(h, slow, `{}`)
	}
	cancel()
	if a := receive(t, stuck); a.err == nil || a.err.Type != api.SocketTimeoutError {
		t.Errorf("Send to the slow flow: %v", a.err)
	}
}

// What a flow said before it ended is heard, though writing to it failed meanwhile.
func TestHub_LastWords(t *testing.T) {
	heard := make(recorder)
	h := openHub(t, Config{RunDir: t.TempDir(), Watcher: heard})
	id := xid.New().String()
	if err := h.Open(id); err != nil {
		t.Fatal(err)
	}
	f := connect(t, h, id)
	f.send(`{"n":1}`, `{"n":2}`)
	c := onlyConn(h, id)
	f.Close()
	tellStatus(h, id, `{}`)
	<-c.written
	heard.expect(t, "connection true", `message {"n":1}`, `message {"n":2}`, "connection false")
}

// onlyConn waits for the container's connection.
func onlyConn(h *Hub, id string) *conn {
	e := h.endpoints[id]
	for {
		e.mu.Lock()
		conns := e.conns
		e.mu.Unlock()
		if len(conns) > 0 {
			return conns[0]
		}
		runtime.Gosched()
	}
}

// The hub keeps its promises while everything happens to it at once.
func TestHub_Storm(t *testing.T) {
	h, id, heard := newHub(t, Config{})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range heard {
		}
	}()
	var storm sync.WaitGroup
	repeat := func(f func()) {
		storm.Go(func() {
			for range 100 {
				f()
			}
		})
	}
	repeat(func() {
		if err := h.Open(id); err != nil {
			t.Error(err)
		}
	})
	repeat(func() {
		if err := h.Remove(id); err != nil {
			t.Error(err)
		}
	})
	repeat(func() {
		if nc, err := net.Dial("unix", h.Path(id)); err == nil { // else it is just being removed
			nc.Close()
		}
	})
	repeat(func() { tellStatus(h, id, `{}`) })
	repeat(func() { h.Facts(id) })
	repeat(func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := send(ctx, h, id, `{}`, SendOptions{})
		cancel()
		receive(t, done)
	})
	storm.Wait()
	if err := errors.Join(h.Remove(id), h.Open(id)); err != nil { // with its connections
		t.Fatal(err)
	}
	f := connect(t, h, id)
	f.expect(`{"type":"status","status":{}}`)
	f.handshake()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	close(heard)
	<-drained
}

func wantType(t *testing.T, err error, want api.ErrorType) {
	t.Helper()
	if err == nil || api.AsError(err).Type != want {
		t.Errorf("err = %v, want a %s", err, want)
	}
}

func lstat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

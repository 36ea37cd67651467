package sockets

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// spent is what a program holds: goroutines, and bytes of heap and stacks.
type spent struct{ goroutines, bytes int }

func spending() spent {
	runtime.GC()
	runtime.GC() // what the first one found to be garbage is swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return spent{runtime.NumGoroutine(), int(m.HeapAlloc + m.StackInuse)}
}

// Messages that wait for their replies cost a little memory each and no goroutine.
func TestHub_Queue_ManyWaiting(t *testing.T) {
	const many = 10_000
	h, id, _ := newHub(t, Config{})
	f := join(t, h, id)
	read := make(chan string, many)
	defer f.Close()
	go func() {
		for range many {
			read <- ""
			if _, err := readFrame(f, 1<<20); err != nil {
				return
			}
		}
	}()
	f.SetReadDeadline(time.Now().Add(patience))
	before := spending()
	var settled atomic.Int64
	ask := func(n int) {
		message := json.RawMessage(fmt.Sprintf(`{"id":"%d","type":"ask","body":"%s"}`, n, strings.Repeat("x", 4<<10)))
		for {
			err := h.Queue(t.Context(), id, message, SendOptions{Timeout: time.Hour, ExpectReply: true}, func(json.RawMessage, error) { settled.Add(1) })
			if err == nil {
				return
			}
			wantType(t, err, api.RateLimitError) // as many wait to be written as may
			<-read
		}
	}
	for n := range many {
		ask(n)
	}
	asked := func() int {
		e := h.endpoints[id]
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.pending.awaitingReply)
	}
	for deadline := time.Now().Add(patience); asked() < many; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d were written", asked(), many)
		}
	}
	after := spending()
	each := (after.bytes - before.bytes) / many
	t.Logf("%d waiting messages cost %d goroutines and %d bytes each", many, after.goroutines-before.goroutines, each)
	if after.goroutines-before.goroutines > 10 || each > 1<<10 {
		t.Errorf("%d goroutines and %d bytes each, want at most 10 and 1024", after.goroutines-before.goroutines, each)
	}
	if err := h.Remove(id); err != nil {
		t.Fatal(err)
	}
	if n := settled.Load(); n != many {
		t.Errorf("%d of %d were settled when the socket was removed", n, many)
	}
	if left := (spending().bytes - before.bytes) / many; left > 64 {
		t.Errorf("of each settled message %d bytes are left", left)
	}
}

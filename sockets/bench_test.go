package sockets

import (
	"bufio"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// deaf is a Watcher for whom nothing is of interest.
type nopWatcher struct{}

func (nopWatcher) Connection(string, bool)                            {}
func (nopWatcher) Message(string, json.RawMessage)                    {}
func (nopWatcher) ActorEvent(string, string, string, json.RawMessage) {}
func (nopWatcher) Ready(string)                                       {}
func (nopWatcher) Heartbeat(string)                                   {}
func (nopWatcher) Reachable(string, bool)                             {}
func (nopWatcher) Traffic(string, Way, string, int)                   {}
func (nopWatcher) Fault(string, *api.Error)                           {}

// BenchmarkHub_Send measures a message of 256 bytes to a flow in this process and its reply, from many callers at once.
func BenchmarkHub_Send(b *testing.B) {
	h, err := New(Config{RunDir: filepath.Join(b.TempDir(), "run"), Watcher: nopWatcher{}})
	if err != nil {
		b.Fatal(err)
	}
	id := xid.New().String()
	if err := h.Open(id); err != nil {
		b.Fatal(err)
	}
	nc := dial(b, h, id)
	var echoing sync.WaitGroup
	echoing.Go(func() { echo(b, nc) })
	defer echoing.Wait()
	defer h.Close()
	message := json.RawMessage(`{"id":"1","type":"go","body":"` + strings.Repeat("x", 220) + `"}`)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.Send(b.Context(), id, message, SendOptions{ExpectReply: true}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// echo replies to each message until the connection ends.
func echo(b *testing.B, nc net.Conn) {
	r := bufio.NewReader(nc)
	for {
		body, err := readFrame(r, 1<<20)
		if err != nil {
			return
		}
		o, err := rawjson.Parse(body)
		if err != nil {
			b.Error(err)
			return
		}
		if _, err := nc.Write(frameOf(o.Replaced("reply_to", o.Value("id")))); err != nil {
			return
		}
	}
}

// BenchmarkHub_Open measures the check of a socket that stands as it should.
func BenchmarkHub_Open(b *testing.B) {
	h, err := New(Config{RunDir: filepath.Join(b.TempDir(), "run"), Watcher: nopWatcher{}})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	id := xid.New().String()
	for b.Loop() {
		if err := h.Open(id); err != nil {
			b.Fatal(err)
		}
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/sockets"
)

// hubRow measures the flows' sockets alone, in this process, beside the least that could do their work.
func hubRow(ctx context.Context, b *bench) ([]finding, error) {
	own, err := b.hub()
	if err != nil {
		return nil, err
	}
	lib, err := b.bareHub()
	if err != nil {
		return nil, err
	}
	n := b.times(640, 40_000)
	raw := exchange(lib.send).crowded(n)
	figures, err := warmed(ctx, b.times(1, 7), raw, raw, own.crowded(n))
	if err != nil {
		return nil, err
	}
	f := faster(fmt.Sprintf("hub alone, message and reply, %d in flight", inFlight), figures, 0.8)
	f.yardstick = "a bare socket: " + f.yardstick
	f.note = "bare: the same frames, one reader that decodes the id only, one write for each frame"
	return []finding{f}, nil
}

// exchange sends a message and returns with the reply.
type exchange func(ctx context.Context) error

// crowded does n of them.
func (e exchange) crowded(n int) trial {
	return func(ctx context.Context) (float64, error) {
		return crowded(ctx, n, func(ctx context.Context, _ int) error { return e(ctx) })
	}
}

// hub is the product's own, with a flow in this process.
func (b *bench) hub() (exchange, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	h, err := sockets.New(sockets.Config{RunDir: filepath.Join(dir, "run"), Watcher: deaf{}})
	if err != nil {
		return nil, err
	}
	b.later(h.Close)
	id := xid.New().String()
	if err := h.Open(id); err != nil {
		return nil, err
	}
	if err := b.flow(h.Path(id)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := h.Send(ctx, id, message(), sockets.SendOptions{ExpectReply: true})
		return err
	}, nil
}

// deaf is a sockets.Watcher for whom nothing is of interest.
type deaf struct{}

func (deaf) Connection(string, bool)                            {}
func (deaf) Message(string, json.RawMessage)                    {}
func (deaf) ActorEvent(string, string, string, json.RawMessage) {}
func (deaf) Ready(string)                                       {}
func (deaf) Heartbeat(string)                                   {}
func (deaf) Reachable(string, bool)                             {}
func (deaf) Traffic(string, sockets.Way, string, int)           {}
func (deaf) Fault(string, *api.Error)                           {}

// bareHub is one socket with nothing around it that is not needed to tell replies apart.
type bareHub struct {
	conn net.Conn

	writing sync.Mutex

	mu      sync.Mutex
	last    int
	waiting map[string]chan []byte
}

func (b *bench) bareHub() (*bareHub, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := b.flow(filepath.Join(dir, "s")); err != nil {
		return nil, err
	}
	h := &bareHub{waiting: map[string]chan []byte{}}
	if h.conn, err = l.Accept(); err != nil {
		return nil, err
	}
	b.later(h.conn.Close)
	go h.read()
	return h, nil
}

func (h *bareHub) send(ctx context.Context) error {
	reply := make(chan []byte, 1)
	h.mu.Lock()
	h.last++
	id := strconv.Itoa(h.last)
	h.waiting[id] = reply
	h.mu.Unlock()
	h.writing.Lock()
	_, err := h.conn.Write(framed([]byte(`{"id":"`+id+`",`), message()[1:]))
	h.writing.Unlock()
	if err != nil {
		return err
	}
	_, err = receive(ctx, reply)
	return err
}

func (h *bareHub) read() {
	in := bufio.NewReader(h.conn)
	for {
		text, err := readFrame(in)
		if err != nil {
			return // the row is over
		}
		var body struct {
			ReplyTo string `json:"reply_to"`
		}
		if json.Unmarshal(text, &body) != nil {
			return // and whoever waits runs out of patience
		}
		h.mu.Lock()
		if reply := h.waiting[body.ReplyTo]; reply != nil {
			delete(h.waiting, body.ReplyTo)
			reply <- text
		}
		h.mu.Unlock()
	}
}

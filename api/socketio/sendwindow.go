package socketio

import (
	"sync"

	"github.com/zishang520/engine.io-go-parser/packet"
)

// How much may be pending inside the library before a session's writer waits. The library itself has no bound, and
// clients of long polling drop an answer of more than 16 packets.
const (
	maxPendingBytes   = 64 << 10
	maxPendingPackets = 256
	maxPollPackets    = 12
)

// sendWindow counts what one connection has been handed and has not written yet. The library reports each packet as it
// is made, each batch as it is flushed to the transport, and each batch as it has been written.
type sendWindow struct {
	wake chan struct{} // capacity 1: something was written, or an upgrade is over

	mu       sync.Mutex
	buffered volume
	batches  []volume
	left     int // messages of the newest of these that have not been written
	paused   bool
}

type volume struct{ packets, bytes int }

func (w *sendWindow) created(p *packet.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buffered.packets++
	w.buffered.bytes += packetSize(p)
}

func (w *sendWindow) flushed(batch []*packet.Packet) {
	var v volume
	for _, p := range batch {
		v.packets++
		v.bytes += packetSize(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buffered.packets -= v.packets
	w.buffered.bytes -= v.bytes
	w.batches = append(w.batches, v)
	w.left = v.packets
}

// more notes that a message has been written, and reports whether another one of its batch follows.
func (w *sendWindow) more() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = max(0, w.left-1)
	return w.left > 0
}

// drained tolerates an empty list: what ends a polling transport is written without a flush.
func (w *sendWindow) drained() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.batches) > 0 {
		w.batches = w.batches[1:]
	}
	w.left = 0
	signal(w.wake)
}

// pause holds the writer while an upgrade is tried, for which the client lets its poll end and begins no other one.
func (w *sendWindow) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = true
}

func (w *sendWindow) isPaused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paused
}

func (w *sendWindow) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = false
	signal(w.wake)
}

// switched forgets what the old transport was still to report.
func (w *sendWindow) switched() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches, w.left = nil, 0
}

func (w *sendWindow) hasRoom(polling bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.pendingLocked()
	if polling {
		return !w.paused && v.packets < maxPollPackets
	}
	return !w.paused && v.packets < maxPendingPackets && v.bytes < maxPendingBytes
}

func (w *sendWindow) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pendingLocked().packets == 0
}

func (w *sendWindow) pendingLocked() volume {
	v := w.buffered
	for _, batch := range w.batches {
		v.packets += batch.packets
		v.bytes += batch.bytes
	}
	return v
}

func packetSize(p *packet.Packet) int {
	if b, ok := p.Data.(interface{ Len() int }); ok {
		return b.Len()
	}
	return 0
}

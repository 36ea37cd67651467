package socketio

import (
	"sync"

	"github.com/zishang520/engine.io-go-parser/packet"
)

// How much may be under way inside the library before a session's writer waits. The library itself has no bound, and
// clients of long polling drop an answer of more than 16 packets.
const (
	maxUnderWayBytes   = 64 << 10
	maxUnderWayPackets = 256
	maxPollPackets     = 12
)

// flow counts what one connection has been handed and has not written yet. The library reports each packet as it
// is made, each batch as it is flushed to the transport, and each batch as it has been written.
type flow struct {
	wake chan struct{} // capacity 1: something was written, or an upgrade is over

	mu       sync.Mutex
	buffered volume
	inFlight []volume
	left     int // messages of the newest of these that have not been written
	paused   bool
}

type volume struct{ packets, bytes int }

func (f *flow) created(p *packet.Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buffered.packets++
	f.buffered.bytes += size(p)
}

func (f *flow) flushed(batch []*packet.Packet) {
	var v volume
	for _, p := range batch {
		v.packets++
		v.bytes += size(p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buffered.packets -= v.packets
	f.buffered.bytes -= v.bytes
	f.inFlight = append(f.inFlight, v)
	f.left = v.packets
}

// more notes that a message has been written, and tells whether another one of its batch follows.
func (f *flow) more() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = max(0, f.left-1)
	return f.left > 0
}

// drained tolerates an empty list: the probe of an upgrade is written without a flush.
func (f *flow) drained() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.inFlight) > 0 {
		f.inFlight = f.inFlight[1:]
	}
	f.left = 0
	signal(f.wake)
}

// pause holds the writer while the library probes an upgrade: its own packet and one of ours, written to one and the
// same poll, would end the connection.
func (f *flow) pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = true
}

func (f *flow) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = false
	signal(f.wake)
}

// switched forgets what the old transport was still to report.
func (f *flow) switched() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight, f.left = nil, 0
}

func (f *flow) roomy(polling bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.underWayLocked()
	if polling {
		return !f.paused && v.packets < maxPollPackets
	}
	return !f.paused && v.packets < maxUnderWayPackets && v.bytes < maxUnderWayBytes
}

func (f *flow) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.underWayLocked().packets == 0
}

func (f *flow) underWayLocked() volume {
	v := f.buffered
	for _, batch := range f.inFlight {
		v.packets += batch.packets
		v.bytes += batch.bytes
	}
	return v
}

func size(p *packet.Packet) int {
	if b, ok := p.Data.(interface{ Len() int }); ok {
		return b.Len()
	}
	return 0
}

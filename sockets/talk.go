package sockets

import (
	"sync/atomic"
	"time"
)

const (
	// frameCost is what any frame of a flow is taken for, in bytes, however short it is.
	frameCost = 2 << 10
	// loneCost is that of a flow which is alone: nobody else waits for what it makes the manager do.
	loneCost = 256
	// loneAfter is how long no other flow may have said anything for that.
	loneAfter = time.Second
)

// talk tells whether one flow alone says anything. The zero value is ready.
type talk struct {
	speakers atomic.Uint64 // how many there were ever
	last     atomic.Uint64 // which of them said something last; 0: nobody yet
	changed  atomic.Int64  // when that became another one, in Unix nanoseconds
}

// join gives a speaker its number.
func (t *talk) join() uint64 { return t.speakers.Add(1) }

// heard notes that a speaker says something, and gives what its frame costs at least.
func (t *talk) heard(speaker uint64, now time.Time) (cost int) {
	if last := t.last.Swap(speaker); last != 0 && last != speaker {
		t.changed.Store(now.UnixNano())
	}
	if now.UnixNano()-t.changed.Load() < int64(loneAfter) {
		return frameCost
	}
	return loneCost
}

package sockets

import (
	"hash/crc32"
	"sync"
)

// turns keep apart what concerns the same container, and now and then what does not. The zero value is ready.
type turns [64]sync.Mutex

// take waits for the container's turn, and gives what ends it.
func (t *turns) take(id string) (end func()) {
	turn := &t[crc32.ChecksumIEEE([]byte(id))%uint32(len(t))]
	turn.Lock()
	return turn.Unlock
}

// takeAll waits for everybody's turn.
func (t *turns) takeAll() (end func()) {
	for i := range t {
		t[i].Lock()
	}
	return func() {
		for i := range t {
			t[i].Unlock()
		}
	}
}

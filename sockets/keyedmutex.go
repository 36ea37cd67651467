package sockets

import (
	"hash/crc32"
	"sync"
)

// keyedMutex locks by key. Two keys may share one lock. The zero value is ready.
type keyedMutex [64]sync.Mutex

// lock locks id, and returns what unlocks it.
func (m *keyedMutex) lock(id string) (unlock func()) {
	mu := &m[crc32.ChecksumIEEE([]byte(id))%uint32(len(m))]
	mu.Lock()
	return mu.Unlock
}

// lockAll locks every key, and returns what unlocks them.
func (m *keyedMutex) lockAll() (unlock func()) {
	for i := range m {
		m[i].Lock()
	}
	return func() {
		for i := range m {
			m[i].Unlock()
		}
	}
}

package socketio

import (
	"sync"
	"sync/atomic"
)

// fairBytes is what a connection may have waiting in each direction, whatever the others have.
const fairBytes = 64 << 10

// budget bounds what waits for, or from, all connections together: what each may have by itself, all at once may not.
type budget struct {
	max  int64
	used atomic.Int64
}

// room reports whether a connection that has so many bytes may have n more.
func (b *budget) room(has, n int) bool {
	return has+n <= fairBytes || b.used.Load()+int64(n) <= b.max
}

func (b *budget) add(n int) { b.used.Add(int64(n)) }

// reservation is what one connection has of a budget.
type reservation struct {
	budget *budget

	mu       sync.Mutex
	bytes    int
	released bool
}

// resize makes the reservation as large as wanted, or leaves it when there is no room.
func (s *reservation) resize(wanted int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released || wanted > s.bytes && !s.budget.room(s.bytes, wanted-s.bytes) {
		return false
	}
	s.budget.add(wanted - s.bytes)
	s.bytes = wanted
	return true
}

// release gives all of it back, for good.
func (s *reservation) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.add(-s.bytes)
	s.bytes, s.released = 0, true
}

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

// room tells whether one that has so many bytes may have n more.
func (b *budget) room(has, n int) bool {
	return has+n <= fairBytes || b.used.Load()+int64(n) <= b.max
}

func (b *budget) add(n int) { b.used.Add(int64(n)) }

// share is what one holder has of a budget.
type share struct {
	of *budget

	mu    sync.Mutex
	bytes int
	over  bool
}

// hold makes the share as large as wanted, or leaves it when there is no room.
func (s *share) hold(wanted int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || wanted > s.bytes && !s.of.room(s.bytes, wanted-s.bytes) {
		return false
	}
	s.of.add(wanted - s.bytes)
	s.bytes = wanted
	return true
}

// end gives all of it back, for good.
func (s *share) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of.add(-s.bytes)
	s.bytes, s.over = 0, true
}

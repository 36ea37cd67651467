package main

import (
	"encoding/json"
	"sync"
)

// maxBacklog is how many bytes may wait for a listener that is held up, as by a pager, while the session is kept alive: twice
// what the log of a container can have.
const maxBacklog = 64 << 20

// incoming is an event for whoever listens, or an acknowledgement, which must not overtake those before it.
type incoming struct {
	event Event
	ack   chan<- json.RawMessage
	body  json.RawMessage
}

func (i *incoming) size() int { return len(i.event.Data) + len(i.body) }

// backlog is what has come and was not listened to yet, in order. One goroutine pushes and one pops.
type backlog struct {
	some chan struct{} // holds a token while there is something
	room chan struct{} // holds one when something was taken

	mu      sync.Mutex
	waiting []incoming
	bytes   int
}

func newBacklog() *backlog {
	return &backlog{some: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// push waits for room, unless nobody will make any.
func (b *backlog) push(next incoming, left <-chan struct{}) {
	for !b.offer(next) {
		select {
		case <-b.room:
		case <-left:
			return
		}
	}
}

func (b *backlog) offer(next incoming) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+next.size() > maxBacklog { // one alone is far smaller
		return false
	}
	b.waiting = append(b.waiting, next)
	b.bytes += next.size()
	raise(b.some)
	return true
}

// pop takes the first; false: there is none.
func (b *backlog) pop() (next incoming, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return next, false
	}
	next, b.waiting[0] = b.waiting[0], incoming{} // its bytes are not held by what is left
	b.waiting = b.waiting[1:]
	b.bytes -= next.size()
	if len(b.waiting) > 0 {
		raise(b.some)
	}
	raise(b.room)
	return next, true
}

func raise(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default: // it is there
	}
}

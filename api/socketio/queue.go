package socketio

import "sync"

type pushResult int

const (
	pushedOK pushResult = iota
	pushedFull
	pushedClosed
	pushedDropped // of an outbox: news that did not fit, which is told in their place
)

// queue is first in, first out, bounded in items and in bytes, for any number of producers and one consumer.
type queue[T any] struct {
	maxItems, maxBytes int
	budget             *budget
	ready, space       chan struct{} // capacity 1: a token says look again

	mu     sync.Mutex
	items  []sized[T]
	bytes  int
	closed bool
}

type sized[T any] struct {
	value T
	bytes int
}

func newQueue[T any](maxItems, maxBytes int, b *budget) *queue[T] {
	return &queue[T]{
		maxItems: maxItems, maxBytes: maxBytes, budget: b,
		ready: make(chan struct{}, 1), space: make(chan struct{}, 1),
	}
}

// push never blocks.
func (q *queue[T]) push(v T, bytes int) pushResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return pushedClosed
	}
	if len(q.items) >= q.maxItems || q.bytes+bytes > q.maxBytes || !q.budget.room(q.bytes, bytes) {
		return pushedFull
	}
	q.items = append(q.items, sized[T]{v, bytes})
	q.countLocked(bytes)
	signal(q.ready)
	return pushedOK
}

// until pushes again whenever there may be space, until stop is closed or receives.
func until[S any](space chan struct{}, stop <-chan S, push func() pushResult) pushResult {
	for {
		outcome := push()
		if outcome == pushedClosed {
			signal(space) // other producers wait on the same token
		}
		if outcome != pushedFull {
			return outcome
		}
		select {
		case <-space:
		case <-stop:
			return pushedFull
		}
	}
}

// pop waits for the next item; false means closed and empty.
func (q *queue[T]) pop() (T, bool) {
	for {
		v, ok, over := q.tryPop()
		if ok || over {
			return v, ok
		}
		<-q.ready
	}
}

func (q *queue[T]) tryPop() (v T, ok, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return v, false, q.closed
	}
	first := q.items[0]
	q.items[0] = sized[T]{}
	q.items = q.items[1:]
	if len(q.items) == 0 {
		q.items = nil // gives a burst's memory back
	}
	q.countLocked(-first.bytes)
	signal(q.space)
	return first.value, true, false
}

// close refuses every later push; what is queued is still taken unless discard. It may be called again.
func (q *queue[T]) close(discard bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if discard {
		q.items = nil
		q.countLocked(-q.bytes)
	}
	signal(q.ready)
	signal(q.space)
}

func (q *queue[T]) countLocked(bytes int) {
	q.bytes += bytes
	q.budget.add(bytes)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

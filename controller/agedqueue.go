package controller

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// newQueue makes the work queue on a queue whose oldest id can be asked for.
func newQueue() (workqueue.TypedDelayingInterface[string], *agedQueue) {
	aged := &agedQueue{}
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Queue: aged})
	return workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Queue: queue}), aged
}

// agedQueue is where ids wait for a worker, first in, first out. It is the queue's storage and not a MetricsProvider of it,
// because that one tells how long an id has waited when a worker takes it: a queue that nobody takes from would look young.
type agedQueue struct {
	mu      sync.Mutex // the queue locks what it calls, whoever asks for the age does not
	waiting []waiting  // oldest first
}

type waiting struct {
	id    string
	since time.Time
}

// Touch implements workqueue.Queue: an id that is added again keeps its place.
func (q *agedQueue) Touch(string) {}

// Push implements workqueue.Queue.
func (q *agedQueue) Push(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, waiting{id, time.Now()})
}

// Len implements workqueue.Queue.
func (q *agedQueue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Pop implements workqueue.Queue.
func (q *agedQueue) Pop() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := q.waiting[0].id
	q.waiting = q.waiting[1:]
	return id
}

// age is how long the oldest id has waited, 0 where none waits.
func (q *agedQueue) age() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return 0
	}
	return time.Since(q.waiting[0].since)
}

package controller

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// newQueue makes the work queue on a queue whose oldest id can be asked for.
func newQueue() (workqueue.TypedDelayingInterface[string], *agedQueue) {
	l := &agedQueue{}
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Queue: l})
	return workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Queue: queue}), l
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
func (l *agedQueue) Touch(string) {}

// Push implements workqueue.Queue.
func (l *agedQueue) Push(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, waiting{id, time.Now()})
}

// Len implements workqueue.Queue.
func (l *agedQueue) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// Pop implements workqueue.Queue.
func (l *agedQueue) Pop() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.waiting[0].id
	l.waiting = l.waiting[1:]
	return id
}

// age is how long the oldest id has waited, 0 where none waits.
func (l *agedQueue) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return 0
	}
	return time.Since(l.waiting[0].since)
}

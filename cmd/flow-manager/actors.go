package main

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/flow-manager/flow-manager/api"
)

// What a flow may raise of actor events that are kept each: so many a second, and so many at once.
const (
	actorRate  = 1
	actorBurst = 100
)

// actors are the actor events that wait to be stored. Each flow has a queue and an allowance of its own.
type actors struct {
	waiting chan struct{} // holds one: there are some

	mu     sync.Mutex
	queues map[string][]api.Activity
	// allowances are those of flows that have used any of it.
	allowances map[string]*rate.Limiter
	swept      time.Time
}

func newActors() *actors {
	return &actors{waiting: make(chan struct{}, 1), queues: map[string][]api.Activity{}, allowances: map[string]*rate.Limiter{}}
}

// add queues an actor event, unless its flow has raised as many as it may.
func (q *actors) add(a api.Activity) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweepLocked(time.Now())
	id := a.ContainerID
	if q.allowances[id] == nil {
		q.allowances[id] = rate.NewLimiter(actorRate, actorBurst)
	}
	if !q.allowances[id].Allow() || len(q.queues[id]) >= actorBurst {
		return false
	}
	q.queues[id] = append(q.queues[id], a)
	select {
	case q.waiting <- struct{}{}:
	default:
	}
	return true
}

// sweepLocked forgets those who have their whole allowance: some are gone for good.
func (q *actors) sweepLocked(now time.Time) {
	if now.Sub(q.swept) < time.Minute {
		return
	}
	q.swept = now
	for id, l := range q.allowances {
		if l.TokensAt(now) >= actorBurst {
			delete(q.allowances, id)
		}
	}
}

// take takes all that waits.
func (q *actors) take() map[string][]api.Activity {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.queues
	q.queues = map[string][]api.Activity{}
	return all
}

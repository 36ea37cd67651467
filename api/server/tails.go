package server

import (
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

// tails are the logs that are being read.
type tails struct {
	mu sync.Mutex
	by map[string]*tail
}

func (ts *tails) add(t *tail) *api.Error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	own := 0
	for _, other := range ts.by {
		if other.session == t.session {
			own++
		}
	}
	if own >= maxTailsOfOne || len(ts.by) >= maxTails {
		return api.RateLimited(time.Second, "%d logs are being read for this session and %d for all, of at most %d and %d; stop_logs one of them", own, len(ts.by), maxTailsOfOne, maxTails)
	}
	if ts.by == nil {
		ts.by = map[string]*tail{}
	}
	ts.by[t.logID] = t
	return nil
}

func (ts *tails) remove(t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.by, t.logID)
}

// stop ends a session's own log.
func (ts *tails) stop(c session.Session, logID string) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.by[logID]
	if !ok || t.session != c {
		return false
	}
	t.stop()
	return true
}

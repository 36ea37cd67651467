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
	by map[tailKey]*tail
}

// tailKey is what a log is known by: its client may have named it, as other clients name theirs.
type tailKey struct {
	session session.Session
	logID   string
}

func (ts *tails) add(t *tail) *api.Error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	key := tailKey{t.session, t.logID}
	if ts.by[key] != nil {
		return api.Errorf(api.ConflictError, "log_id %s is that of a log which is being read for this session; name another one, or none", t.logID).With("log_id", t.logID)
	}
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
		ts.by = map[tailKey]*tail{}
	}
	ts.by[key] = t
	return nil
}

func (ts *tails) remove(t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.by, tailKey{t.session, t.logID})
}

// stop ends a session's own log.
func (ts *tails) stop(c session.Session, logID string) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.by[tailKey{c, logID}]
	if ok {
		t.stop()
	}
	return ok
}

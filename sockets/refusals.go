package sockets

import (
	"sync"
	"time"
)

// refusalInterval is how often it is said that connections cannot be accepted, whosever they are: what is missing, a file descriptor most
// likely, all flows are missing together.
const refusalInterval = time.Minute

// refusals are accepts that the system has refused. The connections wait and are tried again. The zero value is ready.
type refusals struct {
	mu     sync.Mutex
	told   time.Time
	untold int // since then
}

func (r *refusals) tell(e *endpoint, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.told) < refusalInterval {
		r.untold++
		return
	}
	e.cfg.Log.Warn().Err(err).Str("operation", "accept").Str("id", e.id).Int("untold", r.untold).
		Msg("a flow's connection cannot be accepted now; it waits, as may those of others, and is tried again")
	r.told, r.untold = now, 0
}

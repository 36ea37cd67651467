package controller

import (
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/controller/plan"
)

// maxDrift is how far the host's clock may be from where it was before people are shown other times.
const maxDrift = time.Second

// clock runs evenly, whatever happens to the host's clock. It never goes back behind a moment that an earlier process noted, so
// that a wait that was noted then lasts at most for what was left of it.
type clock struct {
	wall   func() time.Time
	began  time.Time // with Go's monotonic reading
	origin time.Time // what the clock showed then

	mu   sync.Mutex
	skew time.Duration // of the host's clock
}

// newClock begins at the host's time, or at the newest moment that is noted, whichever is later.
func newClock(wall func() time.Time, noted time.Time) *clock {
	now := wall().UTC()
	c := &clock{wall: wall, began: time.Now(), origin: now}
	if noted.After(now) {
		c.origin, c.skew = noted.UTC(), now.Sub(noted)
	}
	return c
}

// now is the moment by both clocks.
func (c *clock) now() plan.Instant {
	steady := c.origin.Add(time.Since(c.began))
	skew := c.wall().Sub(steady)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := skew - c.skew; d > maxDrift || d < -maxDrift {
		c.skew = skew
	}
	return plan.Instant{Now: steady, Skew: c.skew}
}

// uptime is how long this process has run.
func (c *clock) uptime() time.Duration { return time.Since(c.began) }

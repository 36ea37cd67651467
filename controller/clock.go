package controller

import (
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/controller/plan"
)

// maxDrift is how far the host's clock may be from where it was before people are shown other times.
const maxDrift = time.Second

// clock runs evenly, whatever happens to the host's clock. Under one boot of the host it goes on where it was in the process before,
// by the host's own count of its uptime; under another one it never goes back behind a moment that was noted. So a wait that was
// noted lasts at most for what was left of it.
type clock struct {
	wall   func() time.Time
	began  time.Time // with Go's monotonic reading
	origin time.Time // what the clock showed then

	mu   sync.Mutex
	skew time.Duration // of the host's clock
}

// resumedClock goes on with a clock that showed zero at a moment of the host's uptime.
func resumedClock(wall func() time.Time, zero time.Time, uptime time.Duration) *clock {
	c := &clock{wall: wall, began: time.Now(), origin: zero.Add(uptime).UTC()}
	c.skew = wall().Sub(c.origin)
	return c
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

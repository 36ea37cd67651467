package controller

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// The newest event is the one that came last: the engine's clock may have been set back.
func TestObserver_NewestThoughTheClockIsSetBack(t *testing.T) {
	b := newObserver(newFakeEngine(), time.Minute, zerolog.Nop(), newClock(time.Now, time.Time{}))
	var seen time.Time
	b.enqueue, b.onEvent, b.metrics = func(string) {}, func(at time.Time) { seen = at }, newMetrics()
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-time.Hour)} {
		b.event(Event{ID: "a", DockerID: "b", At: at})
		if !seen.Equal(at) || !b.newestEvent.Equal(at) {
			t.Errorf("the newest is of %v and %v, and came at %v", seen, b.newestEvent, at)
		}
	}
}

package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/controller/plan"
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

// An outage that another process of the engine has ended stays one, though the first list after it does not work, and that process
// remembers by then what it was asked about.
func TestObserver_AnOutageStaysThoughTheFirstSessionAfterItEnds(t *testing.T) {
	engine := newFakeEngine()
	b := newObserver(engine, time.Minute, zerolog.Nop(), newClock(time.Now, time.Time{}))
	b.onUnorderedLoss = func(context.Context) {}
	b.newestEvent, b.known = time.Now(), true
	b.markUnknown()
	for _, replay := range []Replay{{Younger: true}, {Same: true}} {
		engine.replay = replay
		b.replayMissed(t.Context(), b.newest())
		b.markUnknown()
	}
	if !b.duringOutage(time.Now()) {
		t.Error("it is forgotten")
	}
	b.known = true
	b.markUnknown()
	b.replayMissed(t.Context(), b.newest())
	if len(b.outages) != 1 {
		t.Errorf("a gap that the same process remembers is an outage: %v", b.outages)
	}
}

// Which run a signal was for is told by the order of the events: the engine's clock may have been set back between two runs.
func TestObserver_ASignalIsForTheRunThatItCameIn(t *testing.T) {
	b := newObserver(newFakeEngine(), time.Minute, zerolog.Nop(), newClock(time.Now, time.Time{}))
	b.onEvent = func(time.Time) {}
	began, back := time.Now(), -time.Hour
	run := func(at time.Duration, killed bool) *entry {
		kinds := []EventKind{Started, Killed, Ended}
		if !killed {
			kinds = []EventKind{Started, Ended}
		}
		for i, kind := range kinds {
			b.recordEvent(Event{ID: "a", DockerID: "b", Kind: kind, At: began.Add(at + time.Duration(i))})
		}
		e := b.byDockerID["b"]
		e.State, e.StartedAt, e.FinishedAt = "exited", began.Add(at), began.Add(at+2)
		return e
	}
	if e := run(0, true); !e.killed || e.endedByItself() {
		t.Error("it was killed")
	}
	if e := run(back, false); e.killed || !e.endedByItself() {
		t.Error("the run after it ended by itself")
	}
}

// A run that was not there at the last look has begun since, whatever a clock says that was set forward.
func TestObserver_ARunBeginsAfterTheLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, skew := newFakeEngine(), time.Duration(0)
		b := newObserver(engine, time.Minute, zerolog.Nop(), newClock(func() time.Time { return time.Now().Add(skew) }, time.Time{}))
		c := engine.addLocked("web")
		look := func() plan.Container {
			b.invalidate("a", c.DockerID)
			seen, err := b.observe(t.Context(), "a")
			if err != nil || len(seen) != 1 {
				t.Fatal(seen, err)
			}
			return seen[0]
		}
		look()
		time.Sleep(time.Second)
		c.State, c.StartedAt = "running", time.Now()
		skew = 25 * time.Hour
		if began := look().Began; time.Since(began) > time.Second {
			t.Errorf("it began %v ago", time.Since(began))
		}
	})
}

// An outage during which the clock was set back explains what ended by the clock of before, and by that of after.
func TestObserver_AnOutageWhileTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skew := time.Duration(0)
		wall := func() time.Time { return time.Now().Add(skew) }
		b := newObserver(newFakeEngine(), time.Minute, zerolog.Nop(), newClock(wall, time.Time{}))
		b.known = true
		before := wall()
		b.markUnknown()
		time.Sleep(3 * time.Second)
		skew = -time.Hour
		time.Sleep(3 * time.Second)
		after := wall().Add(-time.Second)
		b.merge(nil, true)
		if !b.duringOutage(before) || !b.duringOutage(after) || b.duringOutage(after.Add(2*time.Second)) || b.duringOutage(after.Add(30*time.Minute)) {
			t.Errorf("%v and %v: %v", before, after, b.outages)
		}
	})
}

// An engine that is being stopped ends containers before it goes, and the clock may be set in between.
func TestObserver_AnOutageRightAfterTheClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			skew := time.Duration(0)
			wall := func() time.Time { return time.Now().Add(skew) }
			b := newObserver(newFakeEngine(), time.Minute, zerolog.Nop(), newClock(wall, time.Time{}))
			b.enqueue, b.onEvent, b.metrics, b.known = func(string) {}, func(time.Time) {}, newMetrics(), true
			ended := wall()
			b.event(Event{ID: "a", DockerID: "b", Kind: Ended, At: ended})
			time.Sleep(5 * time.Second)
			skew = by
			b.markUnknown()
			if !b.duringOutage(ended) || !b.duringOutage(wall()) || b.duringOutage(wall().Add(-10*time.Minute)) {
				t.Errorf("%v and %v: %v", ended, wall(), b.outages)
			}
		})
	}
}

// early is an engine that tells of something before it can be asked what happened.
type early struct {
	*fakeEngine
	asked chan time.Time
}

func (e *early) Events(ctx context.Context, ready func(), tell func(Event)) error {
	tell(Event{ID: "another", DockerID: "another", Kind: Started, At: time.Now()})
	ready()
	<-ctx.Done()
	return ctx.Err()
}

func (e *early) Replay(_ context.Context, since time.Time) (Replay, error) {
	e.asked <- since
	return Replay{}, nil
}

// What is asked for after a gap is what came after the newest event of before it, and not after what the engine tells meanwhile: that
// another process of the engine remembers, and the gap would be none.
func TestObserver_AsksForWhatCameAfterTheGapBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &early{newFakeEngine(), make(chan time.Time, 1)}
		b := newObserver(engine, time.Minute, zerolog.Nop(), newClock(time.Now, time.Time{}))
		b.enqueue, b.onEvent, b.metrics = func(string) {}, func(time.Time) {}, newMetrics()
		b.admitEngine, b.onListed, b.onResync = func(context.Context, []plan.Container) error { return nil }, func() {}, func() {}
		before := time.Now()
		b.newestEvent = before
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- b.session(ctx) }()
		if asked := <-engine.asked; !asked.Equal(before) {
			t.Errorf("asked for what came %v after", asked.Sub(before))
		}
		cancel()
		<-over
	})
}

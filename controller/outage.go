package controller

import (
	"context"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/controller/plan"
)

// What the observer knows of when the engine was away, and of which process of it answers.

const (
	// outageLead is how long before its events end an engine that is being stopped may have begun to stop containers.
	outageLead = 30 * time.Second
	maxOutages = 16
	// outageSettles is how long what ended in an outage may take to be dealt with.
	outageSettles = time.Minute
)

// reportLost calls onUnorderedLoss where the engine went without having been stopped. It is called when the engine cannot be
// reached, or another process is in its place already.
func (b *observer) reportLost(ctx context.Context) {
	b.mu.Lock()
	sudden := b.sudden
	b.sudden = false
	b.mu.Unlock()
	if sudden {
		b.onUnorderedLoss(ctx)
	}
}

func (b *observer) noteSudden() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sudden = !b.orderedLocked()
}

// orderedLocked reports whether containers were asked to end before the engine went, as by one that is being stopped.
func (b *observer) orderedLocked() bool {
	return !b.newestKill.IsZero() && time.Since(b.newestKill) < outageLead
}

// openOutageLocked begins an outage now. Where the clock was set since the newest event, what ended before that ended by the clock of
// then.
func (b *observer) openOutageLocked() {
	now := b.clock.wall()
	b.outages = slices.Clone(b.outages)
	if then := b.heardWall.Add(time.Since(b.heard)); !b.heard.IsZero() && time.Since(b.heard) < outageLead && now.Sub(then).Abs() > clockSlack {
		b.outages = append(b.outages, plan.Outage{From: then.Add(-outageLead), To: then})
	}
	b.outages = append(b.outages, plan.Outage{From: now.Add(-outageLead)})
	b.outages = b.outages[max(0, len(b.outages)-maxOutages):]
	b.replaced, b.opened = false, time.Now()
}

// closeOutageLocked ends the newest outage now. Where the clock was set back meanwhile it is there twice: by the clock of when it
// began, and by that of now.
func (b *observer) closeOutageLocked() {
	n := len(b.outages) - 1
	o, now := b.outages[n], b.clock.wall()
	lasted := outageLead + time.Since(b.opened)
	closed := []plan.Outage{{From: o.From, To: now}}
	if end := o.From.Add(lasted); now.Before(end.Add(-clockSlack)) {
		closed = []plan.Outage{{From: o.From, To: end}, {From: now.Add(-lasted), To: now}}
	}
	b.outages, b.closed = append(slices.Clone(b.outages[:n]), closed...), time.Now() // readers have the old one
}

func (b *observer) noteHeard(kind EventKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard, b.heardWall = time.Now(), b.clock.wall()
	if kind == Killed {
		b.newestKill = b.heard
	}
}

// unsettledLocked reports whether there may still be ends that an outage explains and that were not dealt with. Until then no
// newer event is noted as seen: a process that is started meanwhile is to find out about the outage itself.
func (b *observer) unsettledLocked() bool {
	n := len(b.outages)
	return n > 0 && (b.outages[n-1].To.IsZero() || time.Since(b.closed) < outageSettles)
}

// newest is when the newest event was that was seen.
func (b *observer) newest() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newestEvent
}

// replayMissed asks the engine what happened while nobody listened. Where it is the process of before, its events tell how each run
// ended, and the gap was no outage. Where it began later, all that ended meanwhile may have ended with the one before.
func (b *observer) replayMissed(ctx context.Context, since time.Time) {
	if since.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	replay, err := b.runtime.Replay(ctx, since)
	if err != nil {
		b.log.Debug().Err(err).Str("operation", "observe").Msg("what happened meanwhile cannot be had; every end of that time is taken for an exit")
		return
	}
	for _, e := range replay.Events {
		b.recordEvent(e)
	}
	if replay.Younger {
		b.reportLost(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	open := len(b.outages) > 0 && b.outages[len(b.outages)-1].To.IsZero()
	switch {
	case replay.Younger && open:
		b.replaced = true
	case replay.Same && open && !b.replaced: // not of the outage: of an event of the process that answers since
		b.outages = slices.Clone(b.outages[:len(b.outages)-1])
	case replay.Younger:
		// What ends once the engine is back is told by it: an outage that nobody watched is over with its first event.
		b.outages, b.opened = append(slices.Clone(b.outages), plan.Outage{From: since.Add(-outageLead), To: replay.First}), time.Now()
	}
}

// duringOutage reports whether what ended then may have ended because the engine did.
func (b *observer) duringOutage(at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.outages {
		if o.Covers(at) {
			return true
		}
	}
	return false
}

// newestOutages are those of late.
func (b *observer) newestOutages() []plan.Outage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outages
}

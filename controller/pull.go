package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const (
	// pullPatience is how long a pull may stand still while the others do, too. The engine downloads only so many layers at
	// once, whoever they are for: while others move, one that does not may just wait for its turn.
	pullPatience = 2 * time.Minute
	// pullCrowded is how long it may stand still whatever the others do.
	pullCrowded = 20 * time.Minute
	// pullKept is how long a result waits for those who asked.
	pullKept = 10 * time.Minute
)

// errStalled means that a pull was given up because nothing of it moved.
var errStalled = errors.New("no progress")

// puller runs pulls as operations: who asks for one does not wait, and is put back into the queue when it has ended. All who
// ask for a reference while it is being pulled share one pull, and it ends when the last of them leaves. What a pull came to
// is kept for each of them until it asks for another or leaves, or for pullKept.
//
// No method blocks but close. The callbacks are called without a lock held, and must not block; they end with close.
type puller struct {
	runtime Runtime
	slots   int
	tell    func(api.PullProgress)
	ended   func(id string)
	pulling sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	asked   map[string]*pull // by id: its pull, under way or ended; at most one each
	wanted  map[string]int64 // by id: the generation that the newest asking was for
	open    map[string]*pull // by reference: those that can be joined
	waiting []*pull          // those of open that have no slot yet, in order
	active  map[string]*pull // by reference: those that hold a slot, given up ones included
	moved   time.Time        // when any of them last did
}

// pull is one pull for all who asked for it.
type pull struct {
	ref    string
	askers []string
	cancel context.CancelFunc // nil until it has a slot
	done   bool
	err    error
	at     time.Time // when it was asked for, got its slot or ended, whichever was last
}

// pullState is how the pull is getting on that an id asked for; ref is "" where it asked for none.
type pullState struct {
	ref    string
	wanted int64
	queued bool // others have the slots
	done   bool
	err    error
	at     time.Time // since when it has been so
}

func newPuller(r Runtime, slots int, tell func(api.PullProgress), ended func(id string)) *puller {
	return &puller{runtime: r, slots: slots, tell: tell, ended: ended,
		asked: map[string]*pull{}, wanted: map[string]int64{}, open: map[string]*pull{}, active: map[string]*pull{}}
}

// begin makes id one of those who ask for ref, and for nothing else. Where it does so already nothing happens, unless that
// pull has ended: then it is done again. After close nothing is begun.
func (p *puller) begin(id, ref string) { p.beginFor(id, ref, 0) }

// beginFor is begin for a generation. How old what comes of it is, is told by that: clocks jump.
func (p *puller) beginFor(id, ref string, generation int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.asked[id]; p.closed || old != nil && old.ref == ref && !old.done {
		return
	}
	p.leaveLocked(id)
	q := p.open[ref]
	if q == nil {
		q = &pull{ref: ref, at: time.Now()}
		p.open[ref] = q
		p.waiting = append(p.waiting, q)
	}
	q.askers = append(q.askers, id)
	p.asked[id], p.wanted[id] = q, generation
	p.dispatchLocked()
}

// state tells what became of the pull that id asked for. Looking changes nothing, so that who dies over it can look again.
func (p *puller) state(id string) pullState {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.asked[id]
	if q == nil || q.staleLocked() {
		return pullState{}
	}
	return pullState{ref: q.ref, wanted: p.wanted[id], queued: !q.done && q.cancel == nil, done: q.done, err: q.err, at: q.at}
}

// cancel takes back what id asked for, or forgets what came of it.
func (p *puller) cancel(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(id)
	p.dispatchLocked()
}

// close ends all pulls and returns when nothing is left of them. It may be called twice.
func (p *puller) close() {
	p.mu.Lock()
	p.closed, p.waiting = true, nil
	clear(p.asked)
	clear(p.open)
	for _, q := range p.active {
		q.cancel()
	}
	p.mu.Unlock()
	p.pulling.Wait()
}

// leaveLocked ends a pull that nobody wants any more. It holds its slot until it has, but nobody can join it.
func (p *puller) leaveLocked(id string) {
	q := p.asked[id]
	delete(p.asked, id)
	delete(p.wanted, id)
	if q == nil || q.done {
		return
	}
	if q.askers = slices.DeleteFunc(q.askers, func(other string) bool { return other == id }); len(q.askers) > 0 {
		return
	}
	delete(p.open, q.ref)
	p.waiting = slices.DeleteFunc(p.waiting, func(other *pull) bool { return other == q })
	if q.cancel != nil {
		q.cancel()
	}
}

// dispatchLocked gives free slots to those who wait. One whose reference is still held by a pull that was given up lets the
// next one go first: the engine would take the two for one.
func (p *puller) dispatchLocked() {
	for i := 0; i < len(p.waiting) && len(p.active) < p.slots; {
		q := p.waiting[i]
		if p.active[q.ref] != nil {
			i++
			continue
		}
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.startLocked(q)
	}
}

func (p *puller) startLocked(q *pull) {
	ctx, cancel := context.WithCancel(context.Background())
	q.cancel, q.at = cancel, time.Now()
	p.active[q.ref] = q
	p.pulling.Go(func() {
		defer cancel()
		p.finish(q, p.pull(ctx, q.ref))
	})
}

// pull brings one image, and gives up when it stands still.
func (p *puller) pull(ctx context.Context, ref string) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	m := newMeter(p.tell)
	watching, seen := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { p.watch(watching, m, stop) })
	err := p.runtime.Pull(ctx, ref, func(now api.PullProgress) {
		if m.note(now) {
			p.move()
		}
	})
	seen()
	watch.Wait()
	for m.flush() {
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStalled) {
		return fmt.Errorf("pull %s: %w", ref, cause)
	}
	return err
}

func (p *puller) move() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
}

// watch tells of what moves, and stops the pull when nothing does.
func (p *puller) watch(ctx context.Context, m *meter, stop context.CancelCauseFunc) {
	for ctx.Err() == nil {
		due := p.due(m.last())
		if left := time.Until(due); left <= 0 {
			stop(fmt.Errorf("%w for %s", errStalled, time.Since(m.last()).Round(time.Second)))
			return
		} else if !m.await(ctx, left) {
			continue
		}
		for m.flush() {
			pause(ctx, tellPace)
		}
	}
}

// due is when a pull that last moved at own is given up.
func (p *puller) due(own time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	latest := own
	if p.moved.After(own) {
		latest = p.moved
	}
	due, most := latest.Add(pullPatience), own.Add(pullCrowded)
	if most.Before(due) {
		return most
	}
	return due
}

func (p *puller) finish(q *pull, err error) {
	p.mu.Lock()
	q.done, q.err, q.at = true, err, time.Now()
	delete(p.active, q.ref)
	if p.open[q.ref] == q {
		delete(p.open, q.ref)
	}
	p.forgetLocked()
	p.dispatchLocked()
	askers := q.askers
	if p.closed {
		askers = nil
	}
	p.mu.Unlock()
	for _, id := range askers {
		p.ended(id)
	}
}

// forgetLocked drops results that nobody came for: an id may be gone for good.
func (p *puller) forgetLocked() {
	for id, q := range p.asked {
		if q.staleLocked() {
			delete(p.asked, id)
			delete(p.wanted, id)
		}
	}
}

func (q *pull) staleLocked() bool { return q.done && time.Since(q.at) > pullKept }

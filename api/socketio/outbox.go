package socketio

import (
	"container/list"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// How much of an outbox news may fill, the rest being for what the client is owed, and from when on they are coalesced.
const (
	newsShare = 2 // the half
	slowShare = 8 // an eighth
	// pacedShare is what may wait of what is sent at the client's pace.
	pacedShare = 16
)

// outbox is what waits to be written to one client: first in, first out, bounded in packets and bytes, for any number of
// producers and one consumer.
//
// A client that does not keep up loses the least first. From an eighth on, news replace those of the same subject that
// still wait. When they fill the half they are dropped, and one events_dropped stands where the first was; it covers all
// that come until it is taken, so that a client which lists again because of it has read all that was before. What the
// client is owed has the other half and is never dropped: pushedFull says that the session cannot go on, because that
// half is full too or because the events_dropped has waited longer than patience.
type outbox struct {
	maxItems, maxBytes int
	patience           time.Duration
	budget             *budget
	ready, space       chan struct{} // capacity 1: a token says look again

	mu      sync.Mutex
	waiting list.List // of outbound; the one that stands for gap is empty
	bytes   int
	paced   volume                   // of these, what is sent at the client's pace
	latest  map[string]*list.Element // the newest that waits of each subject
	gap     *gap
	closed  bool
}

// gap is a run of dropped news.
type gap struct {
	from, to string
	events   int
	since    time.Time
}

func newOutbox(l *Limits, b *budget) *outbox {
	return &outbox{
		maxItems: l.OutItems, maxBytes: l.OutBytes, patience: l.SlowTimeout, budget: b,
		ready: make(chan struct{}, 1), space: make(chan struct{}, 1),
	}
}

// offer never blocks.
func (o *outbox) offer(p outbound) pushResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return pushedClosed
	case p.news != nil:
		return o.offerNewsLocked(p)
	case !o.fitsLocked(&p, 1):
		return pushedFull
	}
	o.appendLocked(p)
	return pushedOK
}

// offerPaced is offerUntil for one of many packets that could all be sent at once, as those of a replay: a few of them wait here,
// and the rest where they come from, so that there is room for all else.
func (o *outbox) offerPaced(p outbound, stop <-chan struct{}) pushResult {
	p.paced = true
	return until(o.space, stop, func() pushResult {
		o.mu.Lock()
		defer o.mu.Unlock()
		switch {
		case o.closed:
			return pushedClosed
		case o.paced.packets > 0 && (o.paced.packets >= o.maxItems/pacedShare || o.paced.bytes+p.cost() > o.maxBytes/pacedShare),
			!o.fitsLocked(&p, newsShare):
			return pushedFull
		}
		o.appendLocked(p)
		return pushedOK
	})
}

// offerUntil waits for room until stop is closed.
func (o *outbox) offerUntil(p outbound, stop <-chan struct{}) pushResult {
	return until(o.space, stop, func() pushResult { return o.offer(p) })
}

func (o *outbox) offerNewsLocked(p outbound) pushResult {
	if o.gap == nil {
		o.coalesceLocked(&p)
		if o.fitsLocked(&p, newsShare) {
			o.appendLocked(p)
			return pushedOK
		}
		o.gap = &gap{from: p.oldest(), since: time.Now()}
		o.appendLocked(outbound{})
	}
	o.gap.to = p.news.version
	o.gap.events += 1 + p.merged
	if time.Since(o.gap.since) > o.patience {
		return pushedFull
	}
	return pushedDropped
}

// fitsLocked reports whether the share of the bounds has room for p; an empty outbox has room for anything.
func (o *outbox) fitsLocked(p *outbound, share int) bool {
	n := o.waiting.Len()
	return n == 0 || n < o.maxItems/share && o.bytes+p.cost() <= o.maxBytes/share && o.budget.room(o.bytes, p.cost())
}

// coalesceLocked takes out what p makes outdated. A client that keeps up is told everything.
func (o *outbox) coalesceLocked(p *outbound) {
	old, ok := o.latest[p.news.subject]
	if !ok || o.waiting.Len() < o.maxItems/slowShare && o.bytes < o.maxBytes/slowShare {
		return
	}
	*p = p.over(o.removeLocked(old))
}

func (o *outbox) appendLocked(p outbound) {
	e := o.waiting.PushBack(p)
	o.countLocked(p.cost())
	if p.paced {
		o.paced.packets++
		o.paced.bytes += p.cost()
	}
	if p.news != nil && p.news.subject != "" {
		if o.latest == nil {
			o.latest = map[string]*list.Element{}
		}
		o.latest[p.news.subject] = e
	}
	signal(o.ready)
}

func (o *outbox) removeLocked(e *list.Element) outbound {
	p := o.waiting.Remove(e).(outbound)
	o.countLocked(-p.cost())
	if p.paced {
		o.paced.packets--
		o.paced.bytes -= p.cost()
	}
	if p.news != nil && o.latest[p.news.subject] == e {
		delete(o.latest, p.news.subject)
	}
	return p
}

// waitNonEmpty waits until there is a packet to take; false means closed and empty.
func (o *outbox) waitNonEmpty() bool {
	for {
		waits, closed := o.state()
		if waits || closed {
			return waits
		}
		<-o.ready
	}
}

func (o *outbox) state() (waits, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting.Len() > 0, o.closed
}

// nonEmpty reports whether there is a packet to take.
func (o *outbox) nonEmpty() bool {
	waits, _ := o.state()
	return waits
}

// pop takes the first packet, if there is one.
func (o *outbox) pop() (outbound, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.waiting.Front()
	if first == nil {
		return outbound{}, false
	}
	defer signal(o.space)
	p := o.removeLocked(first)
	if o.waiting.Len() == 0 {
		o.latest = nil // gives a burst's memory back
	}
	if p.frame != nil {
		return p.final(), true
	}
	g := o.gap
	o.gap = nil
	return g.packet(), true
}

func (g *gap) packet() outbound {
	missed := api.Missed{From: g.from, To: g.to, Events: g.events}
	return encode(api.EventsDropped, missed.Event().Stamped(time.Now(), ""))
}

// close refuses all that comes later; what waits is still taken.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.signalLocked()
}

// discard drops what waits and refuses all that comes later; with last words, these are still taken, if it was open.
func (o *outbox) discard(last ...outbound) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		last = nil
	}
	o.waiting.Init()
	o.countLocked(-o.bytes)
	o.latest, o.gap, o.paced, o.closed = nil, nil, volume{}, true
	for _, p := range last {
		o.appendLocked(p)
	}
	o.signalLocked()
}

func (o *outbox) countLocked(bytes int) {
	o.bytes += bytes
	o.budget.add(bytes)
}

func (o *outbox) signalLocked() {
	signal(o.ready)
	signal(o.space)
}

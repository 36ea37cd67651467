package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

const (
	reconnectDelay = time.Second
	inspectTimeout = 30 * time.Second
	listTimeout    = 2 * time.Minute
	// replayTimeout bounds the question what happened meanwhile, which everything waits for.
	replayTimeout = 5 * time.Second
	// manyContainers make an answer of the engine that is read as megabytes of garbage, once a resync.
	manyContainers = 1000
)

// observer knows what containers bear our labels. Events and lists only mark what is worth a look; what is there is what
// an inspection says. Nothing is known before the engine was listed whole, and while it is away.
type observer struct {
	runtime      Runtime
	resync       time.Duration
	log          zerolog.Logger
	enqueue      func(id string)                               // something of id is worth a look; must not block
	enqueueAfter func(id string, after time.Duration)          // the same, after a while
	admitEngine  func(context.Context, []plan.Container) error // judges the engine before anything is known of it
	onListed     func()                                        // the engine is known now
	onResync     func()                                        // it was listed again
	onLost       func(error)
	// onUnorderedLoss is called when the engine was lost though nobody had it stopped.
	onUnorderedLoss func(context.Context)
	onEvent         func(at time.Time) // an event of the engine was seen; must not block
	metrics         *metrics
	clock           *clock

	mu          sync.Mutex
	known       bool
	sudden      bool              // the engine went without having been stopped, or nobody was told so; whether it is lost is not known
	newestEvent time.Time         // of the engine's events that were seen, by its clock
	outages     []plan.Outage     // oldest first, by the engine's clock
	replaced    bool              // what answers since the newest of them is known to be another process of the engine
	opened      time.Time         // when the newest of them began to be noticed, by Go's monotonic clock
	heard       time.Time         // when the newest event came, by Go's monotonic clock
	heardWall   time.Time         // the same by the host's clock
	newestKill  time.Time         // when a container was last told to be asked to end, by Go's monotonic clock
	closed      time.Time         // when the newest of them ended, by Go's monotonic clock
	byDockerID  map[string]*entry // by Docker id
	byID        map[string]map[string]*entry
}

// entry is one container; dirty means that it must be inspected before anybody relies on it, reported that it was told of
// as foreign, stranger that it belongs to nothing that was ever declared here.
type entry struct {
	plan.Container
	dirty, reported, stranger bool
	// killed tells that its newest run was asked to end, ended when it did, by the engine's events.
	killed bool
	ended  time.Time
	// looked is when, by the steady clock, it was last looked at: a run that was not seen then has begun later.
	looked time.Time
	// startAsked and startDone are when, by the steady clock, its newest start by us was asked for and done.
	startAsked, startDone time.Time
	// detached tells that it was taken off a network and not inspected since.
	detached bool
}

// detachedWait is how long the end of a container may be told after its networks are taken off.
const detachedWait = time.Second

func newObserver(r Runtime, resync time.Duration, log zerolog.Logger, c *clock) *observer {
	return &observer{runtime: r, resync: resync, log: log, clock: c, byDockerID: map[string]*entry{}, byID: map[string]map[string]*entry{}}
}

// run keeps a session with the engine until ctx ends; each begins with a subscription and a whole list.
func (b *observer) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := b.session(ctx)
		known := b.markUnknown()
		if ctx.Err() != nil {
			return
		}
		if !known && errors.Is(err, ErrUnavailable) {
			b.reportLost(ctx)
		}
		if known {
			b.noteSudden()
		}
		b.onLost(err)
		pause(ctx, reconnectDelay)
	}
}

// probePending reports whether the first health probe of a record's container is still to come.
func (b *observer) probePending(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.byID[id] {
		if e.Alive() && e.Health == api.HealthStarting && e.FailingStreak == 0 {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// session ends with the event stream, or with a list that did not work. It reads events while it lists: a subscriber that
// stops reading slows the engine down.
func (b *observer) session(ctx context.Context) error {
	subscribed, since := make(chan struct{}), b.newest() // before anything new is heard: that is of the process that answers now
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := b.runtime.Events(ctx, func() { close(subscribed) }, b.event); err != nil {
			return fmt.Errorf("read the engine's events: %w", err)
		}
		return errors.New("the engine's event stream ended")
	})
	group.Go(func() error {
		select {
		case <-subscribed:
			b.replayMissed(ctx, since)
			return b.listLoop(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return group.Wait()
}

func (b *observer) listLoop(ctx context.Context) error {
	if err := b.list(ctx, true); err != nil {
		return err
	}
	for ctx.Err() == nil {
		pause(ctx, b.resync*9/10+rand.N(b.resync/5+1))
		if err := b.list(ctx, false); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// list marks what differs from what is known; the first list of a session marks everything.
func (b *observer) list(ctx context.Context, first bool) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	b.metrics.resyncs.Inc()
	seen, err := b.runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if first {
		if err := b.admitEngine(ctx, seen); err != nil {
			return err
		}
	}
	for _, id := range b.merge(seen, first) {
		b.enqueue(id)
	}
	if first {
		b.onListed()
	} else {
		b.onResync()
	}
	if len(seen) >= manyContainers {
		debug.FreeOSMemory()
	}
	return nil
}

// merge returns the ids of which something is worth a look.
func (b *observer) merge(seen []plan.Container, first bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	worth := map[string]bool{}
	listed := make(map[string]bool, len(seen))
	for _, o := range seen {
		listed[o.DockerID] = true
		e, ok := b.byDockerID[o.DockerID]
		if !ok {
			e = b.addLocked(o.ID, o.DockerID)
		}
		if e.stranger {
			continue
		}
		if first || !ok || e.Digest != o.Digest || e.differs(&o) {
			e.dirty, worth[o.ID] = true, true
		}
		e.Digest = o.Digest
	}
	for dockerID, e := range b.byDockerID {
		if !listed[dockerID] {
			e.dirty, worth[e.ID] = true, true
		}
	}
	if n := len(b.outages); !b.known && n > 0 && b.outages[n-1].To.IsZero() {
		b.closeOutageLocked()
	}
	b.known = true
	ids := make([]string, 0, len(worth))
	for id := range worth {
		ids = append(ids, id)
	}
	return ids
}

// differs reports whether a list shows something else than was inspected last: events may have been lost in between.
func (e *entry) differs(listed *plan.Container) bool {
	apart := listed.Networks != nil && e.Networks != nil && !slices.Equal(e.Networks, listed.Networks) // twice since the last list, perhaps
	return apart || e.State != listed.State || e.Name != listed.Name || listed.Alive() && listed.Health != "" && e.Health != listed.Health
}

func (b *observer) addLocked(id, dockerID string) *entry {
	e := &entry{Container: plan.Container{ID: id, DockerID: dockerID}, dirty: true}
	b.byDockerID[dockerID] = e
	if b.byID[id] == nil {
		b.byID[id] = map[string]*entry{}
	}
	b.byID[id][dockerID] = e
	return e
}

// event is mark for what the engine tells.
func (b *observer) event(e Event) {
	b.metrics.events.Inc()
	if e.Kind == Detached {
		b.detach(e.DockerID)
		return
	}
	b.recordEvent(e)
	b.noteHeard(e.Kind)
	if e.Kind != Killed { // its end is told
		b.mark(e.ID, e.DockerID)
	}
}

// detach notes that a container was taken off a network. It is looked at a while later: one that ends will have been looked at
// because of its end by then.
func (b *observer) detach(dockerID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byDockerID[dockerID]; ok && e.Alive() {
		e.detached = true
		b.enqueueAfter(e.ID, detachedWait)
	}
}

// recordEvent keeps what only events tell: whether a run was asked to end before it did.
func (b *observer) recordEvent(told Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !told.At.Equal(b.newestEvent) { // not the latest: the engine's clock may have been set back
		b.newestEvent = told.At
		if !b.unsettledLocked() {
			b.onEvent(told.At)
		}
	}
	e, ok := b.byDockerID[told.DockerID]
	if !ok {
		e = b.addLocked(told.ID, told.DockerID)
	}
	// The order of events tells which run a signal was for. Their times do not: the clock may have been set back in between.
	switch told.Kind {
	case Started:
		e.killed, e.ended = false, time.Time{}
	case Killed:
		e.killed = true
	case Ended:
		e.ended = told.At
	}
}

// endedByItself reports whether the newest run is known to have ended by itself: its end was told, and no signal before it.
func (e *entry) endedByItself() bool {
	return !e.Alive() && !e.killed && !e.ended.IsZero() && e.ended.Sub(e.FinishedAt).Abs() <= endSlack
}

// endSlack is how long after its end that of a run may be told. What ended at another time was an earlier run, and nobody has told of
// the beginning of the newest one.
const endSlack = 10 * time.Second

// mark notes that something happened to a container. It never blocks for long and is called by the reader of events.
func (b *observer) mark(id, dockerID string) {
	if b.isStranger(dockerID) {
		return
	}
	b.invalidate(id, dockerID)
	b.enqueue(id)
}

func (b *observer) isStranger(dockerID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.byDockerID[dockerID]
	return ok && e.stranger
}

// invalidate has a container inspected before anybody relies on what is known of it. Whoever calls it looks again by itself: to have
// the record looked at for it would make a hot loop of a call that fails.
func (b *observer) invalidate(id, dockerID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.byDockerID[dockerID]
	if !ok {
		e = b.addLocked(id, dockerID)
	}
	e.dirty = true
}

// markUnknown forgets nothing but trusts nothing either. It reports whether the engine was known until now.
func (b *observer) markUnknown() (known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known = b.known
	if b.known {
		b.openOutageLocked()
	}
	b.known = false
	for _, e := range b.byDockerID {
		e.dirty = !e.stranger
	}
	return known
}

func (b *observer) ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

// report reports whether a foreign container is to be told of: once while it is there.
func (b *observer) report(dockerID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.byDockerID[dockerID]
	if !ok || e.reported {
		return false
	}
	e.reported = true
	return true
}

// disregard has a container not looked at any more, whatever happens to it: another manager's, which may be many and busy.
func (b *observer) disregard(dockerID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byDockerID[dockerID]; ok {
		e.stranger, e.dirty = true, false
	}
}

// all gives what has been inspected of all containers.
func (b *observer) all() []plan.Container {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make([]plan.Container, 0, len(b.byDockerID))
	for _, e := range b.byDockerID {
		if e.Name != "" {
			seen = append(seen, e.Container)
		}
	}
	return seen
}

// observe returns what bears id. It inspects what is marked.
func (b *observer) observe(ctx context.Context, id string) ([]plan.Container, error) {
	var errs []error
	for _, dockerID := range b.dirty(id) {
		errs = append(errs, b.inspect(ctx, id, dockerID))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err // those that could not be looked at are marked again
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make([]plan.Container, 0, len(b.byID[id]))
	for _, e := range b.byID[id] {
		c := e.Container
		c.Own, c.Killed = e.endedByItself(), e.killed
		if c.Alive() {
			c.Lasted = b.clock.now().Now.Sub(c.Began)
		}
		seen = append(seen, c)
	}
	return seen, nil
}

// dirty takes the marks of id's containers away before they are inspected, so that an event meanwhile marks them again.
func (b *observer) dirty(id string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var dockerIDs []string
	for dockerID, e := range b.byID[id] {
		if e.dirty || e.detached {
			dockerIDs = append(dockerIDs, dockerID)
			e.dirty, e.detached = false, false
		}
	}
	return dockerIDs
}

func (b *observer) inspect(ctx context.Context, id, dockerID string) error {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	asked := b.clock.now().Now
	o, err := b.runtime.Inspect(ctx, dockerID)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case errors.Is(err, ErrAbsent):
		b.dropLocked(id, dockerID)
		return nil
	case err != nil:
		if e, ok := b.byDockerID[dockerID]; ok {
			e.dirty = true
		}
		return fmt.Errorf("inspect %s: %w", dockerID, err)
	}
	if e, ok := b.byDockerID[dockerID]; ok {
		o.ID, o.Digest = id, e.Digest
		b.timeLocked(e, &o)
		e.Container, e.looked = o, asked
	}
	return nil
}

// up is when a run began that the engine says to have begun at a moment: a newer engine notes the beginning of a start, and under
// load the process may be there a second later.
func (e *entry) up(began time.Time) time.Time {
	if e.startDone.After(began) && !began.Before(e.startAsked.Add(-clockSlack)) {
		return e.startDone
	}
	return began
}

// clockSlack is how far the steady clock and the engine's may be apart over the time of one start.
const clockSlack = time.Second

// started notes that a container was started by us.
func (b *observer) started(dockerID string, asked time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byDockerID[dockerID]; ok {
		e.startAsked, e.startDone = asked, b.clock.now().Now
	}
}

// timeLocked finds out when a run began by the steady clock, once for each run, and how long it lasted. The engine's times are
// of a clock that may have jumped since.
func (b *observer) timeLocked(e *entry, c *plan.Container) {
	now := b.clock.now().Now
	if c.Began = e.Began; !c.StartedAt.Equal(e.StartedAt) || e.Began.IsZero() {
		c.Began = e.up(now.Add(-max(0, b.clock.wall().Sub(c.StartedAt))))
		for _, since := range []time.Time{e.looked, e.startAsked} { // whatever the engine's clock says
			if c.Began.Before(since) {
				c.Began = since
			}
		}
	}
	if !c.Alive() {
		c.Lasted = min(max(0, c.FinishedAt.Sub(c.StartedAt)), now.Sub(c.Began))
	}
}

func (b *observer) dropLocked(id, dockerID string) {
	delete(b.byDockerID, dockerID)
	delete(b.byID[id], dockerID)
	if len(b.byID[id]) == 0 {
		delete(b.byID, id)
	}
}

// tokens are those of all containers that bear our labels, and whether they are all known. A container's never changes: one look at it
// is enough.
func (b *observer) tokens() (tokens map[string]bool, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tokens, whole = map[string]bool{}, b.known
	for _, e := range b.byDockerID {
		tokens[e.Token] = true
		whole = whole && e.Name != ""
	}
	return tokens, whole
}

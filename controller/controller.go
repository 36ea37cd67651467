package controller

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/util/workqueue"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// Config is what a controller works with.
type Config struct {
	Store     *store.Store
	Runtime   Runtime
	Endpoints Endpoints
	Snapshots Snapshots
	// Prober finds out what the engine does not say; nil finds nothing.
	Prober Prober
	Policy Policy
	Log    zerolog.Logger
	// Workers reconcile at once; 0 is 16.
	Workers int
	// Pulls is how many images are pulled at once; 0 is 3.
	Pulls int
	// Progress is told how pulls are getting on; it must not block, and may be nil.
	Progress func(api.PullProgress)
	// Resync is how often the engine is listed though nothing happened, jittered by a tenth; 0 is a minute.
	Resync time.Duration
	// Ports is the range that port 0 is picked from.
	Ports PortRange
	// AcceptEngine takes an engine that is not the one that the store remembers.
	AcceptEngine bool
	// AcceptRestore lets a restored store be acted upon.
	AcceptRestore bool
	// Now is the host's clock; nil is time.Now.
	Now func() time.Time
	// Uptime is how long the host has run, however its clock was set; nil where that is not known.
	Uptime func() time.Duration
	// Boot is the host's boot id, "" where it is not known: what ran under another one was interrupted.
	Boot string
	// Engine is told when the engine goes away, with why, and with nil when it is known again; it may be nil.
	Engine func(err error)
	// Fail is called with the name of each point at which a test may want the process to die; nil in production.
	Fail func(point string)
}

// ErrEngineChanged means that the engine is not the one that the store remembers and has none of its containers.
var ErrEngineChanged = errors.New(api.ReasonEngineChanged + ": this is another engine, without our containers; start once with --accept-engine if that is meant")

// Controller is the reconcile loop.
type Controller struct {
	Config
	observer      *observer
	queue         workqueue.TypedDelayingInterface[string]
	agedQueue     *agedQueue
	samples       *sampler
	pulls         *puller
	copies        *copier
	recentActions *recentActions
	sweepRequests chan struct{} // asks for a look at code that nobody uses
	metrics       *metrics
	clock         *clock
	rates         *rates
	starts        *starts
	// retryBackoffs are those of ids whose reconcile failed.
	retryBackoffs *backoffs
	// collectBackoffs are those of what is left of deleted containers.
	collectBackoffs *backoffs
	// lastProgress is when the loop last took something from its queue, as time since the process began.
	lastProgress atomic.Int64
	ports        portPicker
	// stash is what happened while the store could not be written.
	stash       *stash
	engineState atomic.Pointer[engineState]
}

// engineState is why the engine is not known, since when, and whether that was announced.
type engineState struct {
	err       error
	announced bool
	since     time.Time
}

var errStarting = errors.New("EngineUnavailable: the engine has not been listed yet")

// New makes a controller; Run runs it.
func New(c Config) *Controller {
	if c.Workers == 0 {
		c.Workers = 16
	}
	if c.Pulls == 0 {
		c.Pulls = 3
	}
	if c.Resync == 0 {
		c.Resync = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Fail == nil {
		c.Fail = func(string) {}
	}
	if c.Progress == nil {
		c.Progress = func(api.PullProgress) {}
	}
	if c.Engine == nil {
		c.Engine = func(error) {}
	}
	m := newMetrics()
	limits := newRates()
	c.Runtime = counted{c.Runtime, m.calls, limits}
	k := &Controller{Config: c, metrics: m, clock: clockOf(&c)}
	k.observer = newObserver(c.Runtime, c.Resync, c.Log, k.clock)
	k.queue, k.agedQueue = newQueue()
	k.observer.enqueue, k.observer.admitEngine, k.observer.onListed, k.observer.onResync = k.queue.Add, k.admitEngine, k.engineListed, k.queueMissing
	k.observer.onLost, k.observer.metrics, k.observer.enqueueAfter = k.engineLost, m, k.queue.AddAfter
	k.observer.newestEvent, k.observer.onEvent = c.Store.EngineEvent(), c.Store.NoteEngineEvent
	k.starts = newStarts(k.observer.probePending)
	k.observer.onUnorderedLoss = k.suspect
	k.retryBackoffs = newBackoffs()
	k.rates, k.collectBackoffs = limits, newBackoffs()
	k.samples = newSampler(c.Runtime)
	k.pulls = newPuller(c.Runtime, c.Pulls, c.Progress, k.queue.Add)
	k.recentActions = newRecentActions()
	k.copies, k.sweepRequests = newCopier(c.Snapshots, k.queue.Add, k.requestSweep), make(chan struct{}, 1)
	k.ports = portPicker{between: c.Ports}
	k.stash = newStash()
	k.engineState.Store(&engineState{err: errStarting, announced: true, since: time.Now()})
	return k
}

// clockOf goes on with the clock of the process before, where the host has not been started anew since.
func clockOf(c *Config) *clock {
	if boot, zero := c.Store.Clock(); c.Uptime != nil && boot != "" && boot == c.Boot {
		return resumedClock(c.Now, zero, c.Uptime())
	}
	return newClock(c.Now, newestMoment(c.Store))
}

// noteClock has the next process go on with this clock. Without that it begins anew, behind all that is noted.
func (k *Controller) noteClock(ctx context.Context) {
	if boot, _ := k.Store.Clock(); k.Uptime == nil || k.Boot == "" || boot == k.Boot {
		return
	}
	zero := k.clock.now().Now.Add(-k.Uptime())
	if err := k.Store.SetClock(ctx, k.Boot, zero); err != nil {
		k.Log.Warn().Err(err).Str("operation", "note_clock").Msg("the clock could not be noted; after a restart and a change of the host's clock, waits may begin anew")
	}
}

// newestMoment is how far the clocks of earlier processes had come.
func newestMoment(s *store.Store) time.Time {
	var newest time.Time
	records, _ := s.List()
	for _, r := range records {
		if at := plan.Newest(r); at.After(newest) {
			newest = at
		}
	}
	return newest
}

// finishTimeout is what steps that are under way get to end themselves when the controller stops.
const finishTimeout = 10 * time.Second

// Run reconciles until ctx ends, and returns when what it began has ended. A step that is under way is finished: a call
// that is cut off may still take effect, and nobody would have written it down.
func (k *Controller) Run(ctx context.Context) error {
	k.noteClock(ctx)
	records, revision := k.Store.List()
	k.forgetDeleted()
	k.openEndpoints(records)
	group, ctx := errgroup.WithContext(ctx)
	steps, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	group.Go(func() error { k.observer.run(ctx); return nil })
	group.Go(func() error { return k.watchStore(ctx, revision) })
	group.Go(func() error { k.addHeartbeats(ctx); return nil })
	group.Go(func() error { k.sweepLoop(ctx); return nil })
	for range k.Workers {
		group.Go(func() error { k.runWorker(ctx, steps); return nil })
	}
	<-ctx.Done()
	k.queue.ShutDown()
	late := time.AfterFunc(finishTimeout, cut)
	defer late.Stop()
	err := group.Wait()
	k.pulls.close()
	k.copies.close()
	k.samples.wait()
	return err
}

// forgetDeleted lets go of what a process left that died between the end of a record and this. What belongs to nobody known is
// left alone.
func (k *Controller) forgetDeleted() {
	left, err := k.Endpoints.Left()
	if err != nil {
		k.Log.Warn().Err(err).Str("operation", "remove_socket").Msg("the sockets of deleted flows could not be looked for; the next start tries again")
	}
	for _, id := range left {
		_, live := k.Store.Get(id)
		if _, buried := k.Store.Tombstone(id); buried && !live {
			k.forget(id)
		}
	}
}

// openEndpoints brings the sockets back to their paths before anything else: flows that ran on are waiting for them.
func (k *Controller) openEndpoints(records []*store.Record) {
	var group errgroup.Group
	group.SetLimit(k.Workers)
	for _, r := range records {
		group.Go(func() error {
			if err := k.Endpoints.Open(r.ID); err != nil {
				k.logFor(r).Error().Err(err).Str("operation", "open_socket").Msg("the flow's socket could not be opened; the loop tries again")
			}
			return nil
		})
	}
	_ = group.Wait() // what failed has been told, and the loop comes back to it
}

// Ready is nil while the engine is known and the store can be written; else the error says what is missing.
func (k *Controller) Ready() error {
	if err := k.Store.Err(); err != nil {
		return fmt.Errorf("StoreNotWritable: %w", err)
	}
	if !k.observer.ready() {
		return k.engineState.Load().err
	}
	return nil
}

// EngineKnown is nil while the engine is known; else the error is an *api.EngineAway.
func (k *Controller) EngineKnown() error {
	if k.observer.ready() {
		return nil
	}
	s := k.engineState.Load()
	return &api.EngineAway{Message: api.Redactor{}.Text(s.err.Error()), Since: s.since}
}

// engineLost is called after each session with the engine that ended, those that never came about included.
func (k *Controller) engineLost(err error) {
	if !heldBack(err) {
		err = fmt.Errorf("EngineUnavailable: %w", err)
	}
	since := time.Now()
	if before := k.engineState.Load(); before.announced {
		since = before.since
	}
	old := k.engineState.Swap(&engineState{err: err, announced: true, since: since})
	if old.announced && old.err.Error() == err.Error() {
		return
	}
	k.Log.Warn().Err(err).Str("operation", "observe").Msg("the engine is not known; nothing is done until it is listed again")
	if !old.announced {
		k.Engine(err)
	}
}

// admitEngine judges an engine by its id and, where that is new, by whether our containers are in it.
func (k *Controller) admitEngine(ctx context.Context, seen []plan.Container) error {
	if err := k.judgeRestore(ctx, seen); err != nil {
		return err
	}
	id, err := k.Runtime.Engine(ctx)
	if err != nil {
		return fmt.Errorf("ask the engine for its id: %w", err)
	}
	remembered := k.Store.Engine()
	if remembered == id {
		return nil
	}
	if remembered != "" && !k.AcceptEngine && !k.anyOurs(seen) {
		return ErrEngineChanged
	}
	if err := k.Store.SetEngine(ctx, id); err != nil {
		return fmt.Errorf("remember the engine: %w", err)
	}
	return nil
}

// engineListed is called when a session's first list is known. It puts every record into the queue: the engine may have lost
// some while nobody looked, and ids that were queued before were dropped.
func (k *Controller) engineListed() {
	records, _ := k.Store.List()
	k.Log.Info().Str("operation", "observe").Int("declared", len(records)).Msg("the engine is listed; reconciling")
	for _, r := range records {
		k.queue.Add(r.ID)
	}
	if old := k.engineState.Swap(&engineState{err: errStarting, since: time.Now()}); old.err != errStarting {
		k.Engine(nil)
	}
}

// queueMissing is a resync's look at what no list of the engine shows: sockets that were taken away behind our back, and code that
// nobody uses any more.
func (k *Controller) queueMissing() {
	k.requestSweep()
	k.rates.prune()
	records, _ := k.Store.List()
	for _, r := range records {
		if !k.Endpoints.Listening(r.ID) {
			k.queue.Add(r.ID)
		}
	}
}

func (k *Controller) anyOurs(seen []plan.Container) bool {
	for _, o := range seen {
		if r, ok := k.Store.Get(o.ID); ok && r.Owns(o.Token, o.DockerID, o.Name) {
			return true
		}
	}
	return false
}

// watchStore puts what was declared into the queue.
func (k *Controller) watchStore(ctx context.Context, revision uint64) error {
	watch := k.Store.Watch(revision)
	for {
		changes, err := watch.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrExpired):
			var records []*store.Record
			records, revision = k.Store.List()
			watch = k.Store.Watch(revision)
			for _, r := range records {
				k.queue.Add(r.ID)
			}
		case err != nil:
			return fmt.Errorf("follow the store: %w", err)
		}
		for _, c := range changes {
			if c.Type == store.Deleted {
				k.forget(c.ID)
			}
			if c.Spec || c.Type == store.Deleted {
				k.queue.Add(c.ID)
			}
		}
	}
}

// forget lets go of what this process has of a record that is gone. After a deletion by force that is something.
func (k *Controller) forget(id string) {
	k.pulls.cancel(id)
	k.copies.drop(id)
	k.recentActions.forget(id)
	k.rates.forget(id)
	k.requestSweep()
	if err := k.Endpoints.Remove(id); err != nil {
		k.logID(id).Warn().Err(err).Str("operation", "remove_socket").Msg("the socket of a deleted flow could not be removed; the next start tries again")
	}
}

// runWorker takes ids from the queue until it is shut down. ctx says whether to begin another step, steps how long one may go on.
func (k *Controller) runWorker(ctx, steps context.Context) {
	for {
		id, down := k.queue.Get()
		if down {
			return
		}
		k.lastProgress.Store(int64(k.clock.uptime()))
		if id != heartbeat {
			k.processItem(ctx, steps, id)
		}
		k.queue.Done(id)
	}
}

// heartbeat is an id that goes through the queue though it is nobody's, so that a loop that stands still is seen.
const (
	heartbeat         = ""
	heartbeatInterval = 30 * time.Second
	// stalled is how long the loop may take nothing from its queue before it counts as dead.
	stalled = 3 * time.Minute
)

func (k *Controller) addHeartbeats(ctx context.Context) {
	for ctx.Err() == nil {
		k.queue.Add(heartbeat)
		pause(ctx, heartbeatInterval)
	}
}

func (k *Controller) sinceProgress() time.Duration {
	return k.clock.uptime() - time.Duration(k.lastProgress.Load())
}

// Alive is nil while the loop goes round.
func (k *Controller) Alive() error {
	if idle := k.sinceProgress(); idle > stalled {
		return fmt.Errorf("the reconcile loop has not gone round for %s", idle.Round(time.Second))
	}
	return nil
}

// processItem reconciles one id and decides when to look again.
func (k *Controller) processItem(ctx, steps context.Context, id string) {
	if !k.observer.ready() {
		return // everything is put into the queue again when the engine is back
	}
	began := time.Now()
	again, err := k.reconcile(ctx, steps, id)
	k.metrics.reconciles.WithLabelValues(result(again, err)).Observe(time.Since(began).Seconds())
	switch {
	case ctx.Err() != nil:
	case err != nil:
		k.logID(id).Warn().Err(err).Str("operation", "reconcile").Msg("this turn did not end; looking again")
		k.queue.AddAfter(id, k.retryBackoffs.next(id))
		return
	case again > 0:
		k.queue.AddAfter(id, again)
	}
	k.retryBackoffs.forget(id)
}

// result is what became of a reconcile, as a label.
func result(again time.Duration, err error) string {
	switch {
	case err != nil:
		return "error"
	case again > 0:
		return "again"
	}
	return "settled"
}

// logID is a line about what has an id, and a record perhaps.
func (k *Controller) logID(id string) *zerolog.Logger {
	if r, ok := k.Store.Get(id); ok {
		return k.logFor(r)
	}
	l := k.Log.With().Str("id", id).Logger()
	return &l
}

// logFor is a line about a record.
func (k *Controller) logFor(r *store.Record) *zerolog.Logger {
	l := k.Log.With().Str("id", r.ID).Str("name", r.Name).Int64("generation", r.Generation).Logger()
	return &l
}

// Usage is what a container consumes, all zero while it does not run.
func (k *Controller) Usage(ctx context.Context, c *api.Container) api.Usage {
	if c.Status.State != api.StateRunning || c.Status.DockerID == "" {
		return api.Usage{Timestamp: time.Now().UTC()}
	}
	var began time.Time
	if c.Status.StartedAt != nil {
		began = *c.Status.StartedAt // what an earlier run took says nothing of this one
	}
	return k.samples.usage(ctx, c.Status.DockerID, began)
}

// Sample is what a container consumes now, all zero while it does not run.
func (k *Controller) Sample(ctx context.Context, c *api.Container) api.Usage {
	if c.Status.State != api.StateRunning || c.Status.DockerID == "" {
		return api.Usage{Timestamp: time.Now().UTC()}
	}
	return k.samples.fresh(ctx, c.Status.DockerID)
}

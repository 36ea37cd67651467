package controller

import (
	"context"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// An engine may be lost each time that one container is started: something about that container makes it panic. Whoever starts
// the container again after each recovery keeps the whole host down. So after a loss that nobody ordered, starts go one by one,
// those that were being started at a loss last, and a container that was alone under suspicion twice is not started any more.

const (
	// startWindow is how long after its start a container is suspected of what happens to the engine.
	startWindow = 10 * time.Second
	// probeWindow is the same for one whose first health probe is still to come.
	probeWindow = 90 * time.Second
	// calmWindow is how long after the newest start a careful engine counts as a sound one again.
	calmWindow = 2 * time.Minute
	// suspectsWait is how long suspects let all others go first.
	suspectsWait = 15 * time.Second
)

// starts are those of late, and whether they go one by one.
type starts struct {
	pending func(id string) bool // its first health probe is still to come

	mu       sync.Mutex
	of       map[string]time.Time // when each was begun
	careful  bool
	since    time.Time       // of the newest loss, or of the newest first start since
	again    map[string]bool // those that were started since the newest loss
	suspects map[string]bool
}

func newStarts(pending func(id string) bool) *starts {
	return &starts{pending: pending, of: map[string]time.Time{}, again: map[string]bool{}, suspects: map[string]bool{}}
}

// due is how long a start of id has to wait, 0 where it may begin.
func (s *starts) due(id string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dueLocked(id)
}

func (s *starts) dueLocked(id string) time.Duration {
	s.pruneLocked()
	if !s.careful {
		return 0
	}
	for other := range s.of {
		if other != id {
			return time.Second
		}
	}
	if s.suspects[id] {
		return max(0, suspectsWait-time.Since(s.since))
	}
	return 0
}

// pruneLocked forgets starts that have gone well, and carefulness once all have.
func (s *starts) pruneLocked() {
	for id, at := range s.of {
		age := time.Since(at)
		if age >= probeWindow || age >= startWindow && !s.pending(id) {
			delete(s.of, id)
		}
	}
	if s.careful && len(s.of) == 0 && time.Since(s.since) >= calmWindow {
		s.careful = false
		clear(s.suspects)
	}
}

// begin notes a start; false where it has to wait after all.
func (s *starts) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dueLocked(id) > 0 {
		return false
	}
	s.of[id] = time.Now()
	if s.careful && !s.again[id] { // who ends again and again keeps nobody waiting for ever
		s.since, s.again[id] = time.Now(), true
	}
	return true
}

// lost notes that the engine was lost and nobody had ordered it. It returns the one that was alone being started, "" where there
// is no such one.
func (s *starts) lost() (alone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pruneLocked()
	for id := range s.of {
		s.suspects[id] = true
		alone = id
	}
	if len(s.of) != 1 {
		alone = ""
	}
	s.careful, s.since = true, time.Now()
	clear(s.of)
	clear(s.again)
	return alone
}

// suspect is told of each loss of the engine that nobody had ordered.
func (k *Controller) suspect(ctx context.Context) {
	alone := k.starts.lost()
	k.Log.Warn().Str("operation", "observe").Str("suspect", alone).Msg("the engine was lost without having been stopped; containers are started one by one from now on")
	r, ok := k.Store.Get(alone)
	if !ok {
		return
	}
	err := k.writeStep(ctx, r, &plan.Step{Action: plan.Suspect, Cause: api.CauseRecovery}, &plan.Result{}, &plan.Observation{At: k.clock.now()})
	if err != nil {
		k.logFor(r).Warn().Err(err).Str("operation", "observe").Msg("the suspicion could not be noted")
	}
}

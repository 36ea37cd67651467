package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// slowPulls is an engine whose pulls take what script says, and which sees to the rules that a puller promises to it.
type slowPulls struct {
	Runtime
	script func(ctx context.Context, ref string, progress func(api.PullProgress)) error
	slots  int

	mu     sync.Mutex
	active []string
	begun  []string
	broken []string
}

func (s *slowPulls) Pull(ctx context.Context, ref string, progress func(api.PullProgress)) error {
	s.mu.Lock()
	if slices.Contains(s.active, ref) {
		s.broken = append(s.broken, ref+" is pulled twice at once")
	}
	s.active, s.begun = append(s.active, ref), append(s.begun, ref)
	if len(s.active) > s.slots {
		s.broken = append(s.broken, fmt.Sprintf("%d pulls at once", len(s.active)))
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active = slices.DeleteFunc(s.active, func(other string) bool { return other == ref })
	}()
	return s.script(ctx, ref, progress)
}

// takes is a script of pulls that take so long, and report once a second.
func takes(d time.Duration, err error) func(context.Context, string, func(api.PullProgress)) error {
	return func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
		for n := time.Duration(0); n < d && ctx.Err() == nil; n += time.Second {
			progress(api.PullProgress{Image: ref, Layer: "a", Status: "Downloading", Current: int64(n)})
			pause(ctx, min(time.Second, d-n))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
}

func stalls(ctx context.Context, ref string, progress func(api.PullProgress)) error {
	progress(api.PullProgress{Image: ref, Layer: "a", Status: "Waiting"})
	<-ctx.Done()
	return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
}

// pulls is a puller in a bubble, with what it called back.
type pulls struct {
	*puller
	engine *slowPulls
	mu     sync.Mutex
	woken  []string
	told   []api.PullProgress
}

func newPulls(t *testing.T, slots int, script func(context.Context, string, func(api.PullProgress)) error) *pulls {
	p := &pulls{engine: &slowPulls{script: script, slots: slots}}
	p.puller = newPuller(p.engine, slots, p.note, p.wake)
	t.Cleanup(func() {
		p.close()
		for _, b := range p.engine.broken {
			t.Error(b)
		}
		if n := len(p.asked) + len(p.open) + len(p.active) + len(p.waiting); n > 0 {
			t.Errorf("%d things are left after close", n)
		}
	})
	return p
}

func (p *pulls) wake(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = append(p.woken, id)
}

func (p *pulls) note(now api.PullProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, now)
}

// wakes are the ids that were put back since the last look, once nothing moves at this instant any more.
func (p *pulls) wakes() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	woken := slices.Sorted(slices.Values(p.woken)) // pulls that end at one instant end in any order
	p.woken = nil
	return woken
}

// tellings are the progress that was told so far.
func (p *pulls) tellings() []api.PullProgress {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// phase is a state in a word.
func (p *pulls) phase(id string) string {
	synctest.Wait()
	switch s := p.state(id); {
	case s.ref == "":
		return "none"
	case s.done && s.err != nil:
		return s.ref + " failed"
	case s.done:
		return s.ref + " done"
	case s.queued:
		return s.ref + " queued"
	default:
		return s.ref + " pulling"
	}
}

func (p *pulls) phases(ids ...string) string {
	var all []string
	for _, id := range ids {
		all = append(all, id+": "+p.phase(id))
	}
	return strings.Join(all, ", ")
}

func (p *pulls) expect(t *testing.T, want string, ids ...string) {
	t.Helper()
	if diff := cmp.Diff(want, p.phases(ids...)); diff != "" {
		t.Error(diff)
	}
}

func (p *pulls) expectWakes(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, p.wakes()); diff != "" {
		t.Error(diff)
	}
}

func (p *pulls) expectBegun(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	if diff := cmp.Diff(want, p.engine.begun); diff != "" {
		t.Error(diff)
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

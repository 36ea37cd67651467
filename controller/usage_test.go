package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// slowStats takes a second for each sample, as the engine's collector does.
type slowStats struct {
	Runtime
	drawn atomic.Uint64
	fail  atomic.Bool
}

func (s *slowStats) Usage(ctx context.Context, _ string) (api.Usage, error) {
	pause(ctx, time.Second)
	if s.fail.Load() {
		return api.Usage{}, errors.New("no sample")
	}
	return api.Usage{Pids: s.drawn.Add(1), Timestamp: time.Now()}, nil
}

func TestSampler_ManyAskersShareOneSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats := &slowStats{}
		s := newSampler(stats)
		began := time.Now()
		var askers sync.WaitGroup
		for range 100 {
			askers.Go(func() {
				if u := s.usage(t.Context(), "a", time.Time{}); u.Pids != 1 {
					t.Errorf("got %+v", u)
				}
			})
		}
		askers.Wait()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("the first askers waited %s", waited)
		}
		time.Sleep(outdated)
		if n := stats.drawn.Load(); n != 1 {
			t.Errorf("%d samples, though nobody asked again", n)
		}
		began = time.Now()
		if u := s.usage(t.Context(), "a", time.Time{}); u.Pids != 1 || time.Since(began) != 0 {
			t.Errorf("asked again: %+v after %s", u, time.Since(began))
		}
		s.wait()
		if u := s.usage(t.Context(), "a", time.Time{}); u.Pids != 2 {
			t.Errorf("after the new sample: %+v", u)
		}
		time.Sleep(time.Minute)
		if u := s.usage(t.Context(), "a", time.Time{}); u.Pids != 3 {
			t.Errorf("long after it: %+v", u)
		}
		time.Sleep(fresh / 2)
		if u := s.usage(t.Context(), "a", time.Now().Add(-fresh/4)); u.Pids != 3 { // one is not drawn twice a second
			t.Errorf("of another run: %+v", u)
		}
		time.Sleep(fresh)
		if u := s.usage(t.Context(), "a", time.Now().Add(-fresh/4)); u.Pids != 4 {
			t.Errorf("of another run, a second later: %+v", u)
		}
		s.wait()
	})
}

func TestSampler_AFailureOrAnImpatientAskerEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats := &slowStats{}
		stats.fail.Store(true)
		s := newSampler(stats)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		s.usage(ctx, "a", time.Time{})
		if waited := time.Since(began); waited != 100*time.Millisecond {
			t.Errorf("the impatient one waited %s", waited)
		}
		if u := s.usage(t.Context(), "a", time.Time{}); u.Pids != 0 || time.Since(began) != time.Second {
			t.Errorf("the patient one got %+v after %s", u, time.Since(began))
		}
		s.wait()
	})
}

func TestSampler_MoreContainersThanSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampler(&slowStats{})
		var askers sync.WaitGroup
		for i := range maxSampling + 10 {
			askers.Go(func() {
				if u := s.usage(t.Context(), fmt.Sprint(i), time.Time{}); u.Pids == 0 {
					t.Errorf("container %d got no sample", i)
				}
			})
		}
		askers.Wait()
		s.wait()
	})
}

// Who wants a sample of now waits for it, and shares it with all who ask meanwhile.
func TestSampler_FreshIsOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats := &slowStats{}
		s := newSampler(stats)
		s.usage(t.Context(), "a", time.Time{})
		time.Sleep(time.Minute)
		began := time.Now()
		var askers sync.WaitGroup
		for range 100 {
			askers.Go(func() {
				if u := s.fresh(t.Context(), "a"); u.Pids != 2 || !u.Timestamp.After(began) {
					t.Errorf("got %+v", u)
				}
			})
		}
		askers.Wait()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("they waited %s", waited)
		}
		stats.fail.Store(true)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began = time.Now()
		if u := s.fresh(ctx, "a"); u.Pids != 2 || time.Since(began) != 100*time.Millisecond {
			t.Errorf("the impatient one got %+v after %s", u, time.Since(began))
		}
		s.wait()
	})
}

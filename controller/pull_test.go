package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

func TestPuller_OneFlight(t *testing.T) {
	bubble(t, "64 askers share one pull, and each is woken once", func(t *testing.T) {
		p := newPulls(t, 3, takes(10*time.Second, nil))
		var ids []string
		for i := range 64 {
			ids = append(ids, fmt.Sprintf("%02d", i))
			p.begin(ids[i], "x")
			p.begin(ids[i], "x")
			time.Sleep(100 * time.Millisecond)
		}
		p.expect(t, "00: x pulling, 63: x pulling", "00", "63")
		p.expectWakes(t)
		time.Sleep(10 * time.Second)
		p.expectWakes(t, ids...)
		p.expectBegun(t, "x")
		p.expect(t, "00: x done, 63: x done, 64: none", "00", "63", "64")
	})
	bubble(t, "a failure is told to all, and asking again pulls again", func(t *testing.T) {
		p := newPulls(t, 3, takes(time.Second, ErrAbsent))
		p.begin("a", "x")
		p.begin("b", "x")
		time.Sleep(time.Second)
		p.expectWakes(t, "a", "b")
		p.expect(t, "a: x failed, b: x failed", "a", "b")
		if s := p.state("a"); !errors.Is(s.err, ErrAbsent) || time.Since(s.at) != 0 {
			t.Errorf("got %+v", s)
		}
		p.begin("a", "x")
		p.expect(t, "a: x pulling, b: x failed", "a", "b")
		time.Sleep(time.Second)
		p.expectWakes(t, "a")
		p.expectBegun(t, "x", "x")
	})
	bubble(t, "who asks for another leaves the first", func(t *testing.T) {
		p := newPulls(t, 1, takes(time.Minute, nil))
		p.begin("a", "x")
		p.begin("a", "y")
		p.expect(t, "a: y pulling", "a")
		p.expectBegun(t, "x", "y")
		time.Sleep(time.Minute)
		p.expectWakes(t, "a")
	})
}

func TestPuller_Slots(t *testing.T) {
	bubble(t, "more references than slots wait in order", func(t *testing.T) {
		p := newPulls(t, 3, takes(10*time.Second, nil))
		for i := range 10 {
			p.begin(fmt.Sprint(i), fmt.Sprint("x", i))
			time.Sleep(time.Millisecond)
		}
		p.expect(t, "2: x2 pulling, 3: x3 queued, 9: x9 queued", "2", "3", "9")
		time.Sleep(10 * time.Second)
		p.expectWakes(t, "0", "1", "2")
		p.expect(t, "5: x5 pulling, 6: x6 queued", "5", "6")
		time.Sleep(30 * time.Second)
		p.expectWakes(t, "3", "4", "5", "6", "7", "8", "9")
		p.expectBegun(t, "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9")
	})
	bubble(t, "waiting for a slot is not standing still", func(t *testing.T) {
		p := newPulls(t, 1, takes(time.Hour, nil))
		p.begin("a", "x")
		p.begin("b", "y")
		time.Sleep(2*time.Hour - time.Second)
		p.expect(t, "a: none, b: y pulling", "a", "b")
		time.Sleep(time.Second)
		p.expect(t, "b: y done", "b")
	})
}

func TestPuller_Cancel(t *testing.T) {
	bubble(t, "the last one out ends the pull", func(t *testing.T) {
		p := newPulls(t, 1, takes(time.Hour, nil))
		p.begin("a", "x")
		p.begin("b", "x")
		p.begin("c", "y")
		p.cancel("a")
		p.expect(t, "a: none, b: x pulling, c: y queued", "a", "b", "c")
		p.cancel("b")
		p.cancel("b")
		p.expect(t, "b: none, c: y pulling", "b", "c")
		p.expectWakes(t)
	})
	bubble(t, "what waits for a slot is never begun", func(t *testing.T) {
		p := newPulls(t, 1, takes(time.Second, nil))
		p.begin("a", "x")
		p.begin("b", "y")
		p.begin("c", "z")
		p.cancel("b")
		time.Sleep(time.Minute)
		p.expectWakes(t, "a", "c")
		p.expectBegun(t, "x", "z")
	})
	bubble(t, "nobody joins a pull that is being given up", func(t *testing.T) {
		slow := func(ctx context.Context, ref string, _ func(api.PullProgress)) error {
			pause(ctx, time.Minute)
			if ctx.Err() != nil {
				time.Sleep(5 * time.Second) // the engine takes its time to stop
			}
			return ctx.Err()
		}
		p := newPulls(t, 2, slow)
		p.begin("a", "x")
		synctest.Wait()
		p.cancel("a")
		p.begin("b", "x")
		p.begin("c", "y")
		p.expect(t, "a: none, b: x queued, c: y pulling", "a", "b", "c")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		p.begin("d", "x")
		p.expect(t, "b: x pulling, d: x pulling", "b", "d")
		time.Sleep(time.Minute)
		p.expectWakes(t, "b", "c", "d")
		p.expect(t, "b: x done, c: y done", "b", "c")
	})
	bubble(t, "a result is forgotten by cancel, and by itself after a while", func(t *testing.T) {
		p := newPulls(t, 2, takes(time.Second, nil))
		p.begin("a", "x")
		p.begin("b", "x")
		p.begin("c", "y")
		time.Sleep(time.Second)
		p.cancel("a")
		p.expect(t, "a: none, b: x done", "a", "b")
		time.Sleep(pullKept)
		p.expect(t, "b: x done", "b")
		time.Sleep(time.Second)
		p.expect(t, "b: none", "b")
		p.begin("d", "z")
		time.Sleep(time.Second)
		synctest.Wait()
		if len(p.asked) != 1 {
			t.Errorf("%d are remembered, though one alone has a result to come for", len(p.asked))
		}
	})
}

func TestPuller_Stall(t *testing.T) {
	given := func(t *testing.T, p *pulls, id, says string) {
		t.Helper()
		p.expectWakes(t, id)
		s := p.state(id)
		if !errors.Is(s.err, errStalled) || errors.Is(s.err, ErrUnavailable) || !strings.Contains(s.err.Error(), says) {
			t.Errorf("got %v, want it to say %q", s.err, says)
		}
	}
	bubble(t, "a pull that stands still is given up, and its slot is free", func(t *testing.T) {
		p := newPulls(t, 1, stalls)
		time.Sleep(time.Hour)
		p.begin("a", "x")
		p.begin("b", "y")
		time.Sleep(pullPatience - time.Nanosecond)
		p.expect(t, "a: x pulling, b: y queued", "a", "b")
		time.Sleep(time.Nanosecond)
		given(t, p, "a", "pull x: no progress for 2m0s")
		p.expect(t, "b: y pulling", "b")
	})
	bubble(t, "an engine that repeats itself stands still", func(t *testing.T) {
		p := newPulls(t, 1, func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
			for ctx.Err() == nil {
				progress(api.PullProgress{Image: ref, Layer: "a", Status: "Downloading", Current: 7})
				pause(ctx, 100*time.Millisecond)
			}
			return ctx.Err()
		})
		p.begin("a", "x")
		time.Sleep(pullPatience)
		given(t, p, "a", "no progress for 2m0s")
	})
	bubble(t, "slow is not still", func(t *testing.T) {
		p := newPulls(t, 1, func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
			for n := range 30 {
				progress(api.PullProgress{Image: ref, Layer: "a", Current: int64(n)})
				pause(ctx, pullPatience-1)
			}
			return context.Cause(ctx)
		})
		p.begin("a", "x")
		time.Sleep(30 * pullPatience)
		p.expect(t, "a: x done", "a")
	})
	beside := func(d time.Duration) func(context.Context, string, func(api.PullProgress)) error {
		return func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
			if ref == "still" {
				return stalls(ctx, ref, progress)
			}
			return takes(d, nil)(ctx, ref, progress)
		}
	}
	bubble(t, "while others move it may be waiting for them", func(t *testing.T) {
		p := newPulls(t, 2, beside(15*time.Minute))
		p.begin("a", "still")
		p.begin("b", "moves")
		time.Sleep(15*time.Minute - time.Nanosecond)
		p.expect(t, "a: still pulling, b: moves pulling", "a", "b")
		time.Sleep(time.Nanosecond)
		p.expectWakes(t, "b")
		time.Sleep(pullPatience - time.Second - time.Nanosecond)
		p.expect(t, "a: still pulling", "a")
		time.Sleep(time.Nanosecond)
		given(t, p, "a", "no progress for 16m59s")
	})
	bubble(t, "though not for ever", func(t *testing.T) {
		p := newPulls(t, 2, beside(time.Hour))
		p.begin("a", "still")
		p.begin("b", "moves")
		time.Sleep(pullCrowded - time.Nanosecond)
		p.expect(t, "a: still pulling, b: moves pulling", "a", "b")
		time.Sleep(time.Nanosecond)
		given(t, p, "a", "no progress for 20m0s")
	})
	bubble(t, "others that only begin do not move", func(t *testing.T) {
		p := newPulls(t, 3, func(ctx context.Context, _ string, _ func(api.PullProgress)) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		p.begin("a", "x")
		time.Sleep(time.Minute)
		p.begin("b", "y")
		time.Sleep(time.Minute)
		given(t, p, "a", "no progress for 2m0s")
		p.expect(t, "b: y pulling", "b")
	})
}

func TestPuller_Close(t *testing.T) {
	bubble(t, "ends what is under way, and nothing is called back after", func(t *testing.T) {
		p := newPulls(t, 1, func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
			<-ctx.Done()
			time.Sleep(3 * time.Second)
			progress(api.PullProgress{Image: ref, Status: "stopping"})
			return ctx.Err()
		})
		p.begin("a", "x")
		p.begin("b", "y")
		synctest.Wait()
		began := time.Now()
		p.close()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("close took %s", took)
		}
		p.close()
		p.begin("c", "z")
		p.cancel("a")
		p.expect(t, "a: none, b: none, c: none", "a", "b", "c")
		p.expectBegun(t, "x")
		p.expectWakes(t)
		if n := len(p.tellings()); n != 1 {
			t.Errorf("%d were told", n)
		}
	})
}

package controller

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

func TestPuller_Progress(t *testing.T) {
	layers := func(n int) func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
		return func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
			for tick := range 600 { // a minute
				for layer := range n {
					progress(api.PullProgress{Image: ref, Layer: fmt.Sprint(layer), Status: "Downloading", Current: int64(tick), Total: 599})
				}
				pause(ctx, 100*time.Millisecond)
			}
			return ctx.Err()
		}
	}
	// check holds what was told to what may be: never back, the last word of every layer, so many at a time.
	check := func(t *testing.T, p *pulls, want int) {
		t.Helper()
		newest := map[string]int64{}
		for _, now := range p.tellings() {
			if before, ok := newest[now.Layer]; ok && now.Current <= before || now.Image != "x" || now.Total != 599 {
				t.Errorf("after %d: %+v", before, now)
			}
			newest[now.Layer] = now.Current
		}
		for layer, current := range newest {
			if current != 599 {
				t.Errorf("the last word on layer %s is %d", layer, current)
			}
		}
		if len(newest) != want {
			t.Errorf("%d layers were told of, want %d", len(newest), want)
		}
	}
	bubble(t, "what is told of one layer is at most twice a second, at once at first", func(t *testing.T) {
		p := newPulls(t, 1, layers(1))
		p.begin("a", "x")
		if n := len(p.tellings()); n != 1 {
			t.Errorf("at first %d were told", n)
		}
		time.Sleep(time.Minute)
		p.expectWakes(t, "a")
		check(t, p, 1)
		if n := len(p.tellings()); n < 100 || n > 121 {
			t.Errorf("%d events in a minute", n)
		}
	})
	bubble(t, "many layers share it, and none is left out", func(t *testing.T) {
		p := newPulls(t, 1, layers(40))
		p.begin("a", "x")
		time.Sleep(time.Minute - time.Nanosecond)
		if n := len(p.tellings()); n < 100*tellAtOnce || n > 121*tellAtOnce {
			t.Errorf("%d events in a minute", n)
		}
		time.Sleep(time.Nanosecond)
		p.expectWakes(t, "a")
		check(t, p, 40)
	})
	bubble(t, "a monster of an image is followed in part, and is not still", func(t *testing.T) {
		p := newPulls(t, 1, func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
			for layer := range 2000 {
				progress(api.PullProgress{Image: ref, Layer: fmt.Sprint(layer)})
				pause(ctx, time.Second)
			}
			return context.Cause(ctx)
		})
		p.begin("a", "x")
		time.Sleep(2000 * time.Second)
		p.expectWakes(t, "a")
		p.expect(t, "a: x done", "a")
		if n := len(p.tellings()); n != maxLayers {
			t.Errorf("told of %d layers", n)
		}
	})
	bubble(t, "nothing of a pull is told twice at once, or after who asked was woken", func(t *testing.T) {
		p := newPulls(t, 1, layers(1))
		var telling atomic.Int32
		p.tell = func(now api.PullProgress) {
			if n := telling.Add(1); n > 1 {
				t.Errorf("%d at once", n)
			}
			time.Sleep(700 * time.Millisecond)
			telling.Add(-1)
			p.note(now)
		}
		p.ended = func(id string) {
			if telling.Load() > 0 {
				t.Error("woken before all was told")
			}
			p.wake(id)
		}
		p.begin("a", "x")
		time.Sleep(2 * time.Minute)
		p.expectWakes(t, "a")
		check(t, p, 1)
	})
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// Whatever is asked for and taken back, in whatever order: slots and single flight hold, whoever stayed is woken once for
// each pull, and at the end nothing is left.
func TestPuller_Random(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		slots := rapid.IntRange(1, 3).Draw(r, "slots")
		steps := rapid.SliceOfN(rapid.Custom(drawPullStep), 1, 60).Draw(r, "steps")
		var flaw string
		synctest.Test(t, func(t *testing.T) { flaw = playPulls(t, slots, steps) })
		if flaw != "" {
			r.Fatal(flaw)
		}
	})
}

// pullStep is a wish of an id for ref, or to be left alone where there is none, and how long nothing happens then.
type pullStep struct {
	ID, Ref string
	Then    time.Duration
}

func drawPullStep(r *rapid.T) pullStep {
	return pullStep{
		ID:   rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(r, "id"),
		Ref:  rapid.SampledFrom([]string{"p", "q", "r", "s", ""}).Draw(r, "ref"),
		Then: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 2, 9}).Draw(r, "then")) * time.Second / 2,
	}
}

func playPulls(t *testing.T, slots int, steps []pullStep) (flaw string) {
	p := newPulls(t, slots, func(ctx context.Context, ref string, progress func(api.PullProgress)) error {
		defer time.Sleep(time.Duration(ref[0]%3) * time.Second) // the engine takes its time to stop
		return takes(time.Duration(1+ref[0]%4)*time.Second, map[string]error{"q": ErrAbsent}[ref])(ctx, ref, progress)
	})
	wants := map[string]string{}
	look := func() {
		for _, id := range p.wakes() {
			if s := p.state(id); wants[id] == "" || !s.done || s.ref != wants[id] || errors.Is(s.err, ErrAbsent) != (s.ref == "q") {
				flaw = fmt.Sprintf("%s wants %q and was woken for %+v", id, wants[id], s)
			}
			delete(wants, id)
		}
	}
	for _, s := range steps {
		if s.Ref == "" {
			p.cancel(s.ID)
			delete(wants, s.ID)
		} else {
			p.begin(s.ID, s.Ref)
			wants[s.ID] = s.Ref
		}
		time.Sleep(s.Then)
		look()
	}
	time.Sleep(5 * time.Minute)
	look()
	switch {
	case len(wants) > 0:
		return fmt.Sprintf("never woken: %v", wants)
	case len(p.open)+len(p.active)+len(p.waiting) > 0:
		return "something goes on though nobody wants it"
	case len(p.engine.broken) > 0:
		return p.engine.broken[0]
	}
	return flaw
}

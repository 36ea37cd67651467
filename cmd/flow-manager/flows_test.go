package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// heardFlows are flows whose only one is declared.
func heardFlows(t *testing.T) (f *flows, id string) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return newFlows(s, zerolog.Nop()), declared(t, s, "web")
}

func declared(t *testing.T, s *store.Store, name string) (id string) {
	t.Helper()
	r, err := s.Declare(t.Context(), store.Declaration{Name: name, Principal: "ann", Operation: api.ApplyContainer, Change: func(wish *store.Wish) error {
		wish.Spec = api.Spec{Image: "x"}
		wish.Spec.Default(name)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// raised are the actor events that were stored, newest first.
func (f *flows) raised(t *testing.T, id string) []string {
	t.Helper()
	var all []string
	_, err := f.store.Past(id, func(c *store.Change) bool {
		for _, e := range c.Events {
			var a api.Activity
			if err := json.Unmarshal(e.Data, &a); err == nil && a.ActivityType == api.ActivityActor {
				all = append(all, a.Message)
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What flows have raised is stored, also when the manager stops first, a flow's own together; of what is more than its allowance the
// sum is, and another flow has its own.
func TestFlows_ActorEvents(t *testing.T) {
	f, id := heardFlows(t)
	for i := range actorBurst + 10 {
		f.ActorEvent(id, "robot", fmt.Sprint(i), json.RawMessage(`"data"`))
	}
	other := declared(t, f.store, "other")
	f.ActorEvent(other, "robot", "moved", nil)
	before := f.store.Revision()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := f.run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := f.store.Revision() - before; n != 3 {
		t.Errorf("it took %d changes, want one for each flow and one for the sum", n)
	}
	all := f.raised(t, id)
	sum := slices.Index(all, "10 more actor events (60 bytes) raised by the flow")
	if len(all) != actorBurst+1 || sum < 0 || !slices.Contains(all, "robot raised 99") {
		t.Errorf("%d were stored: %q", len(all), all)
	}
	if all := f.raised(t, other); len(all) != 1 {
		t.Errorf("the other's: %q", all)
	}
}

// A flow's allowance comes back, one a second; nothing is kept of one that has all of it.
func TestActors_Allowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newActors()
		add := func(times int) (added int) {
			for range times {
				if q.add(api.Activity{ContainerID: "a"}) {
					added++
				}
			}
			return added
		}
		if n := add(1000); n != actorBurst {
			t.Errorf("%d at once, want %d", n, actorBurst)
		}
		q.take()
		time.Sleep(10 * time.Second)
		if n := add(1000); n != 10 {
			t.Errorf("%d after 10 s", n)
		}
		time.Sleep(2 * time.Minute)
		q.add(api.Activity{ContainerID: "b"})
		if len(q.allowances) != 1 {
			t.Errorf("%d are remembered", len(q.allowances))
		}
	})
}

// A name may be as long as a frame, and is not kept whole.
func TestFlows_LongActor(t *testing.T) {
	f, id := heardFlows(t)
	f.ActorEvent(id, strings.Repeat("\u00e4", 1<<19), "moved", nil)
	f.keepRest(t.Context())
	if all := f.raised(t, id); len(all) != 1 || all[0] != strings.Repeat("\u00e4", maxActorName/2)+"... raised moved" {
		t.Errorf("stored: %.600q", all)
	}
}

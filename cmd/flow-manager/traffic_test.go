package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/sockets"
)

// heardTraffic plays those who listen and the store.
type heardTraffic struct {
	*traffic
	began        time.Time
	told, stored []string
	storing      func()
}

func newHeardTraffic() *heardTraffic {
	h := &heardTraffic{began: time.Now(), storing: func() {}}
	line := func(a api.Activity) string {
		return fmt.Sprintf("%v %s %s %v", time.Since(h.began), a.ContainerID, a.ActivityType, a.Details)
	}
	h.traffic = &traffic{
		news: sums{},
		tell: func(a api.Activity) { h.told = append(h.told, line(a)) },
		store: func(ctx context.Context, _ string, list []api.Activity) {
			if ctx.Err() != nil {
				return // as the real one does
			}
			for _, a := range list {
				h.stored = append(h.stored, line(a))
			}
			h.storing()
		},
	}
	return h
}

// However many messages there are, each second has one entry for each way and each minute stores one.
func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeardTraffic()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); h.run(ctx) }()
		count := func(ways ...sockets.Way) {
			for _, way := range ways {
				h.count("a", way, fmt.Sprint("kind", way), 100)
			}
		}
		count(sockets.ToFlow, sockets.FromFlow, sockets.ToFlow)
		time.Sleep(1500 * time.Millisecond)
		count(sockets.FromFlow)
		time.Sleep(60 * time.Second)
		count(sockets.ToFlow)
		stop()
		<-ended
		slices.Sort(h.stored)
		want := []string{
			"1s a message_sent map[bytes:200 count:2 last_type:kind0]", "1s a message_received map[bytes:100 count:1 last_type:kind1]",
			"2s a message_received map[bytes:100 count:1 last_type:kind1]", "1m1.5s a message_sent map[bytes:100 count:1 last_type:kind0]",
		}
		if diff := cmp.Diff(want, h.told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		want = []string{
			"1m0s a message_received map[bytes:200 count:2 last_type:kind1]", "1m0s a message_sent map[bytes:200 count:2 last_type:kind0]",
			"1m1.5s a message_sent map[bytes:100 count:1 last_type:kind0]",
		}
		if diff := cmp.Diff(want, h.stored); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}

// A manager that stops while a minute's sums are stored stores what is left of them.
func TestTraffic_StoresTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeardTraffic()
		ctx, stop := context.WithCancel(t.Context())
		h.storing = stop
		for i := range 5 {
			h.count(fmt.Sprint(i), sockets.ToFlow, "kind", 1)
		}
		h.run(ctx)
		if len(h.stored) != 5 {
			t.Errorf("stored %q", h.stored)
		}
	})
}

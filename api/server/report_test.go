package server

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
)

// counts is a server that tells every 30 seconds what containers consume.
func counts(t *testing.T) (*quietServer, *servertest.Parts, func()) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &servertest.Parts{}
	b := backed(s, p)
	b.StatusInterval = 30 * time.Second
	server := New(b)
	end := servertest.Run(server, s)
	return &quietServer{server, t}, p, func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

// Nobody asking means that nothing is sampled; many asking means that each container is sampled once.
func TestReport_SamplesOnceForAllAndNeverForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, end := counts(t)
		defer end()
		for i := range maxUnfiltered {
			w.declare(fmt.Sprint("c", i), "x", nil)
		}
		one := w.declare("one", "x", map[string]string{"tier": "front"})
		sampled := func() int64 {
			before := b.Samples()
			time.Sleep(30 * time.Second) // of the bubble's clock: one interval
			synctest.Wait()
			return b.Samples() - before
		}
		join := func(body string) *client {
			c := w.Server.admit(t, api.Operator, 0)
			if body != "" {
				c.tell(api.Subscribe, body)
			}
			return c
		}
		leave := func(all ...*client) {
			for _, c := range all {
				c.Close()
			}
		}
		if n := sampled(); n != 0 {
			t.Errorf("%d samples for nobody", n)
		}
		never, other := join(""), join(`{}`)
		if n := sampled(); n != 0 {
			t.Errorf("%d samples of %d containers, for one that has not subscribed and one that has, to other things", n, maxUnfiltered+1)
		}
		byLabel, byID := join(`{"labels":{"tier":"front"},"events":["container_status_update"]}`), join(fmt.Sprintf(`{"container_ids":[%q],"events":["container_status_update"]}`, one))
		if n := sampled(); n != 1 {
			t.Errorf("%d samples for two that ask about the same one", n)
		}
		all := join(`{"events":["container_status_update"]}`)
		if n := sampled(); n != maxUnfiltered+1 {
			t.Errorf("%d samples for all of %d", n, maxUnfiltered+1)
		}
		for c, want := range map[*client]int{never: 0, other: 0, byLabel: 2, byID: 2, all: maxUnfiltered + 1} {
			if n := c.updates(t); n != want {
				t.Errorf("%d updates came where %d were due", n, want)
			}
		}
		leave(byLabel, byID, all)
		w.bury(one)
		if n := sampled(); n != maxUnfiltered {
			t.Errorf("%d samples for one that has not subscribed, of %d", n, maxUnfiltered)
		}
		if n := never.updates(t); n != maxUnfiltered {
			t.Errorf("one that has not subscribed got %d", n)
		}
		leave(never, other)
		if n := sampled(); n != 0 {
			t.Errorf("%d samples when all had left", n)
		}
	})
}

// meddler changes things while they are sampled.
type meddler struct {
	*servertest.Parts
	meddle func(c *api.Container)
}

func (m meddler) Sample(ctx context.Context, c *api.Container) api.Usage {
	m.meddle(c)
	return m.Parts.Sample(ctx, c)
}

// What happens while samples are drawn is not overtaken by what was before.
func TestReport_TellsWhatStandsByNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, end := counts(t)
		defer end()
		stays, goes := w.declare("stays", "x", nil), w.declare("goes", "x", nil)
		w.Stats = meddler{b, func(c *api.Container) {
			if c.ID == goes {
				w.bury(goes)
				return
			}
			if _, err := w.Store.Observe(t.Context(), stays, func(r *store.Record) []api.Event {
				r.Status.State = api.StatePaused
				return nil
			}); err != nil {
				t.Error(err)
			}
		}}
		c := w.Server.admit(t, api.Operator, 0)
		time.Sleep(30 * time.Second) // of the bubble's clock: one interval
		synctest.Wait()
		c.Emit(api.ErrorEvent, marker)
		var said []string
		for _, h := range c.until(t, func(h heard) bool { return h.name == api.ErrorEvent }) {
			if h.name == api.ContainerStatusUpdate {
				said = append(said, fmt.Sprint(h.body["container_id"], " ", h.body["status"].(map[string]any)["state"]))
			}
		}
		if want := stays + " paused"; len(said) != 1 || said[0] != want {
			t.Errorf("it was told %q, want %s alone", said, want)
		}
		c.Close()
	})
}

// updates counts what waits of one event.
func (c *client) updates(t *testing.T) int {
	t.Helper()
	c.Emit(api.ErrorEvent, marker)
	n := 0
	for _, h := range c.until(t, func(h heard) bool { return h.name == api.ErrorEvent }) {
		if h.name == api.ContainerStatusUpdate {
			n++
		}
	}
	return n
}

package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/sockets"
	"github.com/flow-manager/flow-manager/store"
)

// Messages, and actor events beyond a flow's allowance, are told of in sums: every second to whoever listens, and every minute into the
// log of activity.
const (
	trafficTold   = time.Second
	trafficStored = time.Minute
	// trafficLast is how long the last sums may take to be stored when the manager stops.
	trafficLast = 5 * time.Second
)

// raised is the way of actor events beyond those that are kept each.
const raised = sockets.FromFlow + 1

// sums are what was sent, heard and raised, by the flow's id.
type sums map[string]*[raised + 1]api.Traffic

// add counts t in.
func (s sums) add(id string, way sockets.Way, t api.Traffic) {
	both := s[id]
	if both == nil {
		both = &[raised + 1]api.Traffic{}
		s[id] = both
	}
	sum := &both[way]
	sum.Count, sum.Bytes, sum.LastType = sum.Count+t.Count, sum.Bytes+t.Bytes, t.LastType
}

// activities are the sums about one flow.
func (s sums) activities(id string) []api.Activity {
	var list []api.Activity
	for way, t := range s[id] {
		if t.Count > 0 {
			list = append(list, t.Activity([...]string{sockets.ToFlow: api.ActivitySent, sockets.FromFlow: api.ActivityReceived, raised: api.ActivityActor}[way], id))
		}
	}
	return list
}

// traffic sums up the messages to and from flows, and their actor events.
type traffic struct {
	tell  func(api.Activity)
	store func(ctx context.Context, id string, list []api.Activity)

	mu   sync.Mutex
	news sums // since they were last told
}

// count takes note of one message.
func (t *traffic) count(id string, way sockets.Way, kind string, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.news.add(id, way, api.Traffic{Count: 1, Bytes: size, LastType: kind})
}

// run tells and stores the sums until ctx ends, and then stores what is left.
func (t *traffic) run(ctx context.Context) {
	second, minute := time.NewTicker(trafficTold), time.NewTicker(trafficStored)
	defer second.Stop()
	defer minute.Stop()
	unstored := sums{}
	for {
		select {
		case <-second.C:
			t.tellTo(unstored)
		case <-minute.C:
			t.tellTo(unstored)
			t.storeAll(ctx, unstored)
		case <-ctx.Done():
			t.tellTo(unstored)
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), trafficLast)
			defer cancel()
			t.storeAll(last, unstored)
			return
		}
	}
}

// tellTo tells the sums of late and counts them into unstored.
func (t *traffic) tellTo(unstored sums) {
	t.mu.Lock()
	news := t.news
	t.news = sums{}
	t.mu.Unlock()
	for id, both := range news {
		for _, a := range news.activities(id) {
			t.tell(a)
		}
		for way, sum := range both {
			if sum.Count > 0 {
				unstored.add(id, sockets.Way(way), sum)
			}
		}
	}
}

// storeAll stores one after the other to its end. What is left when ctx ends stays unstored.
func (t *traffic) storeAll(ctx context.Context, unstored sums) {
	for id := range maps.Clone(unstored) {
		if ctx.Err() != nil {
			return
		}
		t.store(context.WithoutCancel(ctx), id, unstored.activities(id))
		delete(unstored, id)
	}
}

// newTraffic tells every session and keeps what is to be kept.
func (f *flows) newTraffic() *traffic {
	return &traffic{news: sums{}, tell: func(a api.Activity) { f.tell(f.masked(a).Event()) }, store: f.keep}
}

// keep stores activities about one container. One that is gone has none any more.
func (f *flows) keep(ctx context.Context, id string, list []api.Activity) {
	events := make([]api.Event, len(list))
	for i, a := range list {
		events[i] = f.masked(a).Event()
	}
	err := f.store.NoteFlow(ctx, id, events)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		f.line(id).Warn().Err(err).Str("operation", "activity").Msg("what a flow did could not be stored")
	}
}

func (f *flows) masked(a api.Activity) api.Activity {
	return a.Masked(redactorOf(f.store, a.ContainerID))
}

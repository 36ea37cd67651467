package main

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// fanoutRow measures events that many sessions are told, counted where they arrive.
func fanoutRow(ctx context.Context, b *bench) ([]finding, error) {
	var found []finding
	for _, size := range []struct{ clients, events int }{{b.times(20, 200), b.times(20, 500)}, {b.times(50, 1000), b.times(10, 100)}} {
		f, err := b.fanout(ctx, size.clients, size.events)
		if err != nil {
			return found, err
		}
		found = append(found, f)
	}
	return found, nil
}

func (b *bench) fanout(ctx context.Context, clients, events int) (finding, error) {
	lib, err := b.crowdOf(ctx, bareChild, clients)
	if err != nil {
		return finding{}, err
	}
	own, err := b.crowdOf(ctx, ourChild, clients)
	if err != nil {
		return finding{}, err
	}
	raw := func(ctx context.Context) (float64, error) { return lib.told(ctx, events) }
	figures, err := warmed(ctx, b.times(1, 7), raw, raw, func(ctx context.Context) (float64, error) { return own.told(ctx, events) })
	if err != nil {
		return finding{}, err
	}
	f := faster(fmt.Sprintf("status events to %d sessions, deliveries", clients), figures, 0.8)
	f.yardstick = "one encoded frame by WriteToEngine: " + f.yardstick
	f.note = fmt.Sprintf("%d of %d deliveries were counted at the clients, of the library's %d of %d", own.got.Load(), own.due.Load(), lib.got.Load(), lib.due.Load())
	f.hold += ", all delivered"
	f.verdict = judge(f.verdict == holds && own.got.Load() == own.due.Load())
	own.leave()
	lib.leave()
	return f, nil
}

// audience are clients of a child that count what they hear.
type audience struct {
	child   *child
	clients []*session
	got     atomic.Int64
	due     atomic.Int64
	all     chan struct{} // gets one when everything due is there
}

func (b *bench) crowdOf(ctx context.Context, kind string, n int) (*audience, error) {
	c, err := b.spawn(kind)
	if err != nil {
		return nil, err
	}
	a := &audience{child: c, all: make(chan struct{}, 1)}
	b.later(func() error { a.leave(); return nil })
	wanted := []byte(`42["` + api.StatusChanged)
	for range n {
		one, err := dial(ctx, c.addr)
		if err != nil {
			return nil, err
		}
		a.clients = append(a.clients, one)
		one.hear(func(frame []byte) {
			if bytes.HasPrefix(frame, wanted) && a.got.Add(1) == a.due.Load() {
				a.all <- struct{}{}
			}
		})
	}
	return a, nil
}

// leave may be repeated.
func (a *audience) leave() {
	for _, c := range a.clients {
		c.close()
	}
}

// told has every client told so many events, and gives the deliveries a second until the last one was counted. What does not
// come at all leaves the figure that it has come to.
func (a *audience) told(ctx context.Context, events int) (float64, error) {
	const lost = 20 * time.Second
	before := a.got.Load()
	a.due.Add(int64(events * len(a.clients)))
	began := time.Now()
	if err := a.child.tell(events); err != nil {
		return 0, err
	}
	select {
	case <-a.all:
	case <-time.After(lost):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	return perSecond(int(a.got.Load()-before), began), nil
}

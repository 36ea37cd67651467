package server

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

const (
	// maxUnfiltered is up to how many containers those are told of consumption that have never narrowed what they are sent.
	maxUnfiltered = 100
	// maxSamples is how many containers are sampled at once.
	maxSamples = 64
)

// report tells how containers are and what they consume, all in one batch every interval, until ctx ends.
func (s *Server) report(ctx context.Context) {
	tick := time.NewTicker(s.StatusInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.reportOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// reportOnce samples each container that anybody asks about once, and nothing while nobody does.
func (s *Server) reportOnce(ctx context.Context) {
	records, _ := s.Store.List()
	few := len(records) <= maxUnfiltered
	asked := s.recordsToReport(records, few)
	usages := s.sample(ctx, asked)
	reports := make([]api.Event, len(asked)) // without a name: of one that is gone
	for i, r := range asked {
		if now, stands := s.Store.Get(r.ID); stands { // as it is by now: sampling takes its time
			reports[i] = api.StatusUpdate{ContainerID: r.ID, Status: s.status(now, usages[i])}.Event()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, newest := time.Now(), s.Store.Version(s.broadcastRevision)
	for i, r := range asked {
		if reports[i].Name != "" {
			ev := newSharedEvent(api.ContainerStatusUpdate, now, "", newest, func() string { return r.Name }, func() api.Event { return reports[i] })
			s.broadcastLocked(&ev, func(_ session.Session, st *stream) bool { return st.wantsReport(r, few) })
		}
	}
}

func (s *Server) sample(ctx context.Context, records []*store.Record) []api.Usage {
	ctx, cancel := context.WithTimeout(ctx, max(usageWait, s.StatusInterval))
	defer cancel()
	usages := make([]api.Usage, len(records))
	var samples errgroup.Group
	samples.SetLimit(maxSamples)
	for i, r := range records {
		samples.Go(func() error {
			usages[i] = s.Stats.Sample(ctx, &r.Container)
			return nil
		})
	}
	_ = samples.Wait() // none of them fails
	return usages
}

func (s *Server) recordsToReport(records []*store.Record, few bool) []*store.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var asked []*store.Record
	for _, r := range records {
		for _, st := range s.sessions {
			if st.wantsReport(r, few) {
				asked = append(asked, r)
				break
			}
		}
	}
	return asked
}

// wantsReport reports whether a session is told how a container is; nil is one that has never subscribed.
func (st *stream) wantsReport(r *store.Record, few bool) bool {
	if st == nil || !st.filter.narrowed {
		return few
	}
	return st.filter.matchesEvent(api.ContainerStatusUpdate) && st.filter.matchesContainer(r.ID, r.Labels)
}

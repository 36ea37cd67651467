package controller

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const (
	// tellPace and tellAtOnce bound what is told of a pull: so many layers at a time, and then not for so long. The engine
	// downloads three layers at once and unpacks one, and says so up to ten times a second for each.
	tellPace   = 500 * time.Millisecond
	tellAtOnce = 4
	// maxLayers is how many layers of an image are followed; no engine can stack more.
	maxLayers = 256
)

// meter is what is known of one pull's progress. Of each layer only the newest is told.
type meter struct {
	tell func(api.PullProgress)
	news chan struct{} // holds one where something moved since it was awaited

	mu     sync.Mutex
	moved  time.Time
	layers map[string]api.PullProgress
	untold []string // layers, in the order in which they moved
}

func newMeter(tell func(api.PullProgress)) *meter {
	return &meter{tell: tell, news: make(chan struct{}, 1), moved: time.Now(), layers: map[string]api.PullProgress{}}
}

// note tells whether something moved: an engine may repeat itself for as long as nothing does.
func (m *meter) note(p api.PullProgress) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, known := m.layers[p.Layer]
	if known && old == p {
		return false
	}
	m.moved = time.Now()
	if known || len(m.layers) < maxLayers {
		m.layers[p.Layer] = p
		if !slices.Contains(m.untold, p.Layer) {
			m.untold = append(m.untold, p.Layer)
		}
	}
	select {
	case m.news <- struct{}{}:
	default:
	}
	return true
}

// last is when something last moved, or the beginning.
func (m *meter) last() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.moved
}

// await waits for news, at most so long, and tells whether there are any.
func (m *meter) await(ctx context.Context, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-m.news:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// flush tells of the layers that have waited longest, and whether there were any.
func (m *meter) flush() bool {
	m.mu.Lock()
	var now []api.PullProgress
	for _, layer := range m.untold[:min(len(m.untold), tellAtOnce)] {
		now = append(now, m.layers[layer])
	}
	m.untold = m.untold[len(now):]
	m.mu.Unlock()
	for _, p := range now {
		m.tell(p)
	}
	return len(now) > 0
}

package controller

import (
	"context"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const (
	// fresh is how old a sample may be before asking for it draws another one.
	fresh = time.Second
	// outdated is how old a sample may be to be given to whoever does not wait for a new one.
	outdated = 10 * time.Second
	// sampleTimeout bounds one sample: the engine's collector sleeps for a second, and whoever asks meanwhile waits.
	sampleTimeout = 5 * time.Second
	// maxSamples is how many containers' last samples are kept; past it all are dropped and drawn anew.
	maxSamples = 10_000
	// maxSampling is how many samples are drawn at once.
	maxSampling = 64
)

// sampler answers from the last sample and draws the next one behind the asker's back, so that only whoever asks about a
// container or its new run for the first time in a while waits. Nobody asking means that nothing is drawn.
type sampler struct {
	runtime Runtime
	drawing sync.WaitGroup

	slots chan struct{} // holds one for each sample being drawn

	mu      sync.Mutex
	samples map[string]*sample
}

func newSampler(r Runtime) *sampler {
	return &sampler{runtime: r, slots: make(chan struct{}, maxSampling), samples: map[string]*sample{}}
}

type sample struct {
	usage   api.Usage
	drawing bool
	drawn   chan struct{} // closed when the one that is being drawn is
}

// usage gives the last sample at once, unless it is of before since or long ago: then it waits for a new one until ctx ends.
func (s *sampler) usage(ctx context.Context, dockerID string, since time.Time) api.Usage {
	p := s.draw(dockerID)
	s.mu.Lock()
	last := p.usage
	s.mu.Unlock()
	if last.Timestamp.After(since) && time.Since(last.Timestamp) <= outdated {
		return last
	}
	return s.fresh(ctx, dockerID)
}

// fresh waits for a sample that is of now, until ctx ends.
func (s *sampler) fresh(ctx context.Context, dockerID string) api.Usage {
	p := s.draw(dockerID)
	s.mu.Lock()
	drawn, drawing := p.drawn, p.drawing
	s.mu.Unlock()
	if drawing {
		select {
		case <-drawn:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.usage
}

func (s *sampler) draw(dockerID string) *sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) >= maxSamples {
		s.samples = map[string]*sample{}
	}
	p, ok := s.samples[dockerID]
	if !ok {
		p = &sample{}
		s.samples[dockerID] = p
	}
	if !p.drawing && time.Since(p.usage.Timestamp) > fresh {
		p.drawing, p.drawn = true, make(chan struct{})
		s.drawing.Go(func() { s.sample(dockerID, p) })
	}
	return p
}

func (s *sampler) sample(dockerID string, p *sample) {
	s.slots <- struct{}{} // each that is held is given back within sampleTimeout
	defer func() { <-s.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), sampleTimeout)
	defer cancel()
	usage, err := s.runtime.Usage(ctx, dockerID)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.drawing = false
	close(p.drawn)
	if err == nil { // a sample that could not be drawn leaves the last one; its timestamp says how old it is
		p.usage = usage
	}
}

// wait returns when nothing is being drawn any more.
func (s *sampler) wait() { s.drawing.Wait() }

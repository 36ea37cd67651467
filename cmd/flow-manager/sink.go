package main

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const (
	// sinkLines and sinkBytes are how much may wait to be written to the log.
	sinkLines = 4096
	sinkBytes = 4 << 20
	// sinkPatience is how long what still waits may take when the manager ends.
	sinkPatience = time.Second
	// lossTold is how long nothing more is said of lost lines once they were told of.
	lossTold = time.Minute
)

// sink writes the log behind the back of whoever logs: an output that nobody reads, or that is full, holds up nothing but the log.
type sink struct {
	out     io.Writer
	lines   chan []byte
	written chan struct{} // closed when nothing more is written

	mu      sync.Mutex
	waiting int // bytes
	closed  bool
	loss    api.LogLoss // since it was last told of
}

func newSink(out io.Writer) *sink {
	s := &sink{out: out, lines: make(chan []byte, sinkLines), written: make(chan struct{})}
	go s.run()
	return s
}

// Write takes one line. It never blocks and never fails: a line that does not fit is lost.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.waiting+len(line) > sinkBytes || len(s.lines) == cap(s.lines) {
		s.loseLocked("nobody reads the log, or not as fast as it is written")
		return len(line), nil
	}
	s.waiting += len(line)
	s.lines <- bytes.Clone(line)
	return len(line), nil
}

func (s *sink) run() {
	defer close(s.written)
	for line := range s.lines {
		_, err := s.out.Write(line)
		s.took(line, err)
	}
}

func (s *sink) took(line []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting -= len(line)
	if err != nil {
		s.loseLocked("the log cannot be written: " + err.Error())
	}
}

func (s *sink) loseLocked(why string) {
	if s.loss.Dropped == 0 {
		s.loss.Since = time.Now().UTC()
	}
	s.loss.Message = why
	s.loss.Dropped++
}

// lost is what has been lost since it was last asked.
func (s *sink) lost() api.LogLoss {
	s.mu.Lock()
	defer s.mu.Unlock()
	loss := s.loss
	s.loss = api.LogLoss{}
	return loss
}

// report tells of lost lines, at most once in lossTold, until ctx ends.
func (s *sink) report(ctx context.Context, tell func(api.Event)) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var quiet time.Time
	for {
		select {
		case now := <-look.C:
			if now.Before(quiet) {
				continue
			}
			if loss := s.lost(); loss.Dropped > 0 {
				tell(loss.Event())
				quiet = now.Add(lossTold)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// close has what waits written, unless that takes too long. It may be written to all the same, in vain.
func (s *sink) close() {
	s.mu.Lock()
	s.closed = true
	close(s.lines)
	s.mu.Unlock()
	select {
	case <-s.written:
	case <-time.After(sinkPatience):
	}
}

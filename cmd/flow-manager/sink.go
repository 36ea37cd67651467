package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// sinkLines and sinkBytes are how much may wait to be written to the log.
	sinkLines = 4096
	sinkBytes = 4 << 20
	// sinkPatience is how long what still waits may take when the manager ends.
	sinkPatience = time.Second
)

// sink writes the log behind the back of whoever logs: an output that nobody reads, or that is full, holds up nothing but the log.
type sink struct {
	losses
	out     io.Writer
	lines   chan []byte
	written chan struct{} // closed when nothing more is written

	mu      sync.Mutex
	waiting int // bytes
	closed  bool
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
		s.lose("nobody reads the log, or not as fast as it is written")
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
		s.lose("the log cannot be written: " + err.Error())
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

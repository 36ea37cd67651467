package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// running is a run of flowctl that goes on; its stdout is read line by line.
type running struct {
	t      *testing.T
	lines  chan string
	cancel context.CancelFunc
	done   chan int
	mu     sync.Mutex
	errs   bytes.Buffer
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errs.Write(p)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errs.String()
}

// begin runs flowctl until the test ends, unless it is interrupted or ends by itself before.
func begin(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(soon(t))
	out, in := io.Pipe()
	r := &running{t: t, lines: make(chan string, 1000), cancel: cancel, done: make(chan int, 1)}
	go func() {
		defer close(r.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, maxIn)
		for scanner.Scan() {
			r.lines <- scanner.Text()
		}
	}()
	go func() {
		code := run(ctx, args, strings.NewReader(""), in, r)
		_ = in.Close() // a pipe's end cannot fail
		r.done <- code
	}()
	t.Cleanup(func() { cancel(); r.drain() })
	return r
}

func (r *running) drain() {
	for range r.lines {
	}
}

// shows fails unless the next lines are these.
func (r *running) shows(want ...string) {
	r.t.Helper()
	for _, w := range want {
		if got, ok := <-r.lines; !ok || got != w {
			r.t.Fatalf("got line %q (ended %t), want %q; stderr: %s", got, !ok, w, r.said())
		}
	}
}

// ends waits for the end, and fails where there is more output.
func (r *running) ends() result {
	r.t.Helper()
	for line := range r.lines {
		r.t.Errorf("more output: %q", line)
	}
	return result{Code: <-r.done, Err: r.said()}
}

// interrupted ends it as control-C does.
func (r *running) interrupted() result {
	r.t.Helper()
	r.cancel()
	return r.ends()
}

// emit sends an event.
func (s *session) emit(event, body string) { s.send(fmt.Sprintf(`42[%q,%s]`, event, body)) }

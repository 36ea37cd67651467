package socketio

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api/session"
)

func TestTransport_Shutdown(t *testing.T) {
	handling := make(chan struct{})
	e := start(t, Config{}, app{
		handle: func(_ *Session, r *session.Request) {
			if r.Event == "block" {
				close(handling)
			}
			r.Ack(nil)
		},
		end: func(s *Session) { s.Emit("goodbye", nil) },
	})
	c := join(t, e.addr)
	c.send(`421["block"]`)
	<-handling
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`431[]`, `42["goodbye"]`}, c.mustClose()); diff != "" {
		t.Error(diff)
	}
	if _, res, err := dial(t, e.addr, nil); err == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Shutdown: %v", err)
	}
}

func TestTransport_Shutdown_hangingHandler(t *testing.T) {
	release, handling := make(chan struct{}), make(chan struct{})
	e := start(t, Config{}, app{handle: func(*Session, *session.Request) { close(handling); <-release }})
	c := join(t, e.addr)
	c.send(`42["block"]`)
	<-handling
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	close(release)
}

// A request whose handler has returned is answered before its session ends, and one that hangs holds up its own client only.
func TestTransport_Shutdown_WhatIsInFlightIsAnswered(t *testing.T) {
	hanging, taken, held, release := make(chan struct{}), make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
	e := start(t, Config{}, app{handle: func(_ *Session, r *session.Request) {
		if r.Event == "block" {
			close(hanging)
			<-release
			return
		}
		done := r.Hold()
		taken <- struct{}{}
		go func() {
			defer done()
			<-held
			r.Ack(r.Data)
		}()
	}})
	hung, c := join(t, e.addr), join(t, e.addr)
	hung.send(`42["block"]`)
	<-hanging
	c.send(`421["echo",1]`)
	c.send(`422["echo",2]`)
	<-taken
	<-taken
	ctx, cancel := context.WithCancel(t.Context())
	shut := make(chan error, 1)
	go func() { shut <- e.Shutdown(ctx) }()
	eventually(t, "it shuts down", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.closing })
	close(held)
	got := map[string]bool{}
	for _, frame := range c.mustClose() {
		got[frame] = true
	}
	if diff := cmp.Diff(map[string]bool{"431[1]": true, "432[2]": true}, got); diff != "" {
		t.Error(diff)
	}
	cancel()
	if err := <-shut; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	close(release)
}

// What a session that was ended will not answer any more is not waited for.
func TestTransport_Shutdown_WhatIsDroppedIsNot(t *testing.T) {
	ended := make(chan struct{})
	e := start(t, Config{Limits: Limits{DrainTimeout: 200 * time.Millisecond}}, app{handle: func(s *Session, r *session.Request) {
		for range maxPollPackets + 1 { // so that its writer is not done at once
			s.Emit("x", nil)
		}
		eventually(t, "another request waits", func() bool { s.in.mu.Lock(); defer s.in.mu.Unlock(); return len(s.in.items) > 0 })
		s.End("test")
		close(ended)
	}})
	p := poll(t, e.addr)
	p.post("40")
	p.get()
	p.post("421[\"echo\"]\x1e422[\"echo\"]")
	<-ended
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

package socketio

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A request whose handler has returned is answered before its session ends, and one that hangs holds up its own client only.
func TestTransport_Shutdown_WhatIsInFlightIsAnswered(t *testing.T) {
	hanging, taken, held, release := make(chan struct{}), make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
	e := start(t, Config{}, app{handle: func(_ *Session, r *Request) {
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

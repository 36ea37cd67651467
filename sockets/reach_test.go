package sockets

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// An outage begins with the first message that nobody was there for, is told once, and ends with a connection.
func TestEndpoint_Reachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		for _, timeout := range []time.Duration{5, 6, 7} {
			fails(t, send(t.Context(), h, id, `{}`, SendOptions{Timeout: timeout * time.Second}), api.SocketConnectionError, "not_sent")
		}
		synctest.Wait()
		heard.hears(t, "reachable false")
		f := pipe(t, h, id)
		heard.hears(t, "connection true", "reachable true")
		f.Close()
		heard.hears(t, "connection false")
		fails(t, send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second}), api.SocketConnectionError, "not_sent")
		heard.hears(t, "reachable false")
		if synctest.Wait(); len(heard) > 0 {
			t.Errorf("watcher also heard %q", <-heard)
		}
	})
}

// A message that its sender takes back, and one to a flow that is there and does not take it, make no outage.
func TestEndpoint_Reachable_NoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		taken := send(ctx, h, id, `{}`, SendOptions{})
		synctest.Wait()
		cancel()
		fails(t, taken, api.SocketConnectionError, "not_sent")
		pipe(t, h, id)
		first := send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second})
		synctest.Wait() // it is being written
		fails(t, send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second}), api.SocketTimeoutError, "not_sent")
		fails(t, first, api.SocketTimeoutError, "unknown")
		heard.hears(t, "connection true")
		if synctest.Wait(); len(heard) > 0 {
			t.Errorf("watcher also heard %q", <-heard)
		}
	})
}

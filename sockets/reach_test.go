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
		heard.expect(t, "reachable false")
		f := pipe(t, h, id)
		heard.expect(t, "connection true", "reachable true")
		f.Close()
		heard.expect(t, "connection false")
		fails(t, send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second}), api.SocketConnectionError, "not_sent")
		heard.expect(t, "reachable false")
		if synctest.Wait(); len(heard) > 0 {
			t.Errorf("watcher also heard %q", <-heard)
		}
	})
}

// A flow is ready for as long as the connection stands that it said so on: it may have been faster than whoever notes its start.
func TestHub_Heard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		if last, ready := h.Heard(id); !last.IsZero() || !ready.IsZero() {
			t.Errorf("before anything was said: %v %v", last, ready)
		}
		f := pipe(t, h, id)
		f.send(`{"type":"ready"}`)
		f.handshake()
		said := time.Now()
		time.Sleep(time.Hour)
		if last, ready := h.Heard(id); !last.Equal(said) || !ready.Equal(time.Now()) {
			t.Errorf("it spoke at %v and is ready at %v, want %v and now", last, ready, said)
		}
		f.Close()
		synctest.Wait()
		if _, ready := h.Heard(id); !ready.Equal(said) {
			t.Errorf("it was ready at %v, want %v", ready, said)
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
		heard.expect(t, "connection true")
		if synctest.Wait(); len(heard) > 0 {
			t.Errorf("watcher also heard %q", <-heard)
		}
	})
}

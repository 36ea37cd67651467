package sockets

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What a flow says unasked is read at a pace; what clients asked it for is not held up by that.
func TestEndpoint_Pace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{MaxHeard: 2 * frameCost, MaxFrame: 2 * frameCost})
		f := pipe(t, h, id)
		f.handshake()
		begin := time.Now()
		f.say(`{}`)
		done := send(t.Context(), h, id, `{}`, SendOptions{ExpectReply: true})
		f.say(`{"reply_to":"` + field(t, f.next(), "id") + `"}`)
		succeeds(t, done)
		if took := time.Since(begin); took != 0 {
			t.Errorf("what is within the limit took %v", took)
		}
		f.say(`{"n":1}`, `{"n":2}`)
		heard.hears(t, "connection true", "message {}", "fault socket_error map[]", `message {"n":1}`, `message {"n":2}`)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("two frames more than the limit took %v, want 1s", took)
		}
		if n := h.Counts()["throttled_frames"]; n != 2 {
			t.Errorf("counted %d, want 2", n)
		}
		f.handshake()
		begin = time.Now()
		f.say("1", "2", "3")
		f.handshake()
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("three frames that are no messages, and a ping, took %v, want 2s", took)
		}
	})
}

// A flow that connects again and again is accepted at a pace.
func TestEndpoint_PaceJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{MaxConnections: 2, MaxJoins: 2})
		e, begin := h.endpoints[id], time.Now()
		l := &flakyListener{conns: make(chan net.Conn)}
		e.tasks.Go(func() { e.accept(l) })
		for range joinBurst*2 + 3 {
			ours, theirs := net.Pipe()
			l.conns <- ours
			theirs.Close()
			synctest.Wait()
		}
		l.conns <- nopConn{} // it comes when the one before has had its turn
		if took := time.Since(begin); took != 1500*time.Millisecond {
			t.Errorf("three more than the burst took %v, want 1.5s", took)
		}
		close(l.conns)
		for range joinBurst * 2 {
			heard.hears(t, "connection true", "connection false")
		}
		heard.hears(t, "fault socket_error map[]")
		if n := h.Counts()["throttled_connections"]; n < 3 {
			t.Errorf("counted %d, want 3 or more", n)
		}
	})
}

type nopConn struct{ net.Conn }

func (nopConn) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (nopConn) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (nopConn) SetWriteDeadline(time.Time) error { return nil }
func (nopConn) Close() error                     { return nil }

// A status that changes nothing is not said again.
func TestEndpoint_Status_Unchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		f := pipe(t, h, id)
		f.handshake()
		for _, status := range []string{"1", "2"} {
			h.Status(id, []byte(status))
			f.hears(`{"type":"status","status":` + status + `}`)
			h.Status(id, []byte(status))
			f.handshake()
		}
	})
}

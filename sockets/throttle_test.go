package sockets

import (
	"encoding/json"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What a flow sends unasked is throttled; what clients asked it for is not held up by that.
func TestEndpoint_Throttle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{MaxHeard: 2 * frameCost, MaxFrame: 2 * frameCost})
		f := pipe(t, h, id)
		h.talk.changed.Store(time.Now().Add(time.Hour).UnixNano()) // another flow says something until then
		f.handshake()
		begin := time.Now()
		f.send(`{}`)
		done := send(t.Context(), h, id, `{}`, SendOptions{ExpectReply: true})
		f.send(`{"reply_to":"` + field(t, f.next(), "id") + `"}`)
		succeeds(t, done)
		if took := time.Since(begin); took != 0 {
			t.Errorf("what is within the limit took %v", took)
		}
		f.send(`{"n":1}`, `{"n":2}`)
		heard.expect(t, "connection true", "message {}", "fault socket_error map[]", `message {"n":1}`, `message {"n":2}`)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("two frames more than the limit took %v, want 1s", took)
		}
		if n := h.Counts()["throttled_frames"]; n != 2 {
			t.Errorf("counted %d, want 2", n)
		}
		f.handshake()
		begin = time.Now()
		f.send("1", "2", "3")
		f.handshake()
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("three frames that are no messages, and a ping, took %v, want 2s", took)
		}
	})
}

// A flow that is alone may say many short things; as soon as another one says anything, it may say fewer.
func TestEndpoint_Throttle_Alone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		heard.expect(t, "connection true")
		many := func(n int) time.Duration {
			begin := time.Now()
			for range n {
				f.send(`{}`)
			}
			f.handshake()
			return time.Since(begin)
		}
		if took := many(4000); took != 0 {
			t.Errorf("4,000 messages took %v", took)
		}
		time.Sleep(time.Second) // it has its burst again
		heard.drain(4000)
		h.talk.heard(h.talk.join(), time.Now())
		if took := many(1024 + 1024); took < 490*time.Millisecond || took > 510*time.Millisecond {
			t.Errorf("beside another flow 1,024 messages more than the burst took %v, want half a second", took)
		}
	})
}

// A flow that connects again and again is refused, and let in again later.
func TestEndpoint_Admit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{MaxConnections: 2, MaxJoins: 2})
		e, begin := h.endpoints[id], time.Now()
		l := &flakyListener{conns: make(chan net.Conn)}
		e.tasks.Go(func() { e.accept(l) })
		connect := func() flow {
			ours, theirs := net.Pipe()
			l.conns <- ours
			return flow{t, theirs}
		}
		for range acceptBurst * 2 {
			connect().Close()
			synctest.Wait()
			heard.expect(t, "connection true", "connection false")
		}
		for range 3 {
			if got := field(t, connect().next(), "type"); got != "error" {
				t.Errorf("the flow heard %s", got)
			}
		}
		heard.expect(t, "fault socket_error map[]")
		synctest.Wait() // what is refused is counted once it was told
		if took, n := time.Since(begin), h.Counts()["throttled_connections"]; took != 2*refusePause || n != 3 {
			t.Errorf("three were refused within %v, and %d counted; want 4ms", took, n)
		}
		time.Sleep(time.Second / 2)
		connect().handshake()
		heard.expect(t, "connection true")
		close(l.conns)
	})
}

// A status that changes nothing is not said again.
func TestEndpoint_Status_Unchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		f := pipe(t, h, id)
		f.handshake()
		for _, status := range []string{"1", "2"} {
			tellStatus(h, id, status)
			f.expect(`{"type":"status","status":` + status + `}`)
			tellStatus(h, id, status)
			f.handshake()
		}
	})
}

// A flow's second connection that finds a newer status than its first was told leaves neither with the old one.
func TestEndpoint_Status_FoundByAJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		tellStatus(h, id, "1")
		f := pipe(t, h, id)
		f.expect(`{"type":"status","status":1}`)
		statuses.Store(id, json.RawMessage("2")) // nobody has said so yet
		g := pipe(t, h, id)
		g.expect(`{"type":"status","status":2}`)
		f.expect(`{"type":"status","status":2}`)
		h.StatusChanged(id)
		f.handshake()
		g.handshake()
	})
}

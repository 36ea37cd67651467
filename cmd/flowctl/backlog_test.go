package main

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A listener that is held up, as by a pager, does not keep the session from being kept alive.
func TestClient_Listen_HeldUp(t *testing.T) {
	f := newFake(t)
	pong := make(chan struct{})
	f.packet = func(_ *session, packet string) {
		if packet == "3" {
			close(pong)
		}
	}
	var sending sync.WaitGroup
	f.on["ask"] = func(s *session, r request) {
		s.ack(r, `{}`)
		sending.Go(func() {
			for range 10 * 256 {
				s.emit("more", quoted(strings.Repeat("x", 1<<10)))
			}
			s.send("2")
		})
	}
	c := dialFake(t, f)
	c.Listen(func(Event) error { return nil })
	if _, err := c.Request(soon(t), "ask", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-pong:
	case <-soon(t).Done():
		t.Error("a ping is not answered while nobody listens")
	}
	c.Close()
	sending.Wait()
}

// A full backlog holds up who pushes until something is taken, or nobody will take anything any more.
func TestBacklog_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := func(name string) incoming {
			return incoming{event: Event{name, json.RawMessage(strings.Repeat("x", maxBacklog/2+1))}}
		}
		b, left := newBacklog(), make(chan struct{})
		b.push(big("a"), left)
		pushed := 0
		go func() {
			for _, name := range []string{"b", "c"} {
				b.push(big(name), left)
				pushed++
			}
		}()
		for want, name := range []string{"a", "b"} {
			synctest.Wait()
			if pushed != want {
				t.Errorf("%d are pushed, want %d", pushed, want)
			}
			if next, ok := b.pop(); !ok || next.event.Name != name {
				t.Errorf("got %q, %t, want %s", next.event.Name, ok, name)
			}
		}
		synctest.Wait()
		go func() { b.push(big("never"), left); pushed++ }()
		synctest.Wait()
		if pushed != 2 {
			t.Errorf("%d are pushed", pushed)
		}
		close(left)
		synctest.Wait()
		if pushed != 3 || len(b.waiting) != 1 {
			t.Errorf("%d have returned, %d wait", pushed, len(b.waiting))
		}
	})
}

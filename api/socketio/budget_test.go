package socketio

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

func TestBudget(t *testing.T) {
	b := &budget{max: 2 * fairBytes}
	one, two, three := &reservation{budget: b}, &reservation{budget: b}, &reservation{budget: b}
	got := []bool{one.resize(2 * fairBytes), two.resize(fairBytes + 1), two.resize(fairBytes), one.resize(fairBytes), two.resize(fairBytes + 1)}
	one.release()
	one.release()
	got = append(got, three.resize(fairBytes+1), two.resize(fairBytes-1), three.resize(fairBytes+1), one.resize(0))
	two.release()
	three.release()
	if diff := cmp.Diff([]bool{true, false, true, true, false, false, true, true, false}, got); diff != "" {
		t.Error(diff)
	}
	if used := b.used.Load(); used != 0 {
		t.Errorf("%d are in use", used)
	}
}

// Many clients that do not read cost no more together than is allowed, and others get what is small all the same.
func TestTransport_QueuedBytes(t *testing.T) {
	const greedy, most = 20, 2 << 20
	a, sessions := reporting()
	e := start(t, Config{Limits: Limits{QueuedBytes: most}}, a)
	body := api.Encode(strings.Repeat("x", 32<<10))
	for range greedy {
		_, s := joinedPoller(t, e, sessions)
		for range 60 {
			s.emit(newsOf("x", body, "1", ""))
		}
	}
	if used := e.budget.used.Load(); used < most/2 || used > most+greedy*fairBytes {
		t.Errorf("%d bytes wait", used)
	}
	c := join(t, e.addr)
	s := <-sessions
	for range 3 {
		s.emit(status("a", 1))
		if got := c.read(); !strings.HasPrefix(got, `42["status_changed"`) {
			t.Errorf("got %.100q", got)
		}
	}
	c.mustEcho()
	// Nor do messages of which only the half has come.
	half := open(t, e.addr)
	half.send("40")
	half.read()
	_, _ = half.ws.NetConn().Write(append([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, '4'}, "2[\"echo\",\""...))
	_, _ = half.ws.NetConn().Write([]byte("x"))
	half.mustClose()
	for _, l := range e.allLinks() {
		l.close("test")
	}
	eventually(t, "all is given back", func() bool { return e.budget.used.Load() == 0 })
}

// What has room is served when it is large, and its room is given back.
func TestTransport_QueuedBytes_largeMessages(t *testing.T) {
	e := start(t, Config{Limits: Limits{QueuedBytes: 1 << 20}}, app{handle: echo})
	c := join(t, e.addr)
	large := json.RawMessage(`"` + strings.Repeat("x", 300<<10) + `"`)
	for range 20 {
		c.send(`421["echo",` + string(large) + `]`)
		if got := c.read(); len(got) != len(large)+len("431[]") {
			t.Fatalf("got %.100q", got)
		}
	}
	eventually(t, "all is given back", func() bool { return e.budget.used.Load() == 0 })
	_, _ = c.ws.NetConn().Write([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, '4'})
	_, _ = c.ws.NetConn().Write([]byte("2"))
	eventually(t, "the rest of a message has its room", func() bool { return e.budget.used.Load() == 512<<10 })
	_ = c.ws.Close()
	eventually(t, "all is given back when it does not come", func() bool { return e.budget.used.Load() == 0 })
}

package socketio

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// joinedPoller joins by polling and hands out the session: such a client is as slow as the test wants.
func joinedPoller(t *testing.T, e env, sessions <-chan *Session) (*poller, *Session) {
	t.Helper()
	p := poll(t, e.addr)
	p.post("40")
	if got := p.get(); !strings.HasPrefix(got, "40{") {
		t.Fatalf("CONNECT answered %q", got)
	}
	return p, <-sessions
}

// reporting is an App whose sessions are handed to the test.
func reporting() (app, <-chan *Session) {
	sessions := make(chan *Session, 16)
	return app{begin: func(s *Session) error { sessions <- s; return nil }, handle: echo}, sessions
}

// readUntil polls until a frame fits and returns all that came.
func (p *poller) readUntil(fits func(string) bool) []string {
	p.t.Helper()
	var all []string
	for {
		status, answer := p.do(http.MethodGet, "")
		if status != http.StatusOK {
			p.t.Fatalf("polling ended with %d after %q", status, all)
		}
		for _, frame := range strings.Split(answer, "\x1e") {
			if all = append(all, frame); fits(frame) {
				return all
			}
		}
	}
}

// A client that reads too slowly is told the newest of each container and what it missed, and lives on.
func TestSession_SlowClientIsToldWhatItMissed(t *testing.T) {
	a, sessions := reporting()
	e := start(t, Config{Limits: Limits{OutItems: 64}}, a)
	p, s := joinedPoller(t, e, sessions)
	for v := 1; v <= 200; v++ {
		s.emit(status([]string{"a", "b"}[v%2], v))
	}
	for v := 201; v <= 300; v++ {
		s.emit(activity(v))
	}
	s.Emit("answer", numbered(1))
	var got []string
	for _, frame := range p.readUntil(func(f string) bool { return strings.HasPrefix(f, `42["answer"`) }) {
		got = append(got, brief(t, outbound{frame: []byte(frame[1:])}))
	}
	statuses := 0
	for _, line := range got {
		if strings.HasPrefix(line, "a ") || strings.HasPrefix(line, "b ") {
			statuses++
		}
	}
	if statuses >= 40 { // 12 that the library has, 8 until the client counts as slow, and the newest two
		t.Errorf("%d status events were sent", statuses)
	}
	newest := fmt.Sprint(got[len(got)-4:])
	if !strings.Contains(newest, "dropped ") || !strings.Contains(newest, " to 300: ") || got[len(got)-1] != "owed 1" {
		t.Errorf("the last ones were %s", newest)
	}
	s.emit(activity(301))
	if got := p.get(); !strings.Contains(got, `"301"`) {
		t.Errorf("then came %q", got)
	}
	if n := e.Counts()[eventsDropped]; n == 0 {
		t.Error("nothing is counted")
	}
}

// When that does not help, it is cut off and told why; the answers that it was owed were not dropped without a word.
func TestSession_SlowClientIsCutOffWithAReason(t *testing.T) {
	tooLate := func(s *Session) {
		for v := 100; v < 1_000_000 && s.emit(activity(v)); v++ { // the clock moves on
		}
	}
	tooMuchOwed := func(s *Session) {
		for n := range 100 {
			s.Emit("answer", numbered(n))
		}
	}
	for name, burst := range map[string]func(*Session){"too late": tooLate, "owed too much": tooMuchOwed} {
		t.Run(name, func(t *testing.T) {
			a, sessions := reporting()
			e := start(t, Config{Limits: Limits{OutItems: 64, SlowTimeout: time.Nanosecond, WriteTimeout: 2 * patience, DrainTimeout: patience}}, a)
			p, s := joinedPoller(t, e, sessions)
			for v := range 100 { // they are coalesced
				s.emit(status("a", v))
			}
			for range 44 { // the library takes twelve
				s.Emit("filler", nil)
			}
			burst(s)
			var last string
			for _, frame := range p.readUntil(func(f string) bool { return f == "1" || strings.HasPrefix(f, `42["error"`) }) {
				last = frame
			}
			if !strings.Contains(last, `"error_type":"rate_limit_error"`) || !strings.Contains(last, `"retry_after":1`) {
				t.Errorf("the last words are %q", last)
			}
			eventually(t, "the session is over", func() bool { return e.Sessions() == 0 && e.Counts()[endedSlow] == 1 })
		})
	}
}

// A client that stops polling keeps nothing waiting for ever, though pongs would keep its connection alive.
func TestWriter_ClientThatStopsPolling(t *testing.T) {
	a, sessions := reporting()
	e := start(t, Config{Limits: Limits{WriteTimeout: 50 * time.Millisecond, DrainTimeout: time.Millisecond}}, a)
	_, s := joinedPoller(t, e, sessions)
	for range maxPollPackets + 1 {
		s.Emit("x", nil)
	}
	eventually(t, "cut off", func() bool { return e.Counts()[endedSlow] == 1 && e.Sessions() == 0 })
}

// Nor does one that polls and does not read the answer hold a goroutine and its answer.
func TestListener_PollThatIsNotRead(t *testing.T) {
	body := api.Encode(strings.Repeat("x", 1<<20))
	sessions := make(chan *Session, 1)
	e := start(t, Config{Limits: Limits{WriteTimeout: 100 * time.Millisecond, DrainTimeout: time.Millisecond, OutBytes: 64 << 20}}, app{begin: func(s *Session) error {
		sessions <- s
		return nil
	}})
	p, s := joinedPoller(t, e, sessions)
	for range maxPollPackets {
		s.Emit("x", body)
	}
	// Two of them would be small enough for the kernel, and the poll be over.
	eventually(t, "the library has them all", func() bool {
		s.link.window.mu.Lock()
		defer s.link.window.mu.Unlock()
		return s.link.window.pendingLocked().packets == maxPollPackets
	})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", p.sid)
	eventually(t, "the poll is being answered", func() bool { return e.link(p.sid) == nil || e.link(p.sid).polling.Load() })
	eventually(t, "the poll is over", func() bool { l := e.link(p.sid); return l == nil || !l.polling.Load() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	got, err := io.Copy(io.Discard, conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() || got >= maxPollPackets<<20 {
		t.Errorf("%d bytes came, and then %v", got, err)
	}
}

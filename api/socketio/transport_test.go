package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

// A burst to many clients arrives whole and in order; the library's own ways of sending to many lose most of it.
func TestSession_Emit_burst(t *testing.T) {
	const clients, burst = 50, 2000
	var mu sync.Mutex
	var sessions []*Session
	e := start(t, Config{}, app{begin: func(s *Session) error {
		mu.Lock()
		defer mu.Unlock()
		sessions = append(sessions, s)
		return nil
	}})
	var reading sync.WaitGroup
	for range clients {
		c := join(t, e.addr)
		reading.Go(func() { expectBurst(t, c, burst) })
	}
	mu.Lock()
	defer mu.Unlock()
	for n := range burst {
		p := encode("n", numbered(n))
		for _, s := range sessions {
			if !s.emit(p) {
				t.Fatal("a session is over")
			}
		}
	}
	reading.Wait()
}

func expectBurst(t *testing.T, c *client, burst int) {
	for n := range burst {
		got, err := c.next()
		if want := fmt.Sprintf(`42["n",{"n":%d}]`, n); err != nil || got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
			return
		}
	}
}

// Events reach Handle in the order of the wire, and do not cost a goroutine each.
func TestTransport_order(t *testing.T) {
	const events = 20_000
	var got []int
	var before, most int
	var who strings.Builder // whose the goroutines were when there were too many
	done := make(chan struct{})
	e := start(t, Config{Unrated: []string{"echo"}}, app{handle: func(_ *Session, r *session.Request) {
		var d struct{ N int }
		if err := json.Unmarshal(r.Data, &d); err != nil {
			t.Error(err)
		}
		if n := runtime.NumGoroutine(); n > max(most, before+20) {
			most = n
			who.Reset()
			_ = pprof.Lookup("goroutine").WriteTo(&who, 1) // a Builder takes everything
		}
		if got = append(got, d.N); len(got) == events {
			close(done)
		}
	}})
	c := join(t, e.addr)
	before = runtime.NumGoroutine()
	for n := range events {
		c.send(fmt.Sprintf(`42["echo",{"n":%d}]`, n))
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("not all events arrived; counted: %v", e.Counts())
	}
	for n := range got {
		if got[n] != n {
			t.Fatalf("event %d came as number %d", got[n], n)
		}
	}
	if most > before+20 {
		t.Errorf("%d goroutines while handling, %d before:\n%s", most, before, who.String())
	}
}

// An event right behind CONNECT, in the same segment, finds its session.
func TestTransport_earlyEvent(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	for range 300 {
		c := open(t, e.addr)
		c.send("40")
		c.send(`421["echo",{}]`)
		if got := c.read(); !strings.HasPrefix(got, "40{") {
			t.Fatalf("first came %q", got)
		}
		if got := c.read(); got != "431[{}]" {
			t.Fatalf("then came %q", got)
		}
		_ = c.ws.Close()
	}
}

func TestTransport_begin(t *testing.T) {
	e := start(t, Config{}, app{begin: func(s *Session) error {
		s.Emit("connected", json.RawMessage(`{}`))
		return nil
	}})
	if got := join(t, e.addr).read(); got != `42["connected",{}]` {
		t.Errorf("got %q", got)
	}
}

func TestTransport_authenticate(t *testing.T) {
	ended := make(chan struct{}, 1)
	cfg := Config{Authenticate: func(_ context.Context, auth json.RawMessage, remote string) (session.Principal, context.Context, error) {
		switch string(auth) {
		case `{"token":"good"}`:
			return session.Principal{Name: "reader", Role: api.Viewer}, context.Background(), nil
		case `{"token":"broken"}`:
			return session.Principal{}, nil, errors.New("disk on fire")
		}
		return session.Principal{}, nil, api.Errorf(api.AuthenticationError, "this token is not known")
	}}
	e := start(t, cfg, app{
		handle: func(s *Session, r *session.Request) { r.Ack(api.Encode(s.Principal().Name)) },
		end:    func(*Session) { ended <- struct{}{} },
	})
	for auth, want := range map[string]string{
		"":                       `"error_type":"authentication_error"`,
		`{"token":"bad"}`:        `this token is not known`,
		`{"token":"broken"}`:     `"error_type":"system_error"`,
		`{"token":["good","x"]}`: `"error_type":"authentication_error"`,
	} {
		c := open(t, e.addr)
		c.send("40" + auth)
		if got := c.read(); !strings.HasPrefix(got, "44{") || !strings.Contains(got, want) || strings.Contains(got, "fire") {
			t.Errorf("auth %s: got %q", auth, got)
		}
	}
	c := open(t, e.addr)
	c.send(`40{"token":"good"}`)
	c.read()
	c.send(`421["echo"]`)
	if got := c.read(); got != `431["reader"]` {
		t.Errorf("got %q", got)
	}
	_ = c.ws.Close()
	<-ended
	if len(ended) != 0 {
		t.Error("End was called for a refused session")
	}
}

// A handler that hangs holds up its own session only, whose further requests are refused by name.
func TestSession_Handle_blocked(t *testing.T) {
	release, blocked := make(chan struct{}), make(chan struct{})
	e := start(t, Config{Limits: Limits{QueueGrace: time.Millisecond}}, app{handle: func(s *Session, r *session.Request) {
		if r.Event == "block" {
			close(blocked)
			<-release
		}
		echo(s, r)
	}})
	c, other := join(t, e.addr), join(t, e.addr)
	c.send(`42["block",{}]`)
	<-blocked
	for n := range 64 + 3 {
		c.send(fmt.Sprintf(`42%d["echo",{}]`, n))
	}
	for n := 64; n < 67; n++ {
		ack, event := c.read(), c.read()
		if !strings.HasPrefix(ack, fmt.Sprintf(`43%d[{"error":true,"error_type":"rate_limit_error"`, n)) {
			t.Errorf("request %d was answered %q", n, ack)
		}
		if !strings.HasPrefix(event, `42["error",{"error":true,"error_type":"rate_limit_error"`) || !strings.Contains(event, `"operation":"echo"`) {
			t.Errorf("and %q", event)
		}
	}
	other.mustEcho()
	close(release)
	for n := range 64 {
		if got, want := c.read(), fmt.Sprintf("43%d[{}]", n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What a client sent before it went is handled, and the session's Context says that it has gone.
func TestSession_Context(t *testing.T) {
	release, first := make(chan struct{}), make(chan struct{})
	seen := make(chan string, 8)
	e := start(t, Config{}, app{
		handle: func(s *Session, r *session.Request) {
			if r.Event == "block" {
				close(first)
				<-release
				select {
				case <-s.Context().Done():
				case <-time.After(patience):
					t.Error("the session's Context has not ended")
				}
			}
			seen <- r.Event
		},
		end: func(*Session) { seen <- "end" },
	})
	c := join(t, e.addr)
	c.send(`42["block"]`)
	c.send(`42["echo"]`)
	c.send(`41`)
	<-first
	close(release)
	for _, want := range []string{"block", "echo", "end"} {
		if got := <-seen; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	eventually(t, "the session is off the list", func() bool { return e.Sessions() == 0 })
}

func TestSession_End(t *testing.T) {
	e := start(t, Config{}, app{handle: func(s *Session, r *session.Request) {
		s.Emit("goodbye", nil)
		s.End("told to")
		if s.Emit("late", nil) {
			t.Error("Emit after End")
		}
	}})
	c := join(t, e.addr)
	c.send(`42["echo"]`)
	if diff := cmp.Diff([]string{`42["goodbye"]`}, c.mustClose()); diff != "" {
		t.Error(diff)
	}
	eventually(t, "counted", func() bool { return e.Counts()[endedByApp] == 1 })
}

// A client that never reads is cut off, and until then costs no more than its queue.
func TestSession_Emit_slowClient(t *testing.T) {
	accepted := make(chan int, 1)
	e := start(t, Config{}, app{handle: func(s *Session, r *session.Request) {
		if r.Event != "block" {
			echo(s, r)
			return
		}
		total := 0
		for body := api.Encode(strings.Repeat("x", 1000)); total < 256<<20 && s.Emit("x", body); {
			total += len(body)
		}
		accepted <- total
	}})
	c := join(t, e.addr)
	c.send(`42["block"]`)
	if total := <-accepted; total > 32<<20 {
		t.Errorf("%d bytes were accepted for a client that does not read", total)
	}
	eventually(t, "counted", func() bool { return e.Counts()[endedSlow] == 1 })
	join(t, e.addr).mustEcho()
}

// What a client does not read waits in the session's queue, and not in the library's, which has no bound.
func TestSession_EmitWait_slowClient(t *testing.T) {
	const much = 64 << 20
	accepted := make(chan int, 1)
	e := start(t, Config{}, app{handle: func(s *Session, _ *session.Request) {
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		total := 0
		for body := api.Encode(strings.Repeat("x", 10_000)); total < much && s.EmitWait(ctx, "x", body); {
			total += len(body)
		}
		accepted <- total
	}})
	join(t, e.addr).send(`42["block"]`)
	if total := <-accepted; total >= much {
		t.Errorf("%d bytes were accepted for a client that does not read", total)
	}
}

func TestSession_EmitWait(t *testing.T) {
	const n = 50_000
	e := start(t, Config{}, app{handle: func(s *Session, r *session.Request) {
		for i := range n {
			if !s.EmitWait(s.Context(), "n", numbered(i)) {
				t.Error("the session is over")
				return
			}
		}
	}})
	c := join(t, e.addr)
	c.send(`42["echo"]`)
	expectBurst(t, c, n)
}

func TestRequest_Ack(t *testing.T) {
	var mu sync.Mutex
	wanted := map[string]bool{}
	e := start(t, Config{}, app{handle: func(s *Session, r *session.Request) {
		mu.Lock()
		wanted[string(r.Data)] = r.WantsAck()
		mu.Unlock()
		r.Ack(json.RawMessage(`1`))
		r.Ack(json.RawMessage(`2`))
		s.Emit("done", r.Data)
	}})
	c := join(t, e.addr)
	c.send(`42["echo","a"]`)
	c.send(`420["echo","b",{}]`)
	got := []string{c.read(), c.read(), c.read()}
	if diff := cmp.Diff([]string{`42["done","a"]`, `430[1]`, `42["done","b"]`}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]bool{`"a"`: false, `"b"`: true}, wanted); diff != "" {
		t.Error(diff)
	}
}

// The official client's way: handshake, CONNECT and events by polling, probe, upgrade.
func TestTransport_upgrade(t *testing.T) {
	const before, after = 200, 500
	e := start(t, Config{}, app{handle: func(s *Session, r *session.Request) { s.Emit("n", r.Data) }})
	p := poll(t, e.addr)
	p.post("40")
	if got := p.get(); !strings.HasPrefix(got, `40{"sid"`) {
		t.Fatalf("CONNECT answered %q", got)
	}
	for n := range before {
		p.post(fmt.Sprintf(`42["echo",{"n":%d}]`, n))
	}
	var got []string
	for len(got) < before {
		frames := strings.Split(p.get(), "\x1e")
		if len(frames) > 16 {
			t.Fatalf("one poll was answered with %d packets", len(frames))
		}
		got = append(got, frames...)
	}
	c := upgrade(t, e, p)
	for n := range after {
		c.send(fmt.Sprintf(`42["echo",{"n":%d}]`, before+n))
	}
	for len(got) < before+after {
		got = append(got, c.read())
	}
	for n, frame := range got {
		if want := fmt.Sprintf(`42["n",{"n":%d}]`, n); frame != want {
			t.Fatalf("number %d is %q", n, frame)
		}
	}
	if status, _ := p.do(http.MethodGet, ""); status != http.StatusBadRequest {
		t.Errorf("polling after the upgrade: %d", status)
	}
}

func upgrade(t *testing.T, e env, p *poller) *client {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	c := &client{t: t, ws: ws}
	polled := make(chan string, 1)
	go func() { polled <- p.get() }()
	c.send("2probe")
	if got := c.read(); got != "3probe" {
		t.Fatalf("the probe was answered %q", got)
	}
	if got := <-polled; got != "6" {
		t.Fatalf("the open poll was answered %q", got)
	}
	c.send("5")
	return c
}

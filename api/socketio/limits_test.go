package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api/session"
)

// refusal reads an acknowledgement and the error event behind it, and returns the error.
func (c *client) refusal() (ackID string, body map[string]any) {
	c.t.Helper()
	ack, event := c.read(), c.read()
	at := strings.IndexByte(ack, '[')
	var bodies []map[string]any
	if at < 2 || json.Unmarshal([]byte(ack[at:]), &bodies) != nil || !strings.HasPrefix(event, `42["error",`) {
		c.t.Fatalf("answered %q, %q", ack, event)
	}
	return ack[2:at], bodies[0]
}

// mustRefuse proves that the next answers refuse a request for asking too much.
func (c *client) mustRefuse(ackID string) {
	c.t.Helper()
	got, body := c.refusal()
	details, _ := body["details"].(map[string]any)
	if got != ackID || body["error_type"] != "rate_limit_error" || details["retry_after"] != 1.0 || details["operation"] == "" {
		c.t.Errorf("request %s was answered %v as %s", ackID, body, got)
	}
}

func TestSession_RequestsPerSecond(t *testing.T) {
	const perSecond = 5
	e := start(t, Config{Limits: Limits{RequestsPerSecond: perSecond}, Events: []string{"echo", "traffic"}, Unrated: []string{"traffic"}}, app{handle: echo})
	c := join(t, e.addr)
	began := time.Now()
	for n := range 2 * perSecond {
		c.send(fmt.Sprintf(`42%d["echo",1]`, n))
	}
	answered, refused := 0, 0
	for answered+refused < 2*perSecond {
		switch got := c.read(); {
		case strings.HasPrefix(got, "42"): // the event of a refusal
		case got == fmt.Sprintf(`43%d[1]`, answered):
			answered++
		case strings.Contains(got, `"error_type":"rate_limit_error"`) && strings.Contains(got, `"retry_after":1`):
			refused++
		default:
			t.Fatalf("got %q", got)
		}
	}
	if answered < perSecond || refused == 0 {
		t.Errorf("%d were answered, %d refused", answered, refused)
	}
	c.send(`42100["traffic",2]`)
	for got := ""; got != `43100[2]`; {
		if got = c.read(); strings.HasPrefix(got, "43100[{") {
			t.Fatalf("traffic was answered %q", got)
		}
	}
	// A refusal costs a turn too, so that a flood is not answered faster than it would be served.
	if took := time.Since(began); took < (perSecond-1)*time.Second/perSecond {
		t.Errorf("%d requests took %v", 2*perSecond, took)
	}
	if got := e.Counts()[requestRate]; got != uint64(refused) {
		t.Errorf("%d of %d refusals are counted", got, refused)
	}
}

// What is refused for another reason is not for free either.
func TestSession_RefusalsPerSecond(t *testing.T) {
	const perSecond = 5
	e := start(t, Config{Limits: Limits{RequestsPerSecond: perSecond}}, app{handle: echo})
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, frame := range []string{`421["launch",1]`, `421["echo",` + deep + `]`} {
		c := join(t, e.addr)
		began := time.Now()
		for range 2 * perSecond {
			c.send(frame)
		}
		for range 2 * perSecond {
			if _, body := c.refusal(); body["error_type"] != "validation_error" {
				t.Errorf("%s: %v", frame, body)
			}
		}
		if took := time.Since(began); took < (perSecond-1)*time.Second/perSecond {
			t.Errorf("%d of %s were refused in %v", 2*perSecond, frame, took)
		}
	}
}

// Requests whose handlers have returned are still in flight until they are answered.
func TestSession_InFlight(t *testing.T) {
	type held struct {
		r       *session.Request
		release func()
	}
	requests := make(chan held, 8)
	e := start(t, Config{Limits: Limits{InFlight: 3}}, app{handle: func(_ *Session, r *session.Request) {
		if r.Event == "block" {
			requests <- held{r, r.Hold()}
			return
		}
		r.Ack(r.Data)
	}})
	c, other := join(t, e.addr), join(t, e.addr)
	for n := range 5 {
		c.send(fmt.Sprintf(`42%d["block",1]`, n))
	}
	c.mustRefuse("3")
	c.mustRefuse("4")
	other.mustEcho()
	for range 3 {
		h := <-requests
		h.r.Ack(h.r.Data)
		h.release()
		c.read()
	}
	c.mustEcho()
	if got := e.Counts()[requestInFlight]; got != 2 {
		t.Errorf("%d are counted", got)
	}
}

// A burst of more than may be in flight is read more slowly, as long as some are answered.
func TestSession_InFlight_ABurstIsHeldBack(t *testing.T) {
	const limit, many = 8, 2000
	requests := make(chan func(), many)
	e := start(t, Config{Limits: Limits{InFlight: limit}, Unrated: []string{"block"}}, app{handle: func(_ *Session, r *session.Request) {
		release := r.Hold()
		requests <- func() { r.Ack(r.Data); release() }
	}})
	c := join(t, e.addr)
	go func() {
		for range many {
			(<-requests)()
		}
	}()
	go func() {
		for n := range many {
			c.send(fmt.Sprintf(`42%d["block",1]`, n))
		}
	}()
	for n := range many {
		if got, want := c.read(), fmt.Sprintf(`43%d[1]`, n); got != want {
			t.Fatalf("got %.200s, want %s", got, want)
		}
	}
	if got := e.Counts()[requestInFlight]; got != 0 {
		t.Errorf("%d were refused", got)
	}
}

// What waits is bounded in bytes as well, and stays as small as it came.
func TestSession_InBytes(t *testing.T) {
	const waiting = 4 << 20
	release, blocked := make(chan struct{}), make(chan struct{})
	e := start(t, Config{Limits: Limits{QueueGrace: time.Millisecond}}, app{handle: func(_ *Session, r *session.Request) {
		if r.Event == "block" {
			close(blocked)
			<-release
		}
	}})
	c := join(t, e.addr)
	c.send(`42["block"]`)
	<-blocked
	before := heap()
	nested := "[" + strings.TrimSuffix(strings.Repeat("[],", 4000), ",") + "]"
	request := `42["echo",[` + nested + `,"` + strings.Repeat("x", 400<<10) + `"]]`
	const sent = 40
	for range sent {
		c.send(request)
	}
	refused := 0
	for refused < sent-waiting/(400<<10) {
		if got := c.read(); strings.Contains(got, `"error_type":"rate_limit_error"`) {
			refused++
		} else {
			t.Fatalf("got %.100q", got)
		}
	}
	if after := heap(); after > before+4*waiting {
		t.Errorf("the heap went from %d to %d", before, after)
	}
	close(release)
}

// byName is an Authenticate that takes the auth for a name.
func byName(_ context.Context, auth json.RawMessage, _ string) (session.Principal, context.Context, error) {
	return session.Principal{Name: string(auth)}, context.Background(), nil
}

func TestTransport_SessionsPerPrincipal(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxPerPrincipal: 2}, Authenticate: byName}, app{handle: echo})
	enter := func(auth string) (*client, string) {
		c := open(t, e.addr)
		c.send("40" + auth)
		return c, c.read()
	}
	first, _ := enter(`{"a":1}`)
	enter(`{"a":1}`)
	if _, got := enter(`{"a":1}`); !strings.HasPrefix(got, "44{") || !strings.Contains(got, `"error_type":"rate_limit_error"`) || !strings.Contains(got, `"retry_after":10`) {
		t.Errorf("a third session got %q", got)
	}
	if _, got := enter(`{"b":1}`); !strings.HasPrefix(got, "40{") {
		t.Errorf("another principal got %q", got)
	}
	_ = first.ws.Close()
	eventually(t, "room again", func() bool {
		_, got := enter(`{"a":1}`)
		return strings.HasPrefix(got, "40{")
	})
	for _, l := range e.allLinks() {
		l.close("test")
	}
	eventually(t, "nobody is seated", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.perPrincipal) == 0
	})
}

func TestNetwork(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::/64", "2001:db8::ffff:7": "2001:db8::/64", "2001:db8:0:1::7": "2001:db8:0:1::/64",
		"fe80::1%eth0": "fe80::/64", "::ffff:192.0.2.7": "::ffff:192.0.2.7", "": "", "@": "@",
	} {
		if got := addressKey(host); got != want {
			t.Errorf("%q is of %q, want %q", host, got, want)
		}
	}
}

func TestFront_RefusalsSayWhenToComeBack(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxConnections: 1}}, app{})
	join(t, e.addr)
	_, res, err := dial(t, e.addr, nil)
	if err == nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "10" {
		t.Errorf("%v, %v", err, res)
	}
}

// Everything that a client begins it has to end within a time.
func TestServer_Deadlines(t *testing.T) {
	short := Limits{HeaderTimeout: 50 * time.Millisecond, BodyTimeout: 50 * time.Millisecond, FrameTimeout: 50 * time.Millisecond}
	e := start(t, Config{Limits: short}, app{handle: echo})
	get := "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: "
	for name, begun := range map[string]string{
		"header":                  get,
		"body":                    "POST /socket.io/?EIO=4&transport=polling&sid=" + poll(t, e.addr).sid + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n4",
		"body of what is refused": get + "evil\r\nContent-Length: 10\r\n\r\n4",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", e.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, begun)
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the connection ended with %v", err)
			}
		})
	}
	t.Run("frame", func(t *testing.T) {
		c := join(t, e.addr)
		for range 20 { // many small messages are no large one
			c.mustEcho()
		}
		_, _ = c.ws.NetConn().Write(masked(`42["echo"]`)[:9])
		c.mustClose()
		eventually(t, "counted", func() bool { return e.Counts()[brokeFrame] == 1 })
	})
}

// An Authenticate that hangs does not keep its client for ever.
func TestSession_AuthenticateHasADeadline(t *testing.T) {
	e := start(t, Config{Limits: Limits{JoinTimeout: 50 * time.Millisecond}, Authenticate: func(ctx context.Context, _ json.RawMessage, _ string) (session.Principal, context.Context, error) {
		<-ctx.Done()
		return session.Principal{}, nil, ctx.Err()
	}}, app{})
	c := open(t, e.addr)
	c.send("40")
	if got := c.read(); !strings.HasPrefix(got, "44{") || !strings.Contains(got, "system_error") {
		t.Errorf("got %q", got)
	}
	c.mustClose()
}

// Before it has joined, nobody has the manager hold large messages for it.
func TestGate_EarlyBytes(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	c := open(t, e.addr)
	_, _ = c.ws.NetConn().Write([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, '4'}) // the first of 512 KiB
	_, _ = c.ws.NetConn().Write([]byte("2"))
	if said := c.mustClose(); said != nil {
		t.Errorf("said %q", said)
	}
	eventually(t, "counted", func() bool { return e.Counts()[brokeLimits] == 1 })

	c = open(t, e.addr) // a large event right behind CONNECT is not early
	large := `"` + strings.Repeat("x", 300<<10) + `"`
	c.send("40")
	c.send(`421["echo",` + large + `]`)
	c.read()
	if got := c.read(); got != "431["+large+"]" {
		t.Errorf("got %.100q", got)
	}
	p := poll(t, e.addr) // nor is one behind an upgrade
	p.post("40")
	p.get()
	c = upgrade(t, e, p)
	c.send(`421["echo",` + large + `]`)
	if got := c.read(); got != "431["+large+"]" {
		t.Errorf("after an upgrade: %.100q", got)
	}
}

// A client that sends pongs that nobody asked for would live though it reads no ping, and could send them without end.
func TestLink_Heartbeats(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	for i, frame := range []string{"3", "6", "0", "5"} {
		c := join(t, e.addr)
		c.mustEcho()
		c.send(frame)
		c.mustClose()
		eventually(t, "counted", func() bool { return e.Counts()[brokeHeartbeat] == uint64(i+1) })
	}
}

// Pings that are answered keep a connection, those that are not end it.
func TestLink_Pings(t *testing.T) {
	e := start(t, Config{Limits: Limits{PingInterval: 20 * time.Millisecond, PingTimeout: 500 * time.Millisecond}}, app{handle: echo})
	silent := join(t, e.addr)
	c := join(t, e.addr)
	for pings := 0; pings < 10; {
		_, frame, err := c.ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if string(frame) == "2" {
			pings++
			c.send("3")
		}
	}
	_ = silent.ws.SetReadDeadline(time.Now().Add(patience / 2))
	var err error
	for err == nil {
		_, _, err = silent.ws.ReadMessage()
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error("who answers no ping is still connected")
	}
	eventually(t, "counted", func() bool { return e.Counts()["closed_ping_timeout"] == 1 })
}

func TestFlight(t *testing.T) {
	var f inFlight
	select {
	case <-f.drained():
	default:
		t.Error("nothing has begun")
	}
	got := []pushResult{f.begin(2), f.begin(2), f.begin(2)}
	over := f.drained()
	f.end()
	got = append(got, f.begin(2))
	f.end()
	select {
	case <-over:
		t.Error("one is in flight")
	default:
	}
	f.end()
	<-over
	<-f.drained()
	if diff := cmp.Diff([]pushResult{pushedOK, pushedOK, pushedFull, pushedOK}, got); diff != "" {
		t.Error(diff)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that speaks Socket.IO over WebSocket; what it does with a session's packets is a test's script.
type fake struct {
	t   *testing.T
	url string

	open    string                          // the open packet
	welcome func(s *session, packet string) // answers CONNECT, which packet is
	on      map[string]func(s *session, r request)
	packet  func(s *session, packet string) // gets what is neither CONNECT nor a request

	mu       sync.Mutex
	header   http.Header
	requests []request
}

// session is one client at the fake.
type session struct {
	t    *testing.T
	conn *websocket.Conn
	mu   sync.Mutex
}

// request is one event of a client.
type request struct {
	ack   string
	Event string
	Body  map[string]any
}

const patient = `{"sid":"s","pingInterval":25000,"pingTimeout":20000}`

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, open: patient, on: map[string]func(*session, request){}, packet: func(*session, string) {}}
	f.welcome = func(s *session, _ string) { s.send(`40{"sid":"x"}`) }
	var sessions sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.Add(1)
		defer sessions.Done()
		f.serve(w, r)
	}))
	t.Cleanup(func() { server.Close(); sessions.Wait() })
	f.url = server.URL
	t.Setenv("FLOWCTL_SERVER", f.url)
	t.Setenv("FLOWCTL_TOKEN", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/socket.io/" || r.URL.RawQuery != "EIO=4&transport=websocket" {
		f.t.Errorf("asked for %s", r.URL)
	}
	f.mu.Lock()
	f.header = r.Header.Clone()
	f.mu.Unlock()
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.Close()
	s := &session{t: f.t, conn: conn}
	s.send("0" + f.open)
	for {
		_, packet, err := conn.ReadMessage()
		if err != nil {
			return
		}
		f.take(s, string(packet))
	}
}

func (f *fake) take(s *session, packet string) {
	switch {
	case strings.HasPrefix(packet, "40"):
		f.welcome(s, packet)
	case strings.HasPrefix(packet, "42"):
		r := f.request(packet)
		if handle := f.on[r.Event]; handle != nil {
			handle(s, r)
		}
	default:
		f.packet(s, packet)
	}
}

func (f *fake) request(packet string) request {
	digits := len(packet) - len(strings.TrimLeft(packet[2:], "0123456789"))
	r := request{ack: packet[2:digits]}
	var parts []json.RawMessage
	err := json.Unmarshal([]byte(packet[digits:]), &parts)
	if err != nil || len(parts) != 2 || json.Unmarshal(parts[0], &r.Event) != nil || json.Unmarshal(parts[1], &r.Body) != nil {
		f.t.Errorf("request %.100q: %v", packet, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r)
	return r
}

// seen gives the requests so far, without what differs each time.
func (f *fake) seen() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []request
	for _, r := range f.requests {
		body := maps.Clone(r.Body)
		delete(body, "request_id")
		all = append(all, request{Event: r.Event, Body: body})
	}
	return all
}

func (s *session) send(packet string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.conn.WriteMessage(websocket.TextMessage, []byte(packet)) // the client may be gone: that is for it to tell
}

func (s *session) ack(r request, body string) { s.send("43" + r.ack + "[" + body + "]") }

// answer emits an event that bears r's request id and the members given.
func (s *session) answer(r request, event, members string) {
	s.send(fmt.Sprintf(`42[%q,{"request_id":%s,%s}]`, event, quoted(r.Body["request_id"]), members))
}

// refuse does what the server does to a bad request: it tells the error in the ack and as an event.
func (s *session) refuse(r request, kind, message, details string) {
	body := fmt.Sprintf(`{"error":true,"error_type":%q,"message":%s,"details":%s,"request_id":%s}`,
		kind, quoted(message), details, quoted(r.Body["request_id"]))
	s.send(`42["error",` + body + `]`)
	s.ack(r, body)
}

// reaches answers those who wait for an outcome: a container is in state, and has come as far as they want.
func (f *fake) reaches(state string) {
	f.on["wait_container"] = func(s *session, r request) {
		s.ack(r, fmt.Sprintf(`{"ok":true,"container_id":"x","generation":1,"status":%q}`, state))
	}
}

func quoted(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// result is what a run of flowctl left behind.
type result struct {
	Code     int
	Out, Err string
}

func flowctl(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// documents are declarations of containers, one a line, with markers between.
func documents(names ...string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = "{name: " + name + ", image: x}"
	}
	return strings.Join(texts, "\n---\n")
}

// dialFake joins f, and leaves when the test ends.
func dialFake(t *testing.T, f *fake) *Client {
	t.Helper()
	c, err := Dial(soon(t), f.url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// soon is far more time than anything in a test takes that works.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// beat sends pings at half the time that the client waits for one, in the background of the test.
func beat(t *testing.T, s *session, count int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range count {
			<-tick.C
			s.send("2")
		}
	}()
	t.Cleanup(func() { <-done })
}

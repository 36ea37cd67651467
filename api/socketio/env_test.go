package socketio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/flow-manager/flow-manager/api/session"
)

// patience bounds every wait of these tests; none of them waits that long when it passes.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if serveAsChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// app is an App out of functions; nil ones do nothing.
type app struct {
	begin  func(*Session) error
	handle func(*Session, *session.Request)
	end    func(*Session)
}

func (a app) Begin(s session.Session) error {
	if a.begin == nil {
		return nil
	}
	return a.begin(s.(*Session))
}

func (a app) Handle(s session.Session, r *session.Request) {
	if a.handle != nil {
		a.handle(s.(*Session), r)
	}
}

func (a app) End(s session.Session) {
	if a.end != nil {
		a.end(s.(*Session))
	}
}

func echo(_ *Session, r *session.Request) { r.Ack(r.Data) }

type env struct {
	*Transport
	addr string
}

// start serves a on loopback; when the test is over it shuts down and proves that no goroutine is left.
func start(t *testing.T, cfg Config, a session.App) env {
	t.Helper()
	return startLogged(t, cfg, zerolog.Nop(), a)
}

func startLogged(t *testing.T, cfg Config, log zerolog.Logger, a session.App) env {
	t.Helper()
	before := goleak.IgnoreCurrent()
	cfg.Log = log
	if cfg.Events == nil {
		cfg.Events = []string{"echo", "boom", "block"}
	}
	tr, err := New(cfg, a)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := tr.Server(tr.Handler())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(tr.Listener(l)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := tr.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("http Shutdown: %v", err)
		}
		<-served
		goleak.VerifyNone(t, before)
	})
	return env{tr, l.Addr().String()}
}

// eventually waits for a condition that the server reaches on its own.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

// client is a raw Socket.IO client over WebSocket.
type client struct {
	t  testing.TB
	ws *websocket.Conn
	mu sync.Mutex
}

func dial(t testing.TB, addr string, header http.Header) (*websocket.Conn, *http.Response, error) {
	return websocket.DefaultDialer.Dial("ws://"+addr+"/socket.io/?EIO=4&transport=websocket", header)
}

// open connects without joining.
func open(t testing.TB, addr string) *client {
	t.Helper()
	ws, _, err := dial(t, addr, nil)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	c := &client{t: t, ws: ws}
	t.Cleanup(func() { _ = ws.Close() })
	if got := c.read(); !strings.HasPrefix(got, `0{"`) {
		t.Fatalf("handshake: %q", got)
	}
	return c
}

func join(t testing.TB, addr string) *client {
	t.Helper()
	c := open(t, addr)
	c.send("40")
	if got := c.read(); !strings.HasPrefix(got, `40{"sid"`) {
		t.Fatalf("CONNECT answered %q", got)
	}
	return c
}

func (c *client) send(frame string) {
	c.t.Helper()
	if err := c.write(frame); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) write(frame string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ws.WriteMessage(websocket.TextMessage, []byte(frame))
}

// read returns the next frame that is no ping.
func (c *client) read() string {
	c.t.Helper()
	frame, err := c.next()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return frame
}

func (c *client) next() (string, error) {
	for {
		_ = c.ws.SetReadDeadline(time.Now().Add(patience))
		_, b, err := c.ws.ReadMessage()
		if err != nil {
			return "", err
		}
		if string(b) == "2" {
			c.send("3")
			continue
		}
		return string(b), nil
	}
}

// mustEcho proves that c is being served.
func (c *client) mustEcho() {
	c.t.Helper()
	c.send(`427["echo",{"n":1}]`)
	if got, want := c.read(), `437[{"n":1}]`; got != want {
		c.t.Fatalf("echo answered %q, want %q", got, want)
	}
}

// mustClose reads until the server ends the connection and returns what came before.
func (c *client) mustClose() []string {
	c.t.Helper()
	var frames []string
	for {
		frame, err := c.next()
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Fatalf("the connection is still open; got %q", frames)
		}
		if err != nil {
			return frames
		}
		frames = append(frames, frame)
	}
}

// poller is a raw client over HTTP long polling.
type poller struct {
	t    testing.TB
	base string
	sid  string
	http *http.Client
}

func poll(t testing.TB, addr string) *poller {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p := &poller{t: t, base: "http://" + addr + "/socket.io/?EIO=4&transport=polling", http: &http.Client{Transport: transport, Timeout: patience}}
	status, body := p.do(http.MethodGet, "")
	if status != http.StatusOK {
		t.Fatalf("handshake: %d %s", status, body)
	}
	var opened struct {
		Sid        string
		MaxPayload int
	}
	if err := json.Unmarshal([]byte(body[1:]), &opened); err != nil {
		t.Fatal(err)
	}
	if opened.MaxPayload != 60000 {
		t.Errorf("maxPayload %d, want 60000", opened.MaxPayload)
	}
	p.sid = opened.Sid
	return p
}

func (p *poller) do(method, body string) (int, string) {
	p.t.Helper()
	u := p.base
	if p.sid != "" {
		u += "&sid=" + p.sid
	}
	return p.to(method, u, strings.NewReader(body))
}

func (p *poller) to(method, u string, body io.Reader) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, u, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, b.String()
}

func (p *poller) post(body string) {
	p.t.Helper()
	if status, answer := p.do(http.MethodPost, body); status != http.StatusOK || answer != "ok" {
		p.t.Fatalf("POST %q: %d %q", body, status, answer)
	}
}

func (p *poller) get() string {
	p.t.Helper()
	status, answer := p.do(http.MethodGet, "")
	if status != http.StatusOK {
		p.t.Fatalf("GET: %d %q", status, answer)
	}
	return answer
}

func numbered(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

// stacksWith are the goroutines that a function of the name has begun or is in.
func stacksWith(function string) string {
	b := make([]byte, 4<<20)
	var found []string
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, function) {
			found = append(found, stack)
		}
	}
	return strings.Join(found, "\n\n")
}

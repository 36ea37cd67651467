package sockets

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/xid"
	"go.uber.org/goleak"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// patience is how long a test waits for what must come: longer than the write and frame timeouts, for fake time passes at once.
const patience = 40 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a Watcher that records its calls.
type recorder chan string

func (e recorder) Connection(id string, connected bool) { e <- fmt.Sprint("connection ", connected) }
func (e recorder) Message(id string, m json.RawMessage) { e <- "message " + string(m) }
func (e recorder) Ready(id string)                      { e <- "ready" }
func (e recorder) Heartbeat(id string)                  { e <- "heartbeat" }
func (e recorder) Fault(id string, err *api.Error) {
	e <- fmt.Sprint("fault ", err.Type, " ", err.Details)
}
func (e recorder) Traffic(string, Way, string, int)    {}
func (e recorder) Reachable(id string, reachable bool) { e <- fmt.Sprint("reachable ", reachable) }
func (e recorder) ActorEvent(id, actor, event string, data json.RawMessage) {
	e <- fmt.Sprintf("actor %s %s %s", actor, event, data)
}

// expect fails the test unless these calls come next.
func (e recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-e:
			if got != w {
				t.Fatalf("watcher heard %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("watcher heard nothing, want %q", w)
		}
	}
}

// drain drops the next calls.
func (e recorder) drain(calls int) {
	for range calls {
		<-e
	}
}

// statuses are those of all hubs' containers; no two tests have containers with the same id.
var statuses sync.Map

func statusOf(id string) json.RawMessage {
	status, _ := statuses.Load(id)
	raw, _ := status.(json.RawMessage)
	return raw
}

// tellStatus changes a container's status.
func tellStatus(h *Hub, id, status string) {
	statuses.Store(id, json.RawMessage(status))
	h.StatusChanged(id)
}

// newHub makes a hub with one open socket.
func newHub(t *testing.T, cfg Config) (h *Hub, id string, heard recorder) {
	t.Helper()
	heard = make(recorder, 4096)
	cfg.RunDir = filepath.Join(t.TempDir(), "run")
	cfg.Watcher = heard
	h = openHub(t, cfg)
	id = xid.New().String()
	if err := h.Open(id); err != nil {
		t.Fatal(err)
	}
	return h, id, heard
}

func openHub(t *testing.T, cfg Config) *Hub {
	t.Helper()
	cfg.Status = statusOf
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// flow is the container's end of a connection.
type flow struct {
	t *testing.T
	net.Conn
}

func connect(t *testing.T, h *Hub, id string) flow {
	t.Helper()
	return flow{t, dial(t, h, id)}
}

func dial(t testing.TB, h *Hub, id string) net.Conn {
	t.Helper()
	folder, err := os.Open(h.Dir(id))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	nc, err := net.Dial("unix", procPath(folder, socketName(id)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// join connects and waits until the hub has taken note.
func join(t *testing.T, h *Hub, id string) flow {
	t.Helper()
	f := connect(t, h, id)
	f.handshake()
	return f
}

func (f flow) handshake() {
	f.t.Helper()
	f.send(`{"type":"ping"}`)
	f.expect(`{"type":"pong"}`)
}

func (f flow) send(messages ...string) {
	f.t.Helper()
	for _, m := range messages {
		f.sendBytes(frame([]byte(m)))
	}
}

func (f flow) sendBytes(b []byte) {
	f.t.Helper()
	if _, err := f.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

// next reads one frame.
func (f flow) next() string {
	f.t.Helper()
	f.SetReadDeadline(time.Now().Add(patience))
	body, err := readFrame(f, 8<<20)
	if err != nil {
		f.t.Fatalf("read a frame: %v", err)
	}
	return string(body)
}

func (f flow) expect(want ...string) {
	f.t.Helper()
	for _, w := range want {
		if got := f.next(); got != w {
			f.t.Fatalf("flow heard %q, want %q", got, w)
		}
	}
}

// ends fails the test unless the manager closes the connection and says nothing more.
func (f flow) expectEnd() {
	f.t.Helper()
	f.SetReadDeadline(time.Now().Add(patience))
	if rest, err := io.ReadAll(f); os.IsTimeout(err) || len(rest) > 0 {
		f.t.Fatalf("read %q, %v; want the connection's end", rest, err)
	}
}

// field gives a member of a message as text.
func field(t *testing.T, message, key string) string {
	t.Helper()
	o, err := rawjson.Parse([]byte(message))
	if err != nil {
		t.Fatalf("parse %q: %v", message, err)
	}
	return o.Text(key)
}

// answered is what a Send came to.
type answered struct {
	reply string
	err   *api.Error
}

// send begins a Send.
func send(ctx context.Context, h *Hub, id, message string, o SendOptions) <-chan answered {
	done := make(chan answered, 1)
	go func() {
		reply, err := h.Send(ctx, id, json.RawMessage(message), o)
		a := answered{reply: string(reply)}
		if err != nil {
			a.err = api.AsError(err)
		}
		done <- a
	}()
	return done
}

func receive(t *testing.T, done <-chan answered) answered {
	t.Helper()
	select {
	case a := <-done:
		return a
	case <-time.After(patience):
		t.Fatal("Send did not return")
		return answered{}
	}
}

// succeeds gives the reply of a Send that must not fail.
func succeeds(t *testing.T, done <-chan answered) string {
	t.Helper()
	a := receive(t, done)
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.reply
}

// fails fails the test unless the Send failed with this error type and delivery.
func fails(t *testing.T, done <-chan answered, want api.ErrorType, delivery any) {
	t.Helper()
	a := receive(t, done)
	if a.err == nil || a.err.Type != want || a.err.Details["delivery"] != delivery {
		t.Fatalf("Send: %v %+v, want %s with delivery %v", a.err, a, want, delivery)
	}
}

// newBubble makes a hub with a socket that no file leads to, for use in a synctest bubble.
func newBubble(t *testing.T, cfg Config) (h *Hub, id string, heard recorder) {
	t.Helper()
	heard = make(recorder, 4096)
	cfg.RunDir = t.TempDir()
	cfg.Watcher = heard
	h = openHub(t, cfg)
	id = xid.New().String()
	h.endpoints[id] = newEndpoint(id, h)
	return h, id, heard
}

// pipe connects a flow to a bubble's hub.
func pipe(t *testing.T, h *Hub, id string) flow {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	h.endpoints[id].register(ours)
	return flow{t, theirs}
}

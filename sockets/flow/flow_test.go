package flow_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/sockets/flow"
)

const patience = 20 * time.Second

// manager is the other end of a flow's socket.
type manager struct {
	t    *testing.T
	path string
	net.Listener
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "s")}
	m.listen()
	return m
}

func (m *manager) listen() {
	m.t.Helper()
	var err error
	if m.Listener, err = net.Listen("unix", m.path); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { m.Close() })
}

// joined is the flow's next connection, which has said hello and what else it must.
func (m *manager) joined(greeting ...string) net.Conn {
	m.t.Helper()
	conn, err := m.Accept()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	for _, want := range append([]string{`{"type":"hello"}`}, greeting...) {
		m.hears(conn, want)
	}
	return conn
}

func (m *manager) says(conn net.Conn, messages ...string) {
	m.t.Helper()
	for _, text := range messages {
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *manager) hears(conn net.Conn, want string) {
	m.t.Helper()
	var head [4]byte
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		m.t.Fatalf("%v, want %s", err, want)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		m.t.Fatal(err)
	}
	var got, wanted any
	if err := errors.Join(json.Unmarshal(body, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
		m.t.Fatalf("%v: %s", err, body)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		m.t.Fatalf("the flow said (-want +got):\n%s", diff)
	}
}

// run runs f until the test ends.
func run(t *testing.T, f *flow.Flow) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
}

// echo replies with what it heard.
func echo(t *testing.T) flow.Handler {
	return func(ctx context.Context, m *flow.Message) {
		if err := m.Reply(ctx, map[string]any{"type": "echo", "of": m.Type, "message": m.Body}); err != nil {
			t.Error(err)
		}
	}
}

func TestFlow_Handlers(t *testing.T) {
	m := newManager(t)
	f := flow.New(m.path)
	f.Handle("", echo(t))
	f.Handle("empty", func(ctx context.Context, m *flow.Message) {
		if err := m.Reply(ctx, struct{}{}); err != nil {
			t.Error(err)
		}
	})
	f.Handle("status", func(ctx context.Context, m *flow.Message) {
		if err := f.Event(ctx, "me", "saw", m.Body); err != nil {
			t.Error(err)
		}
	})
	run(t, f)
	conn := m.joined()
	m.says(conn, `{"type":"error"}`, `{"type":"pong"}`, `{"id":"1","type":"go","n":12345678901234567890}`, `{"id":"2","type":"empty"}`,
		`{"id":"3","type":7}`, `{"id":"4","Type":"lifecycle"}`, `{}`, `{"type":"status","status":{}}`)
	m.hears(conn, `{"reply_to":"1","type":"echo","of":"go","message":{"id":"1","type":"go","n":12345678901234567890}}`)
	m.hears(conn, `{"reply_to":"2"}`)
	m.hears(conn, `{"reply_to":"3","type":"echo","of":"","message":{"id":"3","type":7}}`)
	m.hears(conn, `{"reply_to":"4","type":"echo","of":"","message":{"id":"4","Type":"lifecycle"}}`)
	m.hears(conn, `{"reply_to":null,"type":"echo","of":"","message":{}}`)
	m.hears(conn, `{"type":"actor_event","actor":"me","event":"saw","data":{"type":"status","status":{}}}`)
}

// The manager may go and come: the flow connects again, says hello and that it is ready, and what waited is said then.
func TestFlow_Reconnects(t *testing.T) {
	m := newManager(t)
	f := flow.New(m.path)
	f.Handle("", echo(t))
	run(t, f)
	conn := m.joined()
	f.Ready()
	m.hears(conn, `{"type":"ready"}`)
	m.Close()
	conn.Close()
	said := make(chan error, 1)
	go func() { said <- f.Emit(t.Context(), map[string]int{"n": 1}) }()
	m.listen()
	conn = m.joined(`{"type":"ready"}`)
	if err := <-said; err == nil { // else it was on its way when the connection ended
		m.hears(conn, `{"n":1}`)
	}
	m.says(conn, `{"id":"1"}`)
	m.hears(conn, `{"reply_to":"1","type":"echo","of":"","message":{"id":"1"}}`)
	for _, end := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x01x"} { // a manager that is no manager
		if _, err := io.WriteString(conn, end); err != nil {
			t.Fatal(err)
		}
		conn = m.joined(`{"type":"ready"}`)
	}
}

// A handler that takes long does not hold up what the manager is about to do.
func TestFlow_Lifecycle(t *testing.T) {
	m := newManager(t)
	f := flow.New(m.path)
	told := make(chan string, 1)
	f.OnLifecycle(func(event string, grace time.Duration) { told <- fmt.Sprint(event, " ", grace) })
	f.Handle("long", func(ctx context.Context, _ *flow.Message) { <-ctx.Done() })
	run(t, f)
	conn := m.joined()
	m.says(conn, `{"type":"long"}`, `{"type":"long"}`, `{"type":"lifecycle","event":"stopping","grace_seconds":7}`)
	select {
	case got := <-told:
		if got != "stopping 7s" {
			t.Errorf("told %s", got)
		}
	case <-time.After(patience):
		t.Error("it was not told")
	}
}

func TestFlow_Emit_Err(t *testing.T) {
	f := flow.New(filepath.Join(t.TempDir(), "nobody"))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := f.Emit(ctx, struct{}{}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody is there: %v", err)
	}
	for name, v := range map[string]any{"no object": "text", "null": nil, "no JSON": make(chan int)} {
		if err := f.Emit(ctx, v); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := newManager(t)
	f = flow.New(m.path)
	run(t, f)
	conn := m.joined()
	if err := f.Emit(t.Context(), map[string]string{"long": strings.Repeat("x", 1<<20)}); err == nil {
		t.Error("a message that is too long was sent")
	}
	if err := f.Emit(t.Context(), map[string]bool{"ok": true}); err != nil {
		t.Error(err)
	}
	m.hears(conn, `{"ok":true}`)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

func TestClient_Request_OK(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		s.send("42[\"status_changed\",{}]")
		s.send(`43999[{"ok":false}]`) // nobody asked
		s.ack(r, `{"ok":true,"big":9007199254740993}`)
		s.ack(r, `{"ok":"again"}`)
		s.ack(r, `{"ok":"and again"}`)
	}
	c := dialFake(t, f)
	for range 3 {
		got, err := c.Request(soon(t), "ask", map[string]any{"html": "<&>", "n": json.RawMessage("1")})
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"ok":true,"big":9007199254740993}`; string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	want := map[string]any{"html": "<&>", "n": 1.0}
	for _, r := range f.seen() {
		if diff := cmp.Diff(want, r.Body); diff != "" {
			t.Error(diff)
		}
	}
}

func TestClient_Request_ErrFailure(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		s.ack(r, `{"error":true,"error_type":"validation_error","message":"name: x; image: y","request_id":"q",
			"details":{"operation":"ask","fields":[{"field":"name","message":"x"},{"field":"image","message":"y"}]}}`)
	}
	c := dialFake(t, f)
	_, err := c.Request(soon(t), "ask", nil)
	got, ok := errors.AsType[*Failure](err)
	if !ok {
		t.Fatalf("got %v, want a Failure", err)
	}
	fields := []api.FieldError{{Field: "name", Message: "x"}, {Field: "image", Message: "y"}}
	if diff := cmp.Diff(fields, got.fields()); diff != "" {
		t.Error(diff)
	}
	if got.Type != api.ValidationError || got.RequestID != "q" || got.Error() != "name: x; image: y (validation_error)" {
		t.Errorf("got %+v", got)
	}
}

func TestClient_Request_ErrUnreadable(t *testing.T) {
	tests := map[string]struct{ packet, want string }{
		"no object":     {`43%s[7]`, `the server sent something that is not Socket.IO: answer "7"`},
		"empty":         {`43%s[]`, `the server sent something that is not Socket.IO: acknowledgement "1[]"`},
		"no id":         {`43[{}]`, `the server sent something that is not Socket.IO: acknowledgement "[{}]"`},
		"no array":      {`43%s{}`, `the server sent something that is not Socket.IO: acknowledgement "1{}"`},
		"event":         {`42{"a":1}`, "the server sent something that is not Socket.IO: event \"{\\\"a\\\":1}\""},
		"event's name":  {`42[7]`, `the server sent something that is not Socket.IO: event "[7]"`},
		"attachments":   {`451-["a",{"_placeholder":true,"num":0}]`, "the server sent something that is not Socket.IO: message \"51-[\\\"a\\\",{\\\"_placeholder\\\":true,\\\"num\\\":0}]\""},
		"joined twice":  {`40{"sid":"y"}`, "the server sent something that is not Socket.IO: it accepted the session twice"},
		"odd error":     {`43%s[{"error":true}]`, `the server told an error that cannot be read: {"error":true}`},
		"session ended": {`41`, "SERVER ended the session"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on["ask"] = func(s *session, r request) { s.send(strings.ReplaceAll(tt.packet, "%s", r.ack)) }
			c := dialFake(t, f)
			_, err := c.Request(soon(t), "ask", nil)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(err.Error(), f.url, "SERVER")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The server says why before it cuts a session off; the client repeats it.
func TestClient_Request_ErrDisconnected(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		s.send(`42["error",{"error":true,"error_type":"rate_limit_error","message":"too much"}]`)
		s.send(`42["error",{"error":true,"error_type":"system_error","message":"another's","request_id":"q"}]`)
		s.send("41")
	}
	c := dialFake(t, f)
	_, err := c.Request(soon(t), "ask", nil)
	if want := f.url + " ended the session: too much (rate_limit_error)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, again := c.Request(soon(t), "ask", nil); again == nil || again.Error() != err.Error() {
		t.Errorf("later: %v, want the same", again)
	}
}

func TestClient_Close_Waits(t *testing.T) {
	f := newFake(t)
	for range 100 {
		c := dialFake(t, f)
		c.Close()
		select {
		case <-c.ended:
		default:
			t.Fatal("the reader outlives Close")
		}
	}
}

func TestClient_Request_ErrBinary(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		_ = s.conn.WriteMessage(websocket.BinaryMessage, []byte("43"+r.ack+"[{}]"))
	}
	c := dialFake(t, f)
	if _, err := c.Request(soon(t), "ask", nil); !errors.Is(err, errMalformed) {
		t.Errorf("got %v", err)
	}
}

// What the server answers before it closes counts, whoever looks first.
func TestClient_Request_AnsweredAndClosed(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) { s.ack(r, `{}`); s.send("41") }
	for range 50 {
		c := dialFake(t, f)
		if _, err := c.Request(soon(t), "ask", nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClient_Request_ErrTooLarge(t *testing.T) {
	t.Run("out", func(t *testing.T) {
		c := dialFake(t, newFake(t))
		_, err := c.Request(soon(t), "ask", strings.Repeat("x", maxOut))
		if err == nil || !strings.Contains(err.Error(), "may have 524288") {
			t.Errorf("got %v", err)
		}
	})
	for size, ok := range map[int]bool{maxIn - 100: true, maxIn + 1: false} {
		t.Run(fmt.Sprintf("in %d", size), func(t *testing.T) {
			f := newFake(t)
			f.on["ask"] = func(s *session, r request) { s.ack(r, `{"x":"`+strings.Repeat("x", size)+`"}`) }
			c := dialFake(t, f)
			_, err := c.Request(soon(t), "ask", nil)
			if ok != (err == nil) || (err != nil && !strings.Contains(err.Error(), "more than 4194304 bytes")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A write that the server does not read is given up with its context.
func TestClient_Request_Cancelled(t *testing.T) {
	f := newFake(t)
	reached, deaf := make(chan struct{}), make(chan struct{})
	f.on["ask"] = func(*session, request) {
		select {
		case <-deaf:
		default:
			close(reached)
			<-deaf
		}
	}
	c := dialFake(t, f)
	gone := errors.New("no longer wanted")
	ctx, cancel := context.WithCancelCause(soon(t))
	body := map[string]string{"x": strings.Repeat("x", maxOut-100)}
	var stuck sync.WaitGroup
	for range 40 { // more than the system buffers
		stuck.Go(func() {
			if _, err := c.Request(ctx, "ask", body); !errors.Is(err, gone) {
				t.Errorf("got %v, want the cause", err)
			}
		})
	}
	<-reached
	begun := time.Now()
	cancel(gone)
	stuck.Wait()
	if took := time.Since(begun); took > writeTimeout/2 {
		t.Errorf("it took %s to give up", took)
	}
	close(deaf)
}

func TestClient_Await(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		other := request{Body: map[string]any{"request_id": "other"}}
		s.answer(other, "done", `"n":0`)
		s.answer(other, "error", `"message":"not yours"`)
		s.answer(r, "progress", `"n":1`)
		s.send(`42["done",7]`)
		s.send(`42["done"]`)
		s.send(`425["done",{"request_id":"mine","n":2}]`)
		s.answer(r, "done", `"n":3`)
		s.ack(r, `{}`)
	}
	c := dialFake(t, f)
	got := c.Expect("mine", "done")
	if _, err := c.Request(soon(t), "ask", map[string]string{"request_id": "mine"}); err != nil {
		t.Fatal(err)
	}
	e, err := c.Await(soon(t), got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Event{"done", json.RawMessage(`{"request_id":"mine","n":2}`)}, e); diff != "" {
		t.Error(diff)
	}
}

func TestClient_Await_Order(t *testing.T) {
	const count = 500
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		for i := range count {
			s.answer(r, "tick", fmt.Sprintf(`"n":%d`, i))
		}
		s.answer(r, "error", `"error_type":"system_error","message":"last"`)
		s.ack(r, `{}`)
	}
	c := dialFake(t, f)
	first, last := c.Expect("q", "tick"), c.Expect("r", "tick")
	if _, err := c.Request(soon(t), "ask", map[string]string{"request_id": "q"}); err != nil {
		t.Fatal(err)
	}
	e, err := c.Await(soon(t), first)
	if err != nil || string(e.Data) != `{"request_id":"q","n":0}` {
		t.Errorf("got %s, %v: not the first", e.Data, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Await(ctx, last); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v: r had no answer", err)
	}
}

func TestClient_Await_ErrFailure(t *testing.T) {
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		s.ack(r, `{}`)
		s.answer(r, "error", `"error_type":"image_not_found","message":"there is no image x"`)
		s.answer(r, "done", `"n":1`)
	}
	c := dialFake(t, f)
	got := c.Expect("q", "done")
	if _, err := c.Request(soon(t), "ask", map[string]string{"request_id": "q"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Await(soon(t), got)
	if failure, ok := errors.AsType[*Failure](err); !ok || failure.Type != api.ImageNotFound {
		t.Errorf("got %v", err)
	}
}

func TestClient_Ping(t *testing.T) {
	f := newFake(t)
	pongs := make(chan string, 10)
	f.packet = func(s *session, packet string) {
		pongs <- packet
		if len(pongs) < 3 {
			s.send("2")
		}
	}
	f.on["ask"] = func(s *session, r request) { s.send("6"); s.send("2") }
	c := dialFake(t, f)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = c.Request(ctx, "ask", nil) // is never answered
	}()
	for range 3 {
		if packet := <-pongs; packet != "3" {
			t.Errorf("a ping is answered by %q", packet)
		}
	}
	cancel()
	<-asked
}

func TestClient_ErrSilence(t *testing.T) {
	f := newFake(t)
	f.open = `{"sid":"s","pingInterval":60,"pingTimeout":40}`
	f.on["ask"] = func(s *session, r request) { s.send("6") }
	c := dialFake(t, f)
	_, err := c.Request(soon(t), "ask", nil)
	if want := f.url + " fell silent: no ping within 100ms"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Pings keep a session alive that is longer than the silence that ends it.
func TestClient_PingRenews(t *testing.T) {
	f := newFake(t)
	f.open = `{"sid":"s","pingInterval":200,"pingTimeout":200}`
	const pings = 8
	seen := 0
	f.on["ask"] = func(s *session, r request) {
		f.packet = func(*session, string) {
			if seen++; seen == pings {
				s.ack(r, `{}`)
			}
		}
		beat(t, s, pings)
	}
	c := dialFake(t, f)
	if _, err := c.Request(soon(t), "ask", nil); err != nil {
		t.Errorf("after %d pings: %v", seen, err)
	}
}

func TestClient_Close(t *testing.T) {
	f := newFake(t)
	goodbye := make(chan string, 10)
	f.packet = func(_ *session, packet string) { goodbye <- packet }
	c := dialFake(t, f)
	c.Close()
	c.Close()
	if packet := <-goodbye; packet != "41" {
		t.Errorf("the last packet is %q", packet)
	}
	if _, err := c.Request(soon(t), "ask", nil); err == nil {
		t.Error("a closed client takes requests")
	}
}

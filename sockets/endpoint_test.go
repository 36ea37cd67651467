package sockets

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

func TestEndpoint_Hear(t *testing.T) {
	tests := map[string]struct{ say, want []string }{
		"Message":         {[]string{`{"type":"x"}`, `{}`, `{"type":7}`}, []string{`message {"type":"x"}`, `message {}`, `message {"type":7}`}},
		"Ready":           {[]string{`{"type":"ready"}`}, []string{"ready"}},
		"Heartbeat":       {[]string{`{"type":"heartbeat"}`}, []string{"heartbeat"}},
		"Consumed":        {[]string{`{"type":"hello"}`, `{"type":"ready"}`}, []string{"ready"}},
		"UnknownReply":    {[]string{`{"reply_to":"x"}`}, []string{`message {"reply_to":"x"}`}},
		"ActorEvent":      {[]string{`{"type":"actor_event","actor":"a","event":"e","data":{"n":1}}`}, []string{`message {"type":"actor_event","actor":"a","event":"e","data":{"n":1}}`, `actor a e {"n":1}`}},
		"ActorEvent/Bare": {[]string{`{"type":"actor_event","actor":"a","event":"e"}`}, []string{`message {"type":"actor_event","actor":"a","event":"e"}`, "actor a e "}},
		"ActorEvent/Bad":  {[]string{`{"type":"actor_event","actor":"a"}`}, []string{`message {"type":"actor_event","actor":"a"}`, "fault message_format_error map[]"}},
		"NoObject":        {[]string{`[]`, `{}`}, []string{"fault message_format_error map[]", "message {}"}},
		"Nothing":         {[]string{``, `{}`}, []string{"fault message_format_error map[]", "message {}"}},
		"NotUTF8":         {[]string{"{\"a\":\"\xff\"}", `{}`}, []string{"fault message_format_error map[]", "message {}"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, id, heard := newBubble(t, Config{})
				f := pipe(t, h, id)
				f.send(tt.say...)
				heard.expect(t, "connection true")
				heard.expect(t, tt.want...)
				f.handshake()
				if len(heard) > 0 {
					t.Errorf("watcher also heard %q", <-heard)
				}
			})
		})
	}
}

func TestEndpoint_Ping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		f := pipe(t, h, id)
		f.send(`{"type":"ping"}`)
		f.expect(`{"type":"pong"}`)
		f.send(`{"type":"ping","id":[1]}`)
		f.expect(`{"type":"pong","reply_to":[1]}`)
	})
}

// A flow that asks without end and never reads fills nothing but its own connection.
func TestEndpoint_Ping_NeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		begin, pings := time.Now(), 0
		ping := frame([]byte(`{"type":"ping"}`))
		for {
			if _, err := f.Write(ping); err != nil {
				break
			}
			pings++
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("the connection ended after %v, want the write timeout", took)
		}
		if most := 2*maxAnswers + 4096/len(ping); pings > most {
			t.Errorf("%d pings were read, want at most %d", pings, most)
		}
		heard.expect(t, "connection true", "fault socket_error map[]", "connection false")
	})
}

func TestEndpoint_FrameTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		time.Sleep(time.Hour) // silence between frames is no fault
		f.send(`{}`)
		heard.expect(t, "connection true", "message {}")
		time.Sleep(time.Hour)
		begin := time.Now()
		f.sendBytes([]byte("\x00\x00\x00\x02{"))
		heard.expect(t, "fault socket_error map[]", "connection false")
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("half a frame was waited for %v, want 30s", took)
		}
		f.expectEnd()
	})
}

func TestEndpoint_WriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		begin := time.Now()
		tellStatus(h, id, `{}`)
		heard.expect(t, "connection true", "fault socket_error map[]", "connection false")
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("the flow had %v to read, want 10s", took)
		}
		f.expectEnd()
	})
}

func TestEndpoint_TooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{MaxFrame: 100})
		f := pipe(t, h, id)
		f.send(`{}`)
		f.sendBytes([]byte{0, 0, 0, 101})
		got := f.next()
		if field(t, got, "type") != "error" || field(t, got, "error_type") != "message_format_error" {
			t.Errorf("flow heard %s, want an error frame", got)
		}
		f.expectEnd()
		heard.expect(t, "connection true", "message {}", "fault message_format_error map[]", "connection false")
	})
}

func TestEndpoint_Fault_OncePerMinuteAndType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		f.send("1", "2", "3")
		time.Sleep(59 * time.Second)
		f.send("4", `{}`)
		time.Sleep(time.Second)
		f.send("5", "6")
		f.sendBytes([]byte{0})
		synctest.Wait()
		f.Close()
		heard.expect(t, "connection true", "fault message_format_error map[]", "message {}",
			"fault message_format_error map[suppressed:3]", "fault socket_error map[]", "connection false")
	})
}

func TestEndpoint_Lost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		f.handshake()
		f.Close() // nothing is pending: no fault
		heard.expect(t, "connection true", "connection false")
		f = pipe(t, h, id)
		tellStatus(h, id, `{}`)
		synctest.Wait()
		f.Close() // ends while it is told its status: no fault either
		heard.expect(t, "connection true", "connection false")
	})
}

func TestEndpoint_Target(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		flows := []flow{pipe(t, h, id), pipe(t, h, id), pipe(t, h, id)}
		goesTo := func(want int) {
			t.Helper()
			done := send(t.Context(), h, id, `{}`, SendOptions{})
			flows[want].next()
			succeeds(t, done)
		}
		goesTo(0)
		flows[2].send(`{"type":"hello"}`)
		flows[2].handshake()
		goesTo(2)
		flows[1].send(`{"type":"hello"}`)
		flows[1].handshake()
		goesTo(1)
		flows[2].send(`{"type":"hello"}`)
		flows[2].handshake()
		goesTo(2)
		flows[2].Close()
		synctest.Wait()
		goesTo(1)
		flows[1].Close()
		synctest.Wait()
		goesTo(0)
	})
}

// A message that waits for a connection that does not read goes to the one that says hello.
func TestEndpoint_Target_Moves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		old, fresh := pipe(t, h, id), pipe(t, h, id)
		first := send(t.Context(), h, id, `{"n":"1"}`, SendOptions{})
		synctest.Wait()
		second := send(t.Context(), h, id, `{"n":"2"}`, SendOptions{})
		fresh.send(`{"type":"hello"}`)
		fresh.handshake()
		time.Sleep(10 * time.Second)
		for i, done := range []<-chan answered{first, second} {
			if got, want := field(t, fresh.next(), "n"), fmt.Sprint(i+1); got != want {
				t.Fatalf("flow got message %s, want %s", got, want)
			}
			succeeds(t, done)
		}
		old.expectEnd()
	})
}

// A message whose connection is lost while it is written goes to the one that is left.
func TestEndpoint_Target_Lost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		old, left := pipe(t, h, id), pipe(t, h, id)
		done := send(t.Context(), h, id, `{"n":"1"}`, SendOptions{})
		time.Sleep(10 * time.Second)
		if got := field(t, left.next(), "n"); got != "1" {
			t.Errorf("flow got %q", got)
		}
		succeeds(t, done)
		old.expectEnd()
	})
}

// Whichever connection wakes first, only the target takes a message, and a new target is woken for what waits.
func TestEndpoint_Target_Take(t *testing.T) {
	h, id, _ := newBubble(t, Config{})
	e := h.endpoints[id]
	oldest, other := newConn(e, nil), newConn(e, nil)
	e.conns = []*conn{oldest, other}
	defer func() { e.conns = nil }()
	r, _ := newRequest([]byte(`{}`), false, 100)
	r.done = func(outcome) {}
	if err := e.enqueue(t.Context(), r, time.Hour); err != nil {
		t.Fatal(err)
	}
	e.makeTarget(other)
	if len(other.wake) == 0 {
		t.Error("the new target sleeps")
	}
	if e.nextRequest(oldest) != nil {
		t.Error("another than the target took the message")
	}
	if e.nextRequest(other) != r {
		t.Error("the target did not get the message")
	}
}

func TestEndpoint_Notices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		tellStatus(h, id, `0`)
		f := pipe(t, h, id)
		f.expect(`{"type":"status","status":0}`)
		tellStatus(h, id, `1`)
		synctest.Wait() // it is being written: too late to be superseded
		for i := range 1000 {
			tellStatus(h, id, fmt.Sprint(i))
			h.Lifecycle(id, "stopping", i)
		}
		h.Lifecycle(id, "updating", 7)
		done := send(t.Context(), h, id, `{"n":"1"}`, SendOptions{})
		synctest.Wait()
		f.expect(`{"type":"status","status":1}`, `{"type":"status","status":999}`,
			`{"type":"lifecycle","event":"stopping","grace_seconds":999}`,
			`{"type":"lifecycle","event":"updating","grace_seconds":7}`)
		f.next()
		succeeds(t, done)
		pipe(t, h, id).expect(`{"type":"status","status":999}`)
	})
}

func TestEndpoint_Facts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		is := func(want Facts) {
			t.Helper()
			if got := h.Facts(id); got != want {
				t.Errorf("facts %+v, want %+v", got, want)
			}
		}
		is(Facts{})
		f := pipe(t, h, id)
		is(Facts{Connected: true})
		time.Sleep(time.Second)
		f.send(`{}`, `{"type":"heartbeat"}`, `no object`)
		heard.expect(t, "connection true", "message {}", "heartbeat", "fault message_format_error map[]")
		received := time.Now()
		is(Facts{Connected: true, LastCommunication: received, LastReceived: received, Received: 2})
		time.Sleep(time.Second)
		done := send(t.Context(), h, id, `{}`, SendOptions{})
		f.next()
		succeeds(t, done)
		is(Facts{Connected: true, LastCommunication: time.Now(), LastReceived: received, Received: 2, Sent: 1})
		sent := time.Now()
		time.Sleep(time.Second)
		tellStatus(h, id, `{}`)
		f.next()
		f.Close()
		heard.expect(t, "connection false")
		is(Facts{LastCommunication: sent, LastReceived: received, Received: 2, Sent: 1})
	})
}

// flakyListener fails, then has one connection, then is closed.
type flakyListener struct {
	net.Listener
	errs  []error
	conns chan net.Conn
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = slices.Delete(l.errs, 0, 1)
		return nil, err
	}
	if nc, ok := <-l.conns; ok {
		return nc, nil
	}
	return nil, net.ErrClosed
}

func TestEndpoint_Accept_GoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		ours, theirs := net.Pipe()
		defer theirs.Close()
		l := &flakyListener{errs: []error{errors.New("no more files"), errors.New("no more files")}, conns: make(chan net.Conn, 1)}
		l.conns <- ours
		e, begin := h.endpoints[id], time.Now()
		e.tasks.Go(func() { e.accept(l) })
		heard.expect(t, "connection true")
		if took := time.Since(begin); took != 2*acceptPause {
			t.Errorf("connected after %v, want %v", took, 2*acceptPause)
		}
		close(l.conns)
	})
}

func TestEndpoint_Accept_EndsWhilePausing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		e := h.endpoints[id]
		e.tasks.Go(func() { e.accept(&flakyListener{errs: slices.Repeat([]error{errors.New("no more files")}, 100)}) })
		synctest.Wait()
		begin := time.Now()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

// A connection that was accepted while the socket was closed is not left hanging.
func TestEndpoint_Admit_Closed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		e := h.endpoints[id]
		if err := h.Remove(id); err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		e.register(ours)
		flow{t, theirs}.expectEnd()
		if len(heard) > 0 {
			t.Errorf("watcher heard %q", <-heard)
		}
	})
}

// What we end ourselves is no fault of the flow's.
func TestEndpoint_Shut_IsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		pipe(t, h, id)
		done := send(t.Context(), h, id, `{}`, SendOptions{})
		synctest.Wait()
		if err := h.Remove(id); err != nil {
			t.Fatal(err)
		}
		fails(t, done, api.SocketConnectionError, "unknown")
		heard.expect(t, "connection true", "connection false")
	})
}

// A flow that broke the rules and does not read the error holds nobody up who closes the hub.
func TestEndpoint_Shut_DoesNotWaitForAFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		f.sendBytes([]byte{255, 0, 0, 0})
		heard.expect(t, "connection true", "fault message_format_error map[]", "connection false")
		begin := time.Now()
		if err := h.Remove(id); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("removing took %v", took)
		}
	})
}

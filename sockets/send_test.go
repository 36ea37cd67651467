package sockets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
)

func TestHub_Send(t *testing.T) {
	t.Run("OK/OrderOfWaiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{})
			var sent []<-chan answered
			for i := range 100 {
				sent = append(sent, send(t.Context(), h, id, fmt.Sprintf(`{"n":"%d"}`, i), SendOptions{}))
				synctest.Wait()
			}
			f := pipe(t, h, id)
			for i := range 100 {
				if got, want := field(t, f.next(), "n"), fmt.Sprint(i); got != want {
					t.Fatalf("flow got message %s, want %s", got, want)
				}
				succeeds(t, sent[i])
			}
		})
	})
	t.Run("OK/SentOnlyWhenWhole", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{})
			f := pipe(t, h, id)
			done := send(t.Context(), h, id, `{"n":1}`, SendOptions{})
			if _, err := f.Read(make([]byte, headerSize+1)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(done) > 0 {
				t.Fatal("Send returned with its frame half written")
			}
			if _, err := f.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			succeeds(t, done)
		})
	})
	t.Run("OK/CutOffIsWrittenAgainFirst", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, heard := newBubble(t, Config{})
			f := pipe(t, h, id)
			first := send(t.Context(), h, id, `{"n":"1"}`, SendOptions{})
			synctest.Wait()
			second := send(t.Context(), h, id, `{"n":"2"}`, SendOptions{})
			if _, err := f.Read(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			f.Close()
			heard.expect(t, "connection true", "fault socket_error map[]", "connection false")
			f = pipe(t, h, id)
			for i, done := range []<-chan answered{first, second} {
				if got, want := field(t, f.next(), "n"), fmt.Sprint(i+1); got != want {
					t.Fatalf("flow got message %s, want %s", got, want)
				}
				succeeds(t, done)
			}
		})
	})
	t.Run("ErrConnection/EachInItsOwnTime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{})
			begin := time.Now()
			long := send(t.Context(), h, id, `{"n":"long"}`, SendOptions{Timeout: time.Minute})
			synctest.Wait()
			usual := send(t.Context(), h, id, `{}`, SendOptions{})
			short := send(t.Context(), h, id, `{}`, SendOptions{Timeout: 2 * time.Second})
			fails(t, short, api.SocketConnectionError, "not_sent")
			if took := time.Since(begin); took != 2*time.Second {
				t.Fatalf("took %v, want 2s", took)
			}
			fails(t, usual, api.SocketConnectionError, "not_sent")
			if took := time.Since(begin); took != defaultSendTimeout {
				t.Fatalf("took %v, want %v", took, defaultSendTimeout)
			}
			f := pipe(t, h, id)
			if got := field(t, f.next(), "n"); got != "long" {
				t.Fatalf("flow got %q, want the message that still waited", got)
			}
			succeeds(t, long)
		})
	})
	t.Run("ErrTimeout/NotTaken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{WriteTimeout: time.Hour})
			f := pipe(t, h, id)
			stuck := send(t.Context(), h, id, `{"n":"1"}`, SendOptions{Timeout: time.Second})
			synctest.Wait()
			behind := send(t.Context(), h, id, `{"n":"2"}`, SendOptions{Timeout: 2 * time.Second})
			fails(t, stuck, api.SocketTimeoutError, "unknown")
			fails(t, behind, api.SocketTimeoutError, "not_sent")
			third := send(t.Context(), h, id, `{"n":"3"}`, SendOptions{})
			for _, want := range []string{"1", "3"} {
				if got := field(t, f.next(), "n"); got != want {
					t.Fatalf("flow got %s, want %s", got, want)
				}
			}
			succeeds(t, third)
		})
	})
	t.Run("ErrTimeout/GivenUpAndCutOffIsNotWrittenAgain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{WriteTimeout: time.Hour})
			f := pipe(t, h, id)
			stuck := send(t.Context(), h, id, `{"n":"1"}`, SendOptions{Timeout: time.Second})
			fails(t, stuck, api.SocketTimeoutError, "unknown")
			f.Close()
			synctest.Wait()
			f = pipe(t, h, id)
			second := send(t.Context(), h, id, `{"n":"2"}`, SendOptions{})
			if got := field(t, f.next(), "n"); got != "2" {
				t.Fatalf("flow got %s, want 2", got)
			}
			succeeds(t, second)
		})
	})
	t.Run("ErrTimeout/NoReply", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, heard := newBubble(t, Config{})
			f := pipe(t, h, id)
			done := send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second, ExpectReply: true})
			asked := field(t, f.next(), "id")
			fails(t, done, api.SocketTimeoutError, "sent")
			late := `{"reply_to":"` + asked + `"}`
			f.send(late)
			heard.expect(t, "connection true", "message "+late)
		})
	})
	t.Run("ErrTimeout/Cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{})
			ctx, cancel := context.WithCancel(t.Context())
			done := send(ctx, h, id, `{}`, SendOptions{})
			synctest.Wait()
			cancel()
			a := receive(t, done)
			if !errors.Is(a.err, context.Canceled) || !strings.HasSuffix(a.err.Message, "before the request was cancelled") {
				t.Fatalf("Send: %v, want the cancellation", a.err)
			}
			if n := len(h.endpoints[id].pending.queue); n != 0 {
				t.Fatalf("%d messages wait, want none", n)
			}
		})
	})
	t.Run("ErrRateLimit/Count", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{})
			for range 8192 {
				send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second})
			}
			synctest.Wait()
			fails(t, send(t.Context(), h, id, `{}`, SendOptions{}), api.RateLimitError, nil)
			time.Sleep(time.Second)
			synctest.Wait()
			fails(t, send(t.Context(), h, id, `{}`, SendOptions{Timeout: 1}), api.SocketConnectionError, "not_sent")
		})
	})
	t.Run("ErrRateLimit/Bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, id, _ := newBubble(t, Config{})
			big := `{"a":"` + strings.Repeat("x", 1<<20-100) + `"}`
			for range 4 {
				send(t.Context(), h, id, big, SendOptions{Timeout: time.Second})
			}
			synctest.Wait()
			fails(t, send(t.Context(), h, id, big, SendOptions{}), api.RateLimitError, nil)
			time.Sleep(time.Second)
		})
	})
	t.Run("ErrNoSocket", func(t *testing.T) {
		h, _, _ := newBubble(t, Config{})
		fails(t, send(t.Context(), h, xid.New().String(), `{}`, SendOptions{}), api.SocketConnectionError, "not_sent")
	})
	t.Run("ErrValidation", func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		fails(t, send(t.Context(), h, id, `{"type":"status"}`, SendOptions{}), api.ValidationError, nil)
	})
	t.Run("ErrConnection/Closed", func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		fails(t, send(t.Context(), h, id, `{}`, SendOptions{}), api.SocketConnectionError, "not_sent")
	})
}

// A Send that found the socket just before it was removed is told, and does not wait for nobody.
func TestEndpoint_Enqueue_ErrClosed(t *testing.T) {
	h, id, _ := newBubble(t, Config{})
	e := h.endpoints[id]
	if err := h.Remove(id); err != nil {
		t.Fatal(err)
	}
	r, _ := newRequest([]byte(`{}`), false, 100)
	if err := e.enqueue(t.Context(), r, time.Hour); err == nil || err.Type != api.SocketConnectionError {
		t.Errorf("err = %v, want a socket_connection_error", err)
	}
}

// A message that is written at the moment its time is up was sent.
func TestEndpoint_Expire_Settled(t *testing.T) {
	h, id, _ := newBubble(t, Config{})
	r, _ := newRequest([]byte(`{}`), false, 100)
	settled := 0
	r.done = func(outcome) { settled++ }
	r.settle(nil, nil)
	if h.endpoints[id].expire(r, context.DeadlineExceeded); settled != 1 || h.endpoints[id].outage {
		t.Errorf("settled %d times; an outage: %v", settled, h.endpoints[id].outage)
	}
}

func TestHub_Send_Reply(t *testing.T) {
	tests := map[string]struct{ message, reply, want string }{
		"OK/String":       {`{"id":"mine"}`, `{"type":"sum","reply_to":"%s","n":3}`, `{"reply_to":"mine","type":"sum","n":3}`},
		"OK/AnyValue":     {`{"id":{"a":[1]}}`, `{"reply_to":"%s"}`, `{"reply_to":{"a":[1]}}`},
		"OK/NoID":         {`{}`, `{"n":3,"reply_to":"%s"}`, `{"n":3}`},
		"OK/ReservedType": {`{}`, `{"type":"ready","reply_to":"%s"}`, `{"type":"ready"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, id, heard := newBubble(t, Config{})
				f := pipe(t, h, id)
				done := send(t.Context(), h, id, tt.message, SendOptions{ExpectReply: true})
				reply := fmt.Sprintf(tt.reply, field(t, f.next(), "id"))
				f.send(reply)
				if got := succeeds(t, done); got != tt.want {
					t.Errorf("reply %s, want %s", got, tt.want)
				}
				f.send(`{"type":"heartbeat"}`)
				heard.expect(t, "connection true", "heartbeat")
			})
		})
	}
}

func TestHub_Send_SecondReplyIsAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		done := send(t.Context(), h, id, `{}`, SendOptions{ExpectReply: true})
		reply := `{"reply_to":"` + field(t, f.next(), "id") + `"}`
		f.send(reply, reply)
		succeeds(t, done)
		heard.expect(t, "connection true", "message "+reply)
	})
}

func TestHub_Send_UnaskedReplyIsAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		done := send(t.Context(), h, id, `{}`, SendOptions{})
		reply := `{"reply_to":"` + field(t, f.next(), "id") + `"}`
		f.send(reply)
		succeeds(t, done)
		heard.expect(t, "connection true", "message "+reply)
	})
}

// A reply may come on another connection than the message went to: the flow may have reconnected meanwhile.
func TestHub_Send_ReplyAfterReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		done := send(t.Context(), h, id, `{}`, SendOptions{ExpectReply: true})
		asked := field(t, f.next(), "id")
		synctest.Wait()
		f.Close()
		heard.expect(t, "connection true", "fault socket_error map[]", "connection false")
		pipe(t, h, id).send(`{"n":1,"reply_to":"` + asked + `"}`)
		if got := succeeds(t, done); got != `{"n":1}` {
			t.Errorf("reply %s", got)
		}
	})
}

// A container cannot answer in another's name.
func TestHub_Send_ReplyOfAnotherContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{})
		other := xid.New().String()
		h.endpoints[other] = newEndpoint(other, h)
		f := pipe(t, h, id)
		done := send(t.Context(), h, id, `{}`, SendOptions{Timeout: time.Second, ExpectReply: true})
		pipe(t, h, other).send(`{"reply_to":"` + field(t, f.next(), "id") + `"}`)
		fails(t, done, api.SocketTimeoutError, "sent")
	})
}

// Where there is no room, and the flow takes messages, its senders wait for it. Once it has not for a while they are refused, at once
// from the second on, until it does again.
func TestHub_Queue_WaitsForAFlowThatTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, _ := newBubble(t, Config{MaxWaiting: 4, WriteTimeout: time.Hour})
		f := pipe(t, h, id)
		queue := func() error {
			return h.Queue(t.Context(), id, json.RawMessage(`{}`), SendOptions{Timeout: time.Hour}, func(json.RawMessage, error) {})
		}
		const many, pace = 20, 200 * time.Millisecond
		go func() {
			for range many - 5 { // one is being written then, and four wait
				time.Sleep(pace)
				f.next()
			}
		}()
		begin := time.Now()
		for n := range many {
			if err := queue(); err != nil {
				t.Fatalf("message %d: %v", n, err)
			}
		}
		if took := time.Since(begin); took != (many-5)*pace {
			t.Errorf("%d messages to one who takes 5 a second were queued in %v", many, took)
		}
		for n, want := range []time.Duration{250 * time.Millisecond, 0} {
			begin = time.Now()
			wantType(t, queue(), api.RateLimitError)
			if took := time.Since(begin); took != want {
				t.Errorf("refusal %d took %v, want %v", n, took, want)
			}
		}
		f.next()
		synctest.Wait()
		if err := queue(); err != nil {
			t.Errorf("when one was taken: %v", err)
		}
	})
}

package socketio

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Request is one event from a client.
type Request struct {
	Event string
	// Data is the first argument as raw JSON of any type, nil if there was none.
	Data json.RawMessage
	// Args is how many arguments there were, the acknowledgement not counted.
	Args int

	session *Session
	ackID   string
	acked   atomic.Bool
	holds   atomic.Int32 // who still works on it
}

func newRequest(s *Session, p inbound) *Request {
	r := &Request{Event: p.event, Data: p.data, Args: p.args, session: s, ackID: p.ack}
	r.holds.Store(1) // Handle
	return r
}

// Hold keeps the request in flight when Handle returns before it is answered, until release is called, once. Its session
// has only so many in flight, and Shutdown waits for them.
func (r *Request) Hold() (release func()) {
	r.holds.Add(1)
	return r.release
}

func (r *Request) release() {
	if r.holds.Add(-1) == 0 {
		r.session.flight.end()
	}
}

// WantsAck is whether the client waits for an acknowledgement.
func (r *Request) WantsAck() bool { return r.ackID != "" }

// Ack answers the client's acknowledgement, the first time it is called, and does nothing if none was asked for. Any
// goroutine may call it, also after Handle has returned.
func (r *Request) Ack(body json.RawMessage) {
	if r.WantsAck() && r.acked.CompareAndSwap(false, true) {
		r.session.EmitEncoded(encodeAck(r.ackID, body))
	}
}

// AckWait is Ack for an answer that is long: it waits for room in the queue until ctx or the session ends.
func (r *Request) AckWait(ctx context.Context, body json.RawMessage) {
	if r.WantsAck() && r.acked.CompareAndSwap(false, true) {
		r.session.wait(ctx, encodeAck(r.ackID, body))
	}
}

// Fail answers with e, in the acknowledgement and as an error event.
func (r *Request) Fail(e *api.Error) {
	body := e.For(r.Event, "", "").Body(time.Now())
	r.Ack(body)
	r.session.Emit(api.ErrorEvent, body)
}

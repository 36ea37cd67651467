package session

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
	// Session is whose request it is.
	Session Session

	reply Reply
	acked atomic.Bool
	holds atomic.Int32 // who still works on it
}

// Reply is what a transport does for one request.
type Reply interface {
	// Wanted is whether the client waits for an acknowledgement.
	Wanted() bool
	// Send queues the acknowledgement and never blocks.
	Send(body json.RawMessage)
	// SendWait is Send for an answer that is long: it waits for room in the queue until ctx or the session ends.
	SendWait(ctx context.Context, body json.RawMessage)
	// Over is called when nobody holds the request any more.
	Over()
}

// NewRequest makes a request of so many arguments, of which data is the first. Its transport holds it while Handle runs.
func NewRequest(s Session, event string, data json.RawMessage, args int, reply Reply) *Request {
	return &Request{Event: event, Data: data, Args: args, Session: s, reply: reply}
}

// Hold keeps the request in flight when Handle returns before it is answered, until release is called, once. Its session
// has only so many in flight, and the end of the transport waits for them.
func (r *Request) Hold() (release func()) {
	r.holds.Add(1)
	return r.release
}

func (r *Request) release() {
	if r.holds.Add(-1) == 0 {
		r.reply.Over()
	}
}

// WantsAck is whether the client waits for an acknowledgement.
func (r *Request) WantsAck() bool { return r.reply.Wanted() }

// Ack answers the client's acknowledgement, the first time it is called, and does nothing if none was asked for. Any
// goroutine may call it, also after Handle has returned.
func (r *Request) Ack(body json.RawMessage) {
	if r.WantsAck() && r.acked.CompareAndSwap(false, true) {
		r.reply.Send(body)
	}
}

// AckWait is Ack for an answer that is long: it waits for room in the queue until ctx or the session ends.
func (r *Request) AckWait(ctx context.Context, body json.RawMessage) {
	if r.WantsAck() && r.acked.CompareAndSwap(false, true) {
		r.reply.SendWait(ctx, body)
	}
}

// Fail answers with e, in the acknowledgement and as an error event.
func (r *Request) Fail(e *api.Error) {
	body := e.For(r.Event, "", "").Body(time.Now())
	r.Ack(body)
	r.Session.Emit(api.ErrorEvent, body)
}

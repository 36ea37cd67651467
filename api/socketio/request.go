package socketio

import (
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
}

func newRequest(s *Session, p inbound) *Request {
	return &Request{Event: p.event, Data: p.data, Args: p.args, session: s, ackID: p.ack}
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

// Fail answers with e, in the acknowledgement and as an error event.
func (r *Request) Fail(e *api.Error) {
	body := e.For(r.Event, "", "").Body(time.Now())
	r.Ack(body)
	r.session.Emit("error", body)
}

// Packet is an event in the form in which it goes over the wire; many sessions may share it.
type Packet struct{ frame []byte }

// Encode makes the packet of an event with one argument, or none if body is empty.
func Encode(event string, body json.RawMessage) Packet {
	frame := make([]byte, 0, len(event)+len(body)+8)
	frame = append(append(frame, '2', '['), api.Encode(event)...)
	if len(body) > 0 {
		frame = append(frame, ',')
		frame = append(frame, body...)
	}
	return Packet{append(frame, ']')}
}

func encodeAck(id string, body json.RawMessage) Packet {
	frame := make([]byte, 0, len(id)+len(body)+4)
	frame = append(append(frame, '3'), id...)
	frame = append(append(frame, '['), body...)
	return Packet{append(frame, ']')}
}

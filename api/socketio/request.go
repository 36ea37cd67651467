package socketio

import (
	"context"
	"encoding/json"

	"github.com/flow-manager/flow-manager/api/session"
)

// reply is the way back of one request. ackID is "" where no acknowledgement is asked for.
type reply struct {
	session *Session
	ackID   string
}

func newRequest(s *Session, p inbound) *session.Request {
	return session.NewRequest(s, p.event, p.data, p.args, reply{s, p.ack})
}

// Wanted implements session.Reply, as do those that follow.
func (r reply) Wanted() bool { return r.ackID != "" }

func (r reply) Send(body json.RawMessage) { r.session.emit(encodeAck(r.ackID, body)) }

func (r reply) SendWait(ctx context.Context, body json.RawMessage) {
	r.session.wait(ctx, encodeAck(r.ackID, body))
}

func (r reply) Over() { r.session.inFlight.end() }

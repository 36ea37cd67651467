package server

import (
	"encoding/json"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
	"github.com/flow-manager/flow-manager/api/session"
)

// defaultMessageTimeout is in seconds.
const defaultMessageTimeout = 30.0

// sendMessage queues a message for a flow; the acknowledgement comes when it was written, or with the reply.
func (s *Server) sendMessage(c session.Session, r *session.Request) error {
	in := &api.MessageRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	timeout := defaultMessageTimeout
	if in.Timeout != nil {
		timeout = *in.Timeout
	}
	record, err := s.Store.Resolve(in.ContainerID)
	if err != nil {
		return err
	}
	resume := s.hold(r)
	settled := func(reply json.RawMessage, err error) {
		resume(func() { s.messageDone(c, r, in, record.ID, reply, err) })
	}
	err = s.Messenger.Queue(s.life, record.ID, in.Message, time.Duration(timeout*float64(time.Second)), in.ExpectReply, settled)
	if err != nil {
		settled(nil, err)
	}
	return nil
}

// messageDone answers r, whose message is through or will never be.
func (s *Server) messageDone(c session.Session, r *session.Request, in *api.MessageRequest, id string, reply json.RawMessage, err error) {
	if err != nil {
		s.refuse(r, api.AsError(err).For("", in.RequestID, id))
		return
	}
	s.acknowledgeSent(c, r, in, id, reply)
}

func (s *Server) acknowledgeSent(c session.Session, r *session.Request, in *api.MessageRequest, id string, reply json.RawMessage) {
	now := time.Now().UTC()
	ack := api.Encode(receipt{OK: true, ContainerID: id, Status: "sent", RequestID: in.RequestID})
	if reply != nil {
		ack = api.Merge(ack, rawjson.Object{rawjson.Pair("reply", reply)}.Encode())
	}
	body := api.Encode(receipt{ContainerID: id, Status: "sent", RequestID: in.RequestID, Timestamp: now})
	body = api.Merge(body, rawjson.Object{rawjson.Pair("message", in.Message)}.Encode())
	r.AckWait(c.Context(), ack)
	c.EmitWait(c.Context(), api.MessageSent, body)
	if reply != nil {
		c.EmitWait(c.Context(), api.MessageReceived, api.Received{ContainerID: id, Message: reply}.Event().Stamped(now, ""))
	}
}

// receipt tells of a message that was sent, less the message itself, which passes through unchanged.
type receipt struct {
	OK          bool      `json:"ok,omitempty"`
	ContainerID string    `json:"container_id"`
	Status      string    `json:"status"`
	RequestID   string    `json:"request_id,omitempty"`
	Timestamp   time.Time `json:"timestamp,omitzero"`
}

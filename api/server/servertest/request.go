package servertest

import (
	"context"
	"encoding/json"
)

// Request is one that a session has made. It is the session.Reply of what the server is given.
type Request struct {
	Event string

	session *Session
	wanted  bool
	ack     json.RawMessage // set before acked is closed
	acked   chan struct{}
	over    chan struct{}
}

// Ack is what the request was acknowledged by, nil while it was not.
func (q *Request) Ack() json.RawMessage {
	select {
	case <-q.acked:
		return q.ack
	default:
		return nil
	}
}

// Acked is closed when there is an acknowledgement. Of a request that wants none, or whose session has ended, it may never be.
func (q *Request) Acked() <-chan struct{} { return q.acked }

// Done is closed when nobody works on the request any more.
func (q *Request) Done() <-chan struct{} { return q.over }

// Wanted implements session.Reply, as do those that follow.
func (q *Request) Wanted() bool { return q.wanted }

func (q *Request) Send(body json.RawMessage) { q.session.put(Sent{Request: q, Body: body}) }

func (q *Request) SendWait(_ context.Context, body json.RawMessage) { q.Send(body) }

func (q *Request) Over() { close(q.over) }

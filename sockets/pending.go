package sockets

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// phase is how far a request has come.
type phase int

const (
	waiting       phase = iota // in the queue
	writing                    // being written, perhaps in part
	awaitingReply              // written whole, its reply is due
	settled                    // the caller has its answer, or has gone
)

// delivery says whether the flow has a message that came so far, in the words of the error's details.
func (p phase) delivery() string {
	switch p {
	case waiting:
		return "not_sent"
	case awaitingReply:
		return "sent"
	default:
		return "unknown"
	}
}

// request is a client's message on its way to the flow, and the caller that waits for it.
type request struct {
	id           string          // the manager's own, unique
	clientID     json.RawMessage // nil: the client gave none
	kind         string          // the message's type, for the tally
	frame        []byte          // nil once it was written whole: it may wait for its reply for long
	expectsReply bool
	done         func(outcome) // called once, with the endpoint's mutex held

	// The rest is guarded by the endpoint's mutex.
	phase   phase
	conn    *conn  // the connection it was last written to
	unwatch func() // ends what waits for the request's time to be up
}

type outcome struct {
	reply json.RawMessage
	err   error // an *api.Error
}

// newRequest takes a client's message and gives it the manager's own id.
func newRequest(message json.RawMessage, expectsReply bool, maxFrame int) (*request, *api.Error) {
	o, err := rawjson.Parse(message)
	if err != nil {
		return nil, invalid(err.Error())
	}
	if kind := reservedType(o); kind != "" {
		return nil, invalid("the type " + kind + " is reserved for the manager and the flow")
	}
	id := xid.New().String()
	f := frameOf(o.Replaced("id", rawjson.Quote(id)))
	if len(f)-headerSize > maxFrame {
		return nil, invalid("the message is longer than a frame may be")
	}
	// What outlives the message's body is copied out of it.
	return &request{
		id: id, clientID: bytes.Clone(o.Value("id")), kind: kindOf(o), frame: f, expectsReply: expectsReply,
	}, nil
}

// maxKind is how many bytes of a message's type are remembered.
const maxKind = 64

// kindOf is a message's type, as far as it is remembered.
func kindOf(o rawjson.Object) string {
	kind := o.Text("type")
	if len(kind) <= maxKind {
		return kind
	}
	return strings.ToValidUTF8(strings.Clone(kind[:maxKind]), "")
}

func invalid(problem string) *api.Error {
	return api.Invalid(api.FieldError{Field: "message", Message: problem})
}

// reservedType looks at every member called type: which one of several the flow would see depends on its parser.
func reservedType(o rawjson.Object) string {
	for _, m := range o {
		if !m.Is("type") {
			continue
		}
		switch kind := rawjson.Unquote(m.Value); kind {
		case "status", "lifecycle", "error", "ping", "pong", "hello", "ready", "heartbeat":
			return kind
		}
	}
	return ""
}

func (r *request) settle(reply json.RawMessage, err *api.Error) {
	r.settled()
	if err != nil {
		r.done(outcome{err: err})
		return
	}
	r.done(outcome{reply: reply})
}

func (r *request) settled() {
	r.phase = settled
	if r.unwatch != nil {
		r.unwatch()
	}
}

// pending holds a container's requests from Send until each is settled. It does not lock.
type pending struct {
	queue         []*request    // oldest first
	bytes         int           // of the frames in queue
	stuck         bool          // the flow did not take any for a while, and has not since
	taken         chan struct{} // closed when the flow has taken a message, or all were failed; nil while nobody waits for that
	writing       *request      // one at a time, whichever the connection, or a frame that is cut off could not keep its place
	awaitingReply map[string]*request
}

func newPending() pending {
	return pending{awaitingReply: map[string]*request{}}
}

// add queues r, unless that would make more than maxCount messages or maxBytes bytes.
func (p *pending) add(r *request, maxCount, maxBytes int) *api.Error {
	if len(p.queue) >= maxCount || p.bytes+len(r.frame) > maxBytes {
		return api.Errorf(api.RateLimitError, "%d messages (%d bytes) already wait for the flow; send again when it has taken some",
			len(p.queue), p.bytes)
	}
	p.queue = append(p.queue, r)
	p.bytes += len(r.frame)
	return nil
}

// nextTaken is closed when the flow has taken another message.
func (p *pending) nextTaken() <-chan struct{} {
	if p.taken == nil {
		p.taken = make(chan struct{})
	}
	return p.taken
}

func (p *pending) tellTaken() {
	p.stuck = false
	if p.taken != nil {
		close(p.taken)
		p.taken = nil
	}
}

// take gives the next request to write to c; nil where there is none or another is being written.
func (p *pending) take(c *conn) *request {
	if p.writing != nil || len(p.queue) == 0 {
		return nil
	}
	r := p.queue[0]
	p.queue[0] = nil
	if p.queue, p.bytes = p.queue[1:], p.bytes-len(r.frame); len(p.queue) == 0 {
		p.queue = nil // gives a burst's memory back
	}
	r.phase, r.conn = writing, c
	p.writing = r
	return r
}

// markWritten notes that the request being written is whole on the socket.
func (p *pending) markWritten() {
	r := p.writing
	p.writing = nil
	p.tellTaken()
	switch {
	case r.phase == settled: // its caller gave up, or the reply was faster than our own bookkeeping
	case r.expectsReply:
		r.phase, r.frame = awaitingReply, nil
		p.awaitingReply[r.id] = r
	default:
		r.settle(nil, nil)
	}
}

// requeue puts the request being written back to the head of the queue: the flow never saw it whole.
func (p *pending) requeue() {
	r := p.writing
	p.writing = nil
	if r.phase == settled {
		return
	}
	r.phase = waiting
	p.queue = slices.Insert(p.queue, 0, r)
	p.bytes += len(r.frame)
}

// reply completes the request called id with the flow's answer, and reports whether there was one that waits.
func (p *pending) reply(id string, answer rawjson.Object) bool {
	r := p.awaitingReply[id]
	if w := p.writing; r == nil && w != nil && w.id == id && w.expectsReply && w.phase == writing {
		r = w
	}
	if r == nil {
		return false
	}
	delete(p.awaitingReply, id)
	r.settle(answer.Replaced("reply_to", r.clientID).Encode(), nil)
	return true
}

// drop lets go of r, which has waited long enough, and tells how far it had come. Unless it was settled before, its caller is
// to be told.
func (p *pending) drop(r *request) phase {
	was := r.phase
	switch was {
	case waiting:
		p.unqueue(r)
	case awaitingReply:
		delete(p.awaitingReply, r.id)
	}
	r.settled()
	return was
}

// fail settles every request with err.
func (p *pending) fail(err *api.Error) {
	unsettled := slices.AppendSeq(slices.Clone(p.queue), maps.Values(p.awaitingReply))
	if p.writing != nil && p.writing.phase == writing {
		unsettled = append(unsettled, p.writing)
	}
	for _, r := range unsettled {
		r.settle(nil, err.With("delivery", r.phase.delivery()))
	}
	p.queue, p.bytes = nil, 0
	clear(p.awaitingReply)
	p.tellTaken()
}

// dependsOn counts the requests that were written, or are being written, to c and have no answer yet.
func (p *pending) dependsOn(c *conn) int {
	n := 0
	for _, r := range p.awaitingReply {
		if r.conn == c {
			n++
		}
	}
	if p.writing != nil && p.writing.conn == c {
		n++
	}
	return n
}

func (p *pending) unqueue(r *request) {
	if i := slices.Index(p.queue, r); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		p.bytes -= len(r.frame)
	}
}

package sockets

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// makeTarget makes c the connection that messages go to.
func (e *endpoint) makeTarget(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hellos++
	c.hello = e.hellos
	e.wakeTargetLocked()
}

// targetLocked is the open connection that said hello last, else the oldest; nil where there is none.
func (e *endpoint) targetLocked() *conn {
	if len(e.conns) == 0 {
		return nil
	}
	// MaxFunc gives the first of equals, which is the oldest.
	return slices.MaxFunc(e.conns, func(a, b *conn) int { return cmp.Compare(a.hello, b.hello) })
}

func (e *endpoint) wakeTargetLocked() {
	if c := e.targetLocked(); c != nil {
		c.wakeWriter()
	}
}

// nextNotice takes the next notice for c; nil where there is none.
func (e *endpoint) nextNotice(c *conn) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(c.notices) == 0 {
		return nil
	}
	frame := c.notices[0].frame
	c.notices = slices.Delete(c.notices, 0, 1)
	return frame
}

// nextRequest takes the next request that c is to write; nil where there is none or messages go elsewhere.
func (e *endpoint) nextRequest(c *conn) *request {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.targetLocked() != c {
		return nil
	}
	return e.pending.take(c)
}

// finishWrite records how c's write ended: of r, or of a frame of the manager's own where r is nil.
func (e *endpoint) finishWrite(c *conn, r *request, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.writeErr = err // a flow that ends while it is told its status has done nothing wrong
	}
	switch {
	case r == nil:
		return
	case err != nil:
		e.pending.requeue()
	default:
		e.cfg.Watcher.Traffic(e.id, ToFlow, r.kind, len(r.frame)-headerSize)
		e.pending.markWritten()
		e.facts.Sent++
		e.facts.LastCommunication = time.Now()
	}
	e.wakeTargetLocked()
}

// notify leaves n for every connection.
func (e *endpoint) notify(n notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notifyLocked(n)
}

func (e *endpoint) notifyLocked(n notice) {
	for _, c := range e.conns {
		c.notifyLocked(n)
	}
}

// notifyStatus tells the connections, where there are any, of the status as it is now.
func (e *endpoint) notifyStatus() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.conns) > 0 {
		e.notifyStatusLocked()
	}
}

// notifyStatusLocked asks for the status and tells it under one lock. Otherwise one of two callers could tell an old one last.
func (e *endpoint) notifyStatusLocked() {
	status := e.cfg.Status(e.id)
	if status == nil {
		return
	}
	frame := frameOf(rawjson.Object{rawjson.Pair("type", rawjson.Quote("status")), rawjson.Pair("status", status)})
	if !bytes.Equal(frame, e.status) {
		e.status = frame
		e.notifyLocked(notice{"status", frame})
	}
}

func errorFrame(err *api.Error) []byte {
	return frame(api.Encode(struct {
		Type      string        `json:"type"`
		ErrorType api.ErrorType `json:"error_type"`
		Message   string        `json:"message"`
	}{"error", err.Type, err.Message}))
}

// pongFrame answers a ping and, where that has an id, says which.
func pongFrame(ping rawjson.Object) []byte {
	pong := rawjson.Object{rawjson.Pair("type", rawjson.Quote("pong"))}
	if id := ping.Value("id"); id != nil {
		pong = append(pong, rawjson.Pair("reply_to", id))
	}
	return frameOf(pong)
}

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

// prefer makes c the connection that messages go to.
func (e *endpoint) prefer(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hellos++
	c.hello = e.hellos
	e.nudgeTargetLocked()
}

// targetLocked is the open connection that said hello last, else the oldest; nil where there is none.
func (e *endpoint) targetLocked() *conn {
	if len(e.conns) == 0 {
		return nil
	}
	// MaxFunc gives the first of equals, which is the oldest.
	return slices.MaxFunc(e.conns, func(a, b *conn) int { return cmp.Compare(a.hello, b.hello) })
}

func (e *endpoint) nudgeTargetLocked() {
	if c := e.targetLocked(); c != nil {
		c.nudge()
	}
}

// notice takes the next notice for c; nil where there is none.
func (e *endpoint) notice(c *conn) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(c.notices) == 0 {
		return nil
	}
	frame := c.notices[0].frame
	c.notices = slices.Delete(c.notices, 0, 1)
	return frame
}

// take gives the next request that c is to write; nil where there is none or messages go elsewhere.
func (e *endpoint) take(c *conn) *request {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.targetLocked() != c {
		return nil
	}
	return e.pending.take(c)
}

// wrote notes how c's writing ended: of r, or of a frame of the manager's own where r is nil.
func (e *endpoint) wrote(c *conn, r *request, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.writeErr = err // a flow that ends while it is told its status has done nothing wrong
	}
	switch {
	case r == nil:
		return
	case err != nil:
		e.pending.cutOff()
	default:
		e.cfg.Watcher.Traffic(e.id, ToFlow, r.kind, len(r.frame)-headerSize)
		e.pending.written()
		e.facts.Sent++
		e.facts.LastCommunication = time.Now()
	}
	e.nudgeTargetLocked()
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

// tellStatus tells the connections, where there are any, of the status as it is now.
func (e *endpoint) tellStatus() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.conns) > 0 {
		e.tellStatusLocked()
	}
}

// tellStatusLocked asks for the status and tells it in one go, or one of two askers could tell an old one last.
func (e *endpoint) tellStatusLocked() {
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

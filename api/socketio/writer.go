package socketio

import (
	"time"

	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

// expelTimeout is how long a client that may not act any more is written to: that it does not read must not keep it in.
const expelTimeout = 500 * time.Millisecond

// writer hands the library what was emitted, a little at a time: its own buffer has no bound, and its ways of sending
// to many lose packets.
type writer struct {
	s        *Session
	deadline <-chan time.Time // set when the session is over: from then on there is this much time left
}

func (s *Session) writeLoop() {
	defer s.goroutineDone(s.written)
	defer s.closeConn()
	defer s.Recovered("write", func() { s.cut(brokePanic) })
	w := writer{s: s}
	if !w.wait(s.live, s.isLive) { // the first event stays behind the CONNECT answer
		return
	}
	for s.out.waitNonEmpty() {
		if !w.waitRoom() {
			return
		}
		if p, ok := s.out.pop(); ok {
			s.send(p)
		}
	}
	w.wait(s.link.window.wake, s.link.window.idle)
}

// waitRoom gives up a client that stops polling; one that stops reading a WebSocket fails a write.
func (w *writer) waitRoom() bool {
	if w.s.hasRoom() {
		return true
	}
	stalled := time.AfterFunc(w.s.t.limits.WriteTimeout, func() {
		if w.s.polling() {
			w.s.dropSlow()
		}
	})
	defer stalled.Stop()
	return w.wait(w.s.link.window.wake, w.s.hasRoom)
}

// wait looks at done whenever recheck receives; false means that there is no more writing.
func (w *writer) wait(recheck <-chan struct{}, done func() bool) bool {
	for !done() {
		over := w.s.ctx.Done()
		if w.deadline != nil {
			over = nil
		}
		select {
		case <-recheck:
		case <-w.s.gone:
			return false
		case <-over:
			w.deadline = time.After(w.s.drainTime())
		case <-w.deadline:
			return false
		}
	}
	return true
}

// drainTime is how long a session that is over may still be written to.
func (s *Session) drainTime() time.Duration {
	if s.expelled.Load() {
		return min(expelTimeout, s.t.limits.DrainTimeout)
	}
	return s.t.limits.DrainTimeout
}

// closeConn ends the connection, unless that is for the client to do.
func (s *Session) closeConn() {
	s.cut(endedByApp) // only the first reason is kept
	reason := *s.endReason.Load()
	s.link.detach(reason)
	if s.leaveOpen.Load() {
		s.link.flush()
		return
	}
	s.link.close(reason)
}

func (s *Session) isLive() bool {
	select {
	case <-s.live:
		return true
	default:
		return false
	}
}

func (s *Session) hasRoom() bool { return s.link.window.hasRoom(s.polling()) }

func (s *Session) polling() bool { return s.link.conn.Transport().Name() == transports.POLLING }

func (s *Session) send(p outbound) {
	frame := types.NewStringBuffer(p.frame[:len(p.frame):len(p.frame)]) // the library clones it
	s.sock.Client().WriteToEngine([]types.BufferInterface{frame}, &socket.WriteOptions{})
}

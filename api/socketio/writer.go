package socketio

import (
	"time"

	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

// expelWithin is what a client that may not act any more gets to hear of it: that it does not read must not keep it in.
const expelWithin = 500 * time.Millisecond

// writer hands the library what was emitted, a little at a time: its own buffer has no bound, and its ways of sending
// to many lose packets.
type writer struct {
	s    *Session
	late <-chan time.Time // set when the session is over: from then on there is this much time left
}

func (s *Session) write() {
	defer s.halfDone(s.written)
	defer s.letGo()
	defer s.Recovered("write", func() { s.cut(brokePanic) })
	w := writer{s: s}
	if !w.wait(s.live, s.isLive) { // the first event stays behind the CONNECT answer
		return
	}
	for s.out.some() {
		if !w.waitRoom() {
			return
		}
		if p, ok := s.out.take(); ok {
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
			w.s.cutOff()
		}
	})
	defer stalled.Stop()
	return w.wait(w.s.link.window.wake, w.s.hasRoom)
}

// wait looks at enough whenever look receives; false means that there is no more writing.
func (w *writer) wait(look <-chan struct{}, enough func() bool) bool {
	for !enough() {
		over := w.s.ctx.Done()
		if w.late != nil {
			over = nil
		}
		select {
		case <-look:
		case <-w.s.gone:
			return false
		case <-over:
			w.late = time.After(w.s.drainTime())
		case <-w.late:
			return false
		}
	}
	return true
}

// drainTime is how long a session that is over may still be written to.
func (s *Session) drainTime() time.Duration {
	if s.expelled.Load() {
		return min(expelWithin, s.t.limits.DrainTimeout)
	}
	return s.t.limits.DrainTimeout
}

// letGo ends the connection, unless that is for the client to do.
func (s *Session) letGo() {
	s.cut(endedByApp) // only the first reason is kept
	reason := *s.endReason.Load()
	s.link.parted(reason)
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

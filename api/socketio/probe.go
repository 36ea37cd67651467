package socketio

import (
	"bytes"
	"net"
)

// A session that goes over from polling to a WebSocket tries that first: 2probe, answered by 3probe, and then 5, the upgrade. The
// library's own part in this is not used. It has a timer go every 100 ms from the probe on, which it stops with one that has just
// gone off at no avail: such a timer then goes for ever (engine.io v2.5.0, utils/timer.go: Stop). Nor may it see a probe fail: it
// ends that on whichever goroutine meets the failure, and where two of them do at once (the reader, the writer, the end of the
// session) it dereferences nil, on a goroutine where nobody can recover (engine/socket.go:364). So the probe is answered here, and
// a probe that has failed waits until the library closes it, because the session or the time for the upgrade has ended.
const (
	probeFrame     = "\x012probe"     // as clientFrame gives it
	closeFrame     = 0x08             // its opcode
	probeAnswer    = "\x81\x063probe" // one text frame of a server
	probeReadBytes = 512
)

// readProbe gives the library one frame at a time, so that it has acted on each before the next is looked at.
func (c *gatedConn) readProbe(b []byte) (int, error) {
	l := c.gate.link
	for {
		frame, content, ok := clientFrame(c.ahead)
		switch {
		case !ok || len(frame) > len(b) || len(content) > 0 && content[0] == closeFrame:
			return c.probeFailed()
		case frame == nil:
			if c.readAhead() != nil {
				return c.probeFailed()
			}
			continue
		}
		c.ahead = c.ahead[len(frame):]
		if string(content) == probeFrame {
			c.answerProbe()
			continue
		}
		l.acting.Lock()
		c.inTurn.Store(true)
		if l.conn.ReadyState() != "open" {
			c.endTurn()
			return c.probeFailed()
		}
		return copy(b, frame), nil
	}
}

// readAhead reads what may be more than the library is to see by now.
func (c *gatedConn) readAhead() error {
	b := make([]byte, probeReadBytes)
	n, err := c.read(b)
	c.ahead = append(c.ahead, b[:n]...)
	return err
}

// answerProbe tells a client that its WebSocket works, and has its poll end, which it waits for before it upgrades.
func (c *gatedConn) answerProbe() {
	c.gate.link.window.pause()
	c.writing.Lock()
	_, _ = c.Conn.Write([]byte(probeAnswer)) // a connection that takes nothing is given up in time
	c.writing.Unlock()
	c.gate.link.releasePoll()
}

// probeFailed has the session go on by polling.
func (c *gatedConn) probeFailed() (int, error) {
	c.gate.link.window.resume()
	<-c.ctx.Done()
	return 0, net.ErrClosed
}

// clientFrame is the first frame of b, nil where it is not whole yet, and its content: the opcode and the payload, unmasked. It is
// not ok where that is no frame that a client probes with: whole, masked, and of less than 126 bytes.
func clientFrame(b []byte) (frame, content []byte, ok bool) {
	const fin, opcode, masked, header = 0x80, 0x0f, 0x80, 6
	if len(b) > 0 && b[0]&fin == 0 || len(b) > 1 && (b[1]&masked == 0 || b[1]&^masked >= 126) {
		return nil, nil, false
	}
	if len(b) < header || len(b) < header+int(b[1]&^masked) {
		return nil, nil, true
	}
	frame = b[:header+int(b[1]&^masked)]
	content = append(content, frame[0]&opcode)
	for i, v := range frame[header:] {
		content = append(content, v^frame[2+i%4])
	}
	return bytes.Clone(frame), content, true
}

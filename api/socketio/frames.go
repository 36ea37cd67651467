package socketio

import "encoding/binary"

// frames follows the WebSocket framing of what a client sends without looking at what it carries. It judges nothing: what
// is no frame is refused behind it.
type frames struct {
	header      [14]byte // of the frame that is being read: two bytes, up to eight of length, four of mask
	headerBytes int      // bytes of header that have come
	payloadLeft uint64   // bytes of payload that have not
	partial     bool     // the last frame of the message has not begun
	messages    int      // messages
	message     uint64   // bytes that the newest has announced so far
}

// idle is whether a message has ended and the next has not begun.
func (f *frames) idle() bool { return f.headerBytes == 0 && f.payloadLeft == 0 && !f.partial }

func (f *frames) feed(b []byte) {
	for len(b) > 0 {
		if f.payloadLeft > 0 {
			n := min(f.payloadLeft, uint64(len(b)))
			f.payloadLeft, b = f.payloadLeft-n, b[n:]
			continue
		}
		if f.idle() {
			f.messages, f.message = f.messages+1, 0
		}
		f.header[f.headerBytes] = b[0]
		f.headerBytes, b = f.headerBytes+1, b[1:]
		if f.headerBytes >= 2 && f.headerBytes == f.headerLength() {
			f.begin()
		}
	}
}

func (f *frames) headerLength() int {
	length := 2
	switch f.header[1] & 0x7f {
	case 126:
		length += 2
	case 127:
		length += 8
	}
	if f.header[1]&0x80 != 0 {
		length += 4
	}
	return length
}

// begin starts the payload of the frame whose header is whole.
func (f *frames) begin() {
	const fin, opcode, control = 0x80, 0x0f, 0x08
	f.payloadLeft, f.headerBytes = f.announced(), 0
	if f.header[0]&opcode >= control {
		return // between the frames of a message
	}
	f.message += f.payloadLeft
	f.partial = f.header[0]&fin == 0
}

func (f *frames) announced() uint64 {
	switch n := f.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.header[2:])
	default:
		return uint64(n)
	}
}

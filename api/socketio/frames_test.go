package socketio

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// frame is one as clients send it, masked with zeros.
func frame(fin bool, opcode byte, payload int) []byte {
	first := opcode
	if fin {
		first |= 0x80
	}
	var header []byte
	switch {
	case payload < 126:
		header = []byte{first, 0x80 | byte(payload)}
	case payload < 1<<16:
		header = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(payload))
	default:
		header = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(payload))
	}
	return append(header, make([]byte, 4+payload)...)
}

// However the bytes are cut, the framing is known after each of them.
func TestFrames_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f frames
		sizes := rapid.SampledFrom([]int{0, 1, 125, 126, 127, 65_535, 65_536, 70_000})
		feed := func(b []byte, endsMessage bool) {
			for len(b) > 0 {
				n := rapid.IntRange(1, len(b)).Draw(t, "cut")
				f.feed(b[:n])
				b = b[n:]
				if whole := len(b) == 0 && endsMessage; f.idle() != whole {
					t.Fatalf("idle: %v, whole: %v, %d bytes are to come", f.idle(), whole, len(b))
				}
			}
		}
		begun := 0
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			begun++
			message := 0
			parts := rapid.IntRange(1, 3).Draw(t, "frames")
			for part := range parts {
				opcode, size := byte(min(part, 1)^1), sizes.Draw(t, "size") // text, then continuations
				message += size
				feed(frame(part == parts-1, opcode, size), part == parts-1)
				if part < parts-1 && rapid.Bool().Draw(t, "ping") {
					feed(frame(true, 9, 5), false)
				}
			}
			if f.messages != begun || f.message != uint64(message) {
				t.Fatalf("message %d has %d bytes, not %d with %d", begun, message, f.messages, f.message)
			}
			if rapid.Bool().Draw(t, "ping between") {
				begun++
				feed(frame(true, 9, 5), true)
			}
		}
	})
}

// Nothing that a client sends is too much for it: what is no frame ends behind it.
func FuzzFrames(f *testing.F) {
	f.Add(frame(true, 1, 200))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, each frames
		one.feed(b)
		for i := range b {
			each.feed(b[i : i+1])
		}
		if one != each {
			t.Errorf("at once %+v, byte by byte %+v", one, each)
		}
	})
}

package socketio

import (
	"bytes"
	"net"
	"testing"

	"github.com/zishang520/engine.io-go-parser/packet"
	"pgregory.net/rapid"
)

// However a message is cut into writes, nothing is lost or turned around, nothing waits once it is whole, and no message that is
// short enough goes out in parts.
func TestWriteCoalescer_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p writeCoalescer
		answer := []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		if got := p.add(answer, nobody); !bytes.Equal(got, answer) {
			t.Fatalf("the answer to the upgrade went out as %q", got)
		}
		sizes := rapid.SampledFrom([]int{0, 1, 1010, 4000, maxCoalesced, 2 * maxCoalesced})
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			var message []byte
			parts := rapid.IntRange(1, 4).Draw(t, "frames")
			for part := range parts {
				message = append(message, frame(part == parts-1, byte(min(part, 1)^1), sizes.Draw(t, "size"))...)
			}
			var written []byte
			writes := 0
			for rest := message; len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
				if out := p.add(rest[:n], nobody); out != nil {
					written, writes = append(written, out...), writes+1
					p.release()
				}
				rest = rest[n:]
			}
			if !bytes.Equal(written, message) {
				t.Fatalf("%d bytes went out of %d, or others", len(written), len(message))
			}
			if len(message) <= maxCoalesced && writes != 1 {
				t.Fatalf("a message of %d bytes went out by %d writes", len(message), writes)
			}
		}
	})
}

// A batch goes out by one write, and what is kept back for a message that never comes goes out with the batch's end.
func TestGatedConn_Batch(t *testing.T) {
	var wire countingConn
	c := &gatedConn{Conn: &wire}
	l := &link{}
	l.websocket.Store(c)
	write := func(b []byte) {
		t.Helper()
		if n, err := c.Write(b); n != len(b) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(b), err)
		}
	}
	writes := func(want int) {
		t.Helper()
		if wire.writes != want {
			t.Fatalf("%d writes, want %d", wire.writes, want)
		}
	}
	message := frame(true, 1, 100)
	write([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
	write(message) // the handshake, before anybody counts
	writes(2)
	c.startCoalescing(l)
	l.window.flushed([]*packet.Packet{{}, {}, {}})
	write(message)
	write(message)
	writes(2)
	write(message)
	writes(3)
	l.drained()
	l.window.flushed([]*packet.Packet{{}, {}})
	write(message)
	writes(3)
	l.drained()
	writes(4)
	write(message) // of no batch
	writes(5)
	if want := len("HTTP/1.1 101 Switching Protocols\r\n\r\n") + 6*len(message); wire.bytes != want {
		t.Errorf("%d bytes went out, want %d", wire.bytes, want)
	}
}

type countingConn struct {
	net.Conn
	writes, bytes int
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes, c.bytes = c.writes+1, c.bytes+len(b)
	return len(b), nil
}

func nobody() bool { return false }

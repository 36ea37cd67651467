package socketio

import (
	"bytes"
	"sync"
)

// maxPieces is how many bytes are kept back for what is to follow them.
const maxCoalesced = 64 << 10

// spare are buffers that no connection needs at the moment.
var bufferPool = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// pieces joins what the library writes bit by bit, so that it goes out by one write: a message as several frames of about a
// kilobyte, its headers apart, and messages one by one.
type writeCoalescer struct {
	upgraded bool // the answer to the upgrade, which is no frame, is through
	frames   frames
	buffer   *bytes.Buffer // nil: nothing is kept back
}

// join takes what is written next, and gives what is to be written of it and before it, after which sent is called; nil while there
// is more to come. It asks whether another message follows the one that is whole.
func (c *writeCoalescer) add(b []byte, follows func() bool) []byte {
	if !c.upgraded {
		c.upgraded = true
		return b
	}
	c.frames.feed(b)
	more := !c.frames.idle() || follows()
	if !more && c.buffer == nil {
		return b
	}
	if c.buffer == nil {
		c.buffer = bufferPool.Get().(*bytes.Buffer)
	}
	c.buffer.Write(b)
	if more && c.buffer.Len() <= maxCoalesced {
		return nil
	}
	return c.buffer.Bytes()
}

// rest gives up waiting for more; nil where nothing is kept back.
func (c *writeCoalescer) remainder() []byte {
	if c.buffer == nil {
		return nil
	}
	return c.buffer.Bytes()
}

// sent lets go of what join or rest gave.
func (c *writeCoalescer) release() {
	if c.buffer != nil && c.buffer.Cap() <= 2*maxCoalesced {
		c.buffer.Reset()
		bufferPool.Put(c.buffer)
	}
	c.buffer = nil
}

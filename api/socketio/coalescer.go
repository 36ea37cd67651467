package socketio

import (
	"bytes"
	"sync"
)

// maxCoalesced is how many bytes are kept back for what is to follow them.
const maxCoalesced = 64 << 10

// bufferPool has the buffers that no connection needs at the moment.
var bufferPool = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// writeCoalescer joins the library's small writes into large ones. The library writes a message as several frames of about a
// kilobyte, their headers apart, and messages one by one.
type writeCoalescer struct {
	upgraded bool // the answer to the upgrade, which is no frame, is through
	frames   frames
	buffer   *bytes.Buffer // nil: nothing is kept back
}

// add takes the next write, and returns what is to be written now, this and what was kept back; nil while there is more to come.
// The caller calls release after the write. add asks whether another message follows the one that is whole.
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

// remainder returns what is kept back, without waiting for more; nil where nothing is.
func (c *writeCoalescer) remainder() []byte {
	if c.buffer == nil {
		return nil
	}
	return c.buffer.Bytes()
}

// release gives back the buffer of what add or remainder returned.
func (c *writeCoalescer) release() {
	if c.buffer != nil && c.buffer.Cap() <= 2*maxCoalesced {
		c.buffer.Reset()
		bufferPool.Put(c.buffer)
	}
	c.buffer = nil
}

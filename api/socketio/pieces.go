package socketio

import (
	"bytes"
	"sync"
)

// maxPieces is how many bytes are kept back for what is to follow them.
const maxPieces = 64 << 10

// spare are buffers that no connection needs at the moment.
var spare = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// pieces joins what the library writes bit by bit, so that it goes out by one write: a message as several frames of about a
// kilobyte, its headers apart, and messages one by one.
type pieces struct {
	begun  bool // the answer to the upgrade, which is no frame, is through
	frames frames
	held   *bytes.Buffer // nil: nothing is kept back
}

// join takes what is written next, and gives what is to be written of it and before it, after which sent is called; nil while there
// is more to come. It asks whether another message follows the one that is whole.
func (p *pieces) join(b []byte, follows func() bool) []byte {
	if !p.begun {
		p.begun = true
		return b
	}
	p.frames.feed(b)
	more := !p.frames.idle() || follows()
	if !more && p.held == nil {
		return b
	}
	if p.held == nil {
		p.held = spare.Get().(*bytes.Buffer)
	}
	p.held.Write(b)
	if more && p.held.Len() <= maxPieces {
		return nil
	}
	return p.held.Bytes()
}

// rest gives up waiting for more; nil where nothing is kept back.
func (p *pieces) rest() []byte {
	if p.held == nil {
		return nil
	}
	return p.held.Bytes()
}

// sent lets go of what join or rest gave.
func (p *pieces) sent() {
	if p.held != nil && p.held.Cap() <= 2*maxPieces {
		p.held.Reset()
		spare.Put(p.held)
	}
	p.held = nil
}

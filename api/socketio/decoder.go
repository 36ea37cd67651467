package socketio

import (
	"encoding/json"
	"strconv"
	"sync"

	"github.com/zishang520/engine.io/v2/events"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io-go-parser/v2/parser"
)

// parsers hands the library a decoder for each connection.
type parsers struct {
	mu   sync.Mutex
	next *link // whose decoder is asked for, since the library does not say
}

// serve has the library ask for the decoder of l.
func (p *parsers) serve(l *link, ask func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = l
	ask()
}

func (p *parsers) NewEncoder() parser.Encoder { return parser.NewEncoder() }

func (p *parsers) NewDecoder() parser.Decoder {
	return &decoder{EventEmitter: events.New(), link: p.next}
}

// connectAuth takes the place of a CONNECT's auth on the way through the library. It tells the middleware which link it is.
type connectAuth struct {
	link *link
	auth json.RawMessage
}

// decoder stands where the library's own parser would. Events go from here straight to their session, in the order
// of the wire: the library, which gives each a goroutine of its own, never sees them. It is shown CONNECT and DISCONNECT only.
type decoder struct {
	events.EventEmitter
	link *link

	mu     sync.Mutex
	joined bool
	broken bool
	// attachments is how many binary messages are still to come, and are let fall.
	attachments int
	others      int // how many CONNECTs to another namespace were answered
}

// maxOthers is how many of them are answered over one connection.
const maxOthers = 16

// Add never returns an error: the library's answer to one leaves polling connections half closed for 30 s.
func (d *decoder) Add(data any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.recovered()
	if d.broken {
		return nil
	}
	text, ok := data.(*types.StringBuffer)
	if !ok && d.attachments > 0 {
		d.attachments-- // of an event that was refused
		return nil
	}
	if !ok || d.attachments > 0 {
		d.protocolError(unaskedBinary())
		return nil
	}
	packet, namespace := addressed(text.Bytes())
	if namespace != "/" {
		d.refuseNamespace(packet, namespace)
		return nil
	}
	p, f := parse(packet)
	if f != nil {
		d.attachments = p.attachments
		d.refuse(p, f)
		return nil
	}
	d.accept(p)
	return nil
}

// Destroy has nothing to let go of; the library calls it from within Add as well.
func (d *decoder) Destroy() {}

// refuseNamespace has the library say that there is no such namespace, where one asks for it. A client shares one connection among
// all of its namespaces, so that the others go on; what else is sent to this one is nobody's.
func (d *decoder) refuseNamespace(packet []byte, name string) {
	d.link.t.refused(&refusal{reason: refusedNamespace, message: "there is no namespace but /"}, asked{what: "CONNECT " + strconv.Quote(name), remote: d.link.remote})
	if packetKind(packet[0]) != kindConnect || d.others >= maxOthers || !nameable(name) {
		return
	}
	d.others++
	d.Emit("decoded", &parser.Packet{Type: parser.CONNECT, Nsp: name})
}

func (d *decoder) accept(p inbound) {
	if (p.kind == kindConnect) == d.joined {
		d.protocolError(&fault{reason: brokeOrder, message: "a connection is joined once, and first of all"})
		return
	}
	switch p.kind {
	case kindConnect:
		d.joined = true
		d.Emit("decoded", &parser.Packet{Type: parser.CONNECT, Nsp: "/", Data: &connectAuth{d.link, p.data}})
	case kindDisconnect:
		d.broken = true
		if s := d.link.joined(); s != nil {
			s.cutByClient(endedByClient)
		}
		d.Emit("decoded", &parser.Packet{Type: parser.DISCONNECT, Nsp: "/"})
	case kindEvent:
		if s := d.link.joined(); s != nil {
			s.receive(p)
		}
	}
}

func (d *decoder) refuse(p inbound, f *fault) {
	s := d.link.joined()
	if s == nil || !f.answerable {
		d.protocolError(f)
		return
	}
	d.link.t.counts.add(f.reason)
	s.refuse(p, f.message)
}

func (d *decoder) protocolError(f *fault) {
	d.broken = true
	if s := d.link.joined(); s != nil {
		s.protocolError(f)
		return
	}
	d.link.close(f.reason)
}

func (d *decoder) recovered() {
	if cause := recover(); cause != nil {
		d.broken = true
		d.link.panicked("decode", cause)
	}
}

package socketio

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/flow-manager/flow-manager/api/session"
)

// outbound is an event in the form in which it goes over the wire; many sessions may share it.
type outbound struct {
	frame  []byte
	news   *news  // nil for what a client is owed: an answer, an acknowledgement, an error
	merged int    // how many earlier news of its subject it stands for
	first  string // the version of the first of them
	paced  bool   // one of many that are sent at the client's pace
}

// news marks what everybody is told, as against what one session is owed: a client that reads slowly may miss it.
type news struct {
	version string
	subject string
}

// encode makes the packet of an event with one argument, or none if body is empty. Its session gets it or ends.
func encode(event string, body json.RawMessage) outbound {
	frame := make([]byte, 0, len(event)+len(body)+8)
	frame = strconv.AppendQuote(append(frame, '2', '['), event)
	if len(body) > 0 {
		frame = append(frame, ',')
		frame = append(frame, body...)
	}
	return outbound{frame: append(frame, ']')}
}

// packetOf is encode for an event that other sessions may be sent as well.
func packetOf(e *session.Event) outbound {
	p := encodeNews(e)
	p.news = nil
	return p
}

// encodeNews is packetOf for an event that a slow client may miss, where it is told so by events_dropped.
func encodeNews(e *session.Event) outbound { return *e.Encoded(encodeShared).(*outbound) }

func encodeShared(e *session.Event) any {
	p := encode(e.Name, e.Body)
	p.news = &news{e.Version, e.Subject}
	return &p
}

func encodeAck(id string, body json.RawMessage) outbound {
	frame := make([]byte, 0, len(id)+len(body)+4)
	frame = append(append(frame, '3'), id...)
	frame = append(append(frame, '['), body...)
	return outbound{frame: append(frame, ']')}
}

// over is p in the place of outdated.
func (p outbound) over(outdated outbound) outbound {
	p.merged, p.first = outdated.merged+1, outdated.oldest()
	return p
}

// oldest is the version of the first of the news that p stands for.
func (p *outbound) oldest() string { return cmp.Or(p.first, p.news.version) }

// cost is what p takes up while it waits.
func (p *outbound) cost() int { return len(p.frame) + packetOverhead }

// final is p as it goes to one client: it says how many it stands for.
func (p outbound) final() outbound {
	if p.merged == 0 {
		return p
	}
	const closing = len("}]")
	frame := make([]byte, 0, len(p.frame)+24)
	frame = append(append(frame, p.frame[:len(p.frame)-closing]...), `,"coalesced":`...)
	p.frame = append(strconv.AppendInt(frame, int64(p.merged), 10), "}]"...)
	return p
}

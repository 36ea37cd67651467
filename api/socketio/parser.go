package socketio

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What one packet may hold. A declared object of the largest size allowed fits several times.
const (
	maxRequestBytes = 512 << 10
	maxAuthBytes    = 16 << 10
	maxTokens       = 20_000
	maxNesting      = 64
	maxEventName    = 128
	maxAckDigits    = 15 // below 2^53, so that every client counts the same
	maxNamespace    = 64
)

type packetKind byte

const (
	kindConnect    packetKind = '0'
	kindDisconnect packetKind = '1'
	kindEvent      packetKind = '2'
	kindAck        packetKind = '3'
	kindBinary     packetKind = '5'
	kindBinaryAck  packetKind = '6'
)

// inbound is one Socket.IO packet from a client. data stays raw JSON: decoding into any multiplies its size by fourteen.
type inbound struct {
	kind  packetKind
	ack   string // the digits of the acknowledgement's id, or nothing
	event string
	args  int
	data  json.RawMessage // an event's first argument, a CONNECT's auth
	// attachments is how many binary messages belong to it.
	attachments int
}

// fault says why a packet is refused. After one that is answerable the stream is still in step: the request
// is answered by name and the session lives.
type fault struct {
	reason     string
	message    string
	answerable bool
}

// addressed takes the namespace out of a packet. That of all who name none is /, which some clients name as well.
func addressed(b []byte) (packet []byte, namespace string) {
	at := 1
	if len(b) > 0 && (packetKind(b[0]) == kindBinary || packetKind(b[0]) == kindBinaryAck) { // how many attachments comes first
		at += bytes.IndexByte(b[1:], '-') + 1
	}
	if len(b) <= at || b[at] != '/' {
		return b, "/"
	}
	name, rest, _ := bytes.Cut(b[at:], []byte(","))
	name, _, _ = bytes.Cut(name, []byte("?")) // a query of its own, as before version 3
	return append(bytes.Clone(b[:at]), rest...), string(name)
}

// nameable reports whether a namespace that is not there may be named in the answer.
func nameable(namespace string) bool {
	odd := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	return len(namespace) <= maxNamespace && !strings.ContainsFunc(namespace, odd)
}

// parse reads one packet without looking at more than its size allows; it never panics and keeps slices of b.
func parse(b []byte) (inbound, *fault) {
	if len(b) == 0 {
		return inbound{}, &fault{reason: brokeMalformed, message: "an empty packet"}
	}
	kind, rest := packetKind(b[0]), b[1:]
	switch kind {
	case kindConnect:
		return parseConnect(rest)
	case kindDisconnect:
		return inbound{kind: kindDisconnect}, refuseTrailing(rest)
	case kindEvent:
		return parseEvent(rest)
	case kindAck:
		return inbound{}, &fault{reason: brokeAck, message: "an acknowledgement that nobody asked for"}
	case kindBinary:
		return parseBinary(rest)
	case kindBinaryAck:
		return inbound{}, unaskedBinary()
	}
	return inbound{}, &fault{reason: brokeMalformed, message: "an unknown packet type"}
}

func refuseTrailing(rest []byte) *fault {
	if len(rest) == 0 {
		return nil
	}
	return &fault{reason: brokeMalformed, message: "a disconnect with a payload"}
}

func parseConnect(rest []byte) (inbound, *fault) {
	p := inbound{kind: kindConnect, data: rest}
	if len(rest) == 0 {
		return p, nil
	}
	if len(rest) > maxAuthBytes || rest[0] != '{' {
		return p, &fault{reason: brokeMalformed, message: "auth must be one small JSON object"}
	}
	_, f := scanJSON(rest)
	return p, f
}

func parseEvent(rest []byte) (inbound, *fault) {
	p := inbound{kind: kindEvent}
	digits := len(rest) - len(bytes.TrimLeft(rest, "0123456789"))
	if digits > maxAckDigits {
		return p, &fault{reason: brokeMalformed, message: "an acknowledgement id that is too long"}
	}
	p.ack, rest = string(rest[:digits]), rest[digits:]
	name, ok := eventName(rest)
	if !ok {
		return p, &fault{reason: brokeMalformed, message: "an event is a JSON array that begins with its name"}
	}
	p.event = name
	return fillArguments(p, rest)
}

// maxAttachments is how many an event may announce that is refused by its name.
const maxAttachments = 16

// parseBinary reads an event with attachments far enough to refuse it by its name, and tells how many messages with them follow.
func parseBinary(rest []byte) (inbound, *fault) {
	count, rest, _ := bytes.Cut(rest, []byte("-"))
	n, err := strconv.ParseUint(string(count), 10, 8)
	if err != nil || n == 0 || n > maxAttachments {
		return inbound{}, unaskedBinary()
	}
	p, f := parseEvent(rest)
	if f != nil {
		return p, f
	}
	p.attachments = int(n)
	return p, &fault{brokeBinary, "binary arguments are not accepted; send one JSON object, with bytes as text (base64, for one)", true}
}

func unaskedBinary() *fault {
	return &fault{reason: brokeBinary, message: "binary messages are not accepted; send one JSON object"}
}

// eventName reads the string that opens the array, so that whatever is wrong behind it can be answered by name.
func eventName(array []byte) (string, bool) {
	array = bytes.TrimLeft(array, " \t\r\n")
	if len(array) == 0 || array[0] != '[' {
		return "", false
	}
	array = bytes.TrimLeft(array[1:], " \t\r\n")
	if len(array) == 0 || array[0] != '"' {
		return "", false
	}
	end := stringEnd(array[:min(len(array), maxEventName)])
	var name string
	if end < 0 || !utf8.Valid(array[:end]) || json.Unmarshal(array[:end], &name) != nil {
		return "", false
	}
	return name, true
}

// stringEnd is the index just behind the JSON string that b begins with, or -1.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func fillArguments(p inbound, array []byte) (inbound, *fault) {
	if len(array) > maxRequestBytes {
		return p, &fault{requestLimits, "a request may be 512 KiB", true}
	}
	commas, f := scanJSON(array)
	if f != nil {
		return p, f
	}
	p.args = len(commas)
	if p.args > 0 {
		end := bytes.LastIndexByte(array, ']')
		if p.args > 1 {
			end = commas[1]
		}
		p.data = bytes.TrimSpace(array[commas[0]+1 : end])
	}
	return p, nil
}

// scanJSON checks the limits before the grammar: the commas it returns are those of the outermost array.
func scanJSON(b []byte) (commas []int, f *fault) {
	depth, tokens := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := stringEnd(b[i:])
			if end < 0 {
				return nil, notJSON()
			}
			i += end - 1
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		case ':':
		default:
			continue
		}
		if tokens++; tokens > maxTokens || depth > maxNesting {
			return nil, &fault{requestLimits, "a request may hold 20000 JSON elements, nested 64 deep", true}
		}
	}
	// Invalid UTF-8 would go on to other clients, and strict ones end their connection over it.
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, notJSON()
	}
	return commas, nil
}

func notJSON() *fault {
	return &fault{reason: brokeMalformed, message: "a payload that is not JSON in UTF-8"}
}

package sockets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

var (
	errNotUTF8   = errors.New("the message is not valid UTF-8")
	errNotJSON   = errors.New("the message is not valid JSON")
	errNotObject = errors.New("the message is JSON, but no object")
	errTooDeep   = fmt.Errorf("the message is nested more than %d deep", maxDepth)
)

// maxDepth is how deep a message may be nested. Parsers that clients use give up at 1,000, and what carries the message adds some.
const maxDepth = 512

// object is a JSON object taken apart at its top level only. Keys and values keep their bytes and members their order, so that a
// message passes through unchanged; keys match exactly, where encoding/json would take "Type" for "type".
type object []member

type member struct {
	name  []byte // the key as it is written, in its quotes
	value json.RawMessage
}

// pair makes a member of a key that needs no escapes.
func pair(key string, value json.RawMessage) member { return member{quoted(key), value} }

// is tells whether the member's key is that.
func (m *member) is(key string) bool {
	if bytes.IndexByte(m.name, '\\') >= 0 {
		return unquote(m.name) == key
	}
	return string(m.name[1:len(m.name)-1]) == key
}

// parseObject takes data apart. The object's values share data's memory.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, errNotUTF8
	}
	s := scanner{data: data}
	s.skipSpace()
	if s.next() != '{' && json.Valid(data) {
		return nil, errNotObject
	}
	o, ok := s.object()
	s.skipSpace()
	switch {
	case s.tooDeep:
		return nil, errTooDeep
	case !ok || s.at < len(data):
		return nil, errNotJSON
	}
	return o, nil
}

// value is that of the last member called key, which is the one most parsers see; nil where there is none.
func (o object) value(key string) json.RawMessage {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].is(key) {
			return o[i].value
		}
	}
	return nil
}

// text is the string at key; "" where there is none.
func (o object) text(key string) string {
	return unquote(o.value(key))
}

// replaced is o with value as its only member called key, or with none where value is nil.
func (o object) replaced(key string, value json.RawMessage) object {
	fresh := make(object, 0, len(o)+1)
	if value != nil {
		fresh = append(fresh, pair(key, value))
	}
	for _, m := range o {
		if !m.is(key) {
			fresh = append(fresh, m)
		}
	}
	return fresh
}

func (o object) encode() json.RawMessage { return o.appendTo(make([]byte, 0, o.size())) }

// frame is that of the object, in one piece so that one write carries it.
func (o object) frame() []byte {
	f := o.appendTo(make([]byte, headerSize, headerSize+o.size()))
	putLength(f)
	return f
}

// size is how many bytes the object takes when encoded, or one more.
func (o object) size() int {
	n := len("{}")
	for _, m := range o {
		n += len(m.name) + len(":") + len(m.value) + len(",")
	}
	return n
}

func (o object) appendTo(out []byte) []byte {
	out = append(out, '{')
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.name...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

// quoted puts text in quotes that needs no escapes.
func quoted(text string) []byte {
	out := make([]byte, 0, len(text)+2)
	return append(append(append(out, '"'), text...), '"')
}

// unquote gives the string that raw is, or "" where it is something else.
func unquote(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Package rawjson takes JSON objects apart and puts them together without looking into their values.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// What Parse refuses.
var (
	ErrNotUTF8   = errors.New("the message is not valid UTF-8")
	ErrNotJSON   = errors.New("the message is not valid JSON")
	ErrNotObject = errors.New("the message is JSON, but no object")
	ErrTooDeep   = fmt.Errorf("the message is nested more than %d deep", MaxDepth)
)

// MaxDepth is how deep a message may be nested. Parsers that clients use give up at 1,000, and what carries the message adds some.
const MaxDepth = 512

// Object is a JSON object taken apart at its top level only. Keys and values keep their bytes and members their order, so that a
// message passes through unchanged; keys match exactly, where encoding/json would take "Type" for "type".
type Object []Member

// Member is one key of an object and what stands there.
type Member struct {
	name  []byte // the key as it is written, in its quotes
	Value json.RawMessage
}

// Pair makes a member of a key that needs no escapes.
func Pair(key string, value json.RawMessage) Member { return Member{Quote(key), value} }

// Key is the member's key.
func (m *Member) Key() string { return Unquote(m.name) }

// Is tells whether the member's key is that.
func (m *Member) Is(key string) bool {
	if bytes.IndexByte(m.name, '\\') >= 0 {
		return m.Key() == key
	}
	return string(m.name[1:len(m.name)-1]) == key
}

// Parse takes data apart. The object's values share data's memory.
func Parse(data []byte) (Object, error) {
	if !utf8.Valid(data) {
		return nil, ErrNotUTF8
	}
	s := scanner{data: data}
	s.skipSpace()
	if s.next() != '{' && json.Valid(data) {
		return nil, ErrNotObject
	}
	o, ok := s.object()
	s.skipSpace()
	switch {
	case s.tooDeep:
		return nil, ErrTooDeep
	case !ok || s.at < len(data):
		return nil, ErrNotJSON
	}
	return o, nil
}

// Value is that of the last member called key, which is the one most parsers see; nil where there is none.
func (o Object) Value(key string) json.RawMessage {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].Is(key) {
			return o[i].Value
		}
	}
	return nil
}

// Text is the string at key; "" where there is none.
func (o Object) Text(key string) string {
	return Unquote(o.Value(key))
}

// Replaced is o with value as its only member called key, or with none where value is nil.
func (o Object) Replaced(key string, value json.RawMessage) Object {
	fresh := make(Object, 0, len(o)+1)
	if value != nil {
		fresh = append(fresh, Pair(key, value))
	}
	for _, m := range o {
		if !m.Is(key) {
			fresh = append(fresh, m)
		}
	}
	return fresh
}

// Encode gives the object's text.
func (o Object) Encode() json.RawMessage { return o.AppendTo(make([]byte, 0, o.Size())) }

// Size is how many bytes AppendTo appends, or one more.
func (o Object) Size() int {
	n := len("{}")
	for _, m := range o {
		n += len(m.name) + len(":") + len(m.Value) + len(",")
	}
	return n
}

// AppendTo appends the object's text to out.
func (o Object) AppendTo(out []byte) []byte {
	out = append(out, '{')
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.name...)
		out = append(out, ':')
		out = append(out, m.Value...)
	}
	return append(out, '}')
}

// Quote puts text in quotes that needs no escapes.
func Quote(text string) []byte {
	out := make([]byte, 0, len(text)+2)
	return append(append(append(out, '"'), text...), '"')
}

// Unquote gives the string that raw is, or "" where it is something else.
func Unquote(raw []byte) string {
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

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

// object is a JSON object taken apart at its top level only. Values keep their bytes and members their order, so that a
// message passes through unchanged; keys match exactly, where encoding/json would take "Type" for "type".
type object []member

type member struct {
	key   string
	value json.RawMessage
}

// parseObject takes data apart. The object's values share data's memory.
func parseObject(data []byte) (object, error) {
	switch {
	case !utf8.Valid(data):
		return nil, errNotUTF8
	case !json.Valid(data):
		return nil, errNotJSON
	}
	s := scanner{data: data}
	if s.skipSpace(); s.data[s.at] != '{' {
		return nil, errNotObject
	}
	o := s.members()
	if s.deepest >= maxDepth {
		return nil, errTooDeep
	}
	return o, nil
}

// value is that of the last member called key, which is the one most parsers see; nil where there is none.
func (o object) value(key string) json.RawMessage {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].key == key {
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
		fresh = append(fresh, member{key, value})
	}
	for _, m := range o {
		if m.key != key {
			fresh = append(fresh, m)
		}
	}
	return fresh
}

func (o object) encode() json.RawMessage {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, quote(m.key)...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

func quote(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("sockets: quoting a string: " + err.Error()) // encoding/json quotes any string
	}
	return quoted
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

// scanner walks over JSON that is known to be valid.
type scanner struct {
	data    []byte
	at      int
	deepest int // nesting of a value within the object
}

func (s *scanner) members() object {
	o := object{}
	for s.data[s.at] != '}' {
		s.at++ // the opening brace or a comma
		if s.skipSpace(); s.data[s.at] == '}' {
			break
		}
		start := s.at
		s.skipString()
		key := unquote(s.data[start:s.at])
		s.skipSpace()
		s.at++ // the colon
		s.skipSpace()
		o = append(o, member{key, s.value()})
	}
	return o
}

// value ends at the comma or brace that follows it.
func (s *scanner) value() json.RawMessage {
	start, depth := s.at, 0
	for {
		switch c := s.data[s.at]; {
		case c == '"':
			s.skipString()
			continue
		case c == '{' || c == '[':
			depth++
			s.deepest = max(s.deepest, depth)
		case depth == 0 && (c == ',' || c == '}'):
			return bytes.TrimRight(s.data[start:s.at], " \t\r\n")
		case c == '}' || c == ']':
			depth--
		}
		s.at++
	}
}

func (s *scanner) skipString() {
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
}

func (s *scanner) skipSpace() {
	for s.data[s.at] == ' ' || s.data[s.at] == '\t' || s.data[s.at] == '\r' || s.data[s.at] == '\n' {
		s.at++
	}
}

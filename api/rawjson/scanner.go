package rawjson

import (
	"bytes"
	"strings"
)

// scanner goes once over JSON that is valid UTF-8. Each of its methods passes over what it is called after and tells whether that
// was there; where it was not, what is left to be read means nothing any more.
type scanner struct {
	data    []byte
	at      int
	depth   int  // of what is being passed over
	tooDeep bool // that is why it ended
}

// object gives the members of an object, which share the data's memory.
func (s *scanner) object() (Object, bool) {
	if s.next() != '{' {
		return nil, false
	}
	o := Object{}
	ok := s.nested('}', func() bool {
		m, ok := s.member()
		o = append(o, m)
		return ok
	})
	return o, ok
}

// nested passes over an opening brace or bracket, items with commas between them, and the end.
func (s *scanner) nested(end byte, item func() bool) bool {
	if s.depth == MaxDepth {
		s.tooDeep = true
		return false
	}
	s.depth++
	s.at++
	s.skipSpace()
	if s.next() == end {
		s.at++
		s.depth--
		return true
	}
	for item() {
		s.skipSpace()
		switch s.next() {
		case ',':
			s.at++
			s.skipSpace()
		case end:
			s.at++
			s.depth--
			return true
		default:
			return false
		}
	}
	return false
}

func (s *scanner) member() (Member, bool) {
	name := s.at
	if s.next() != '"' || !s.text() {
		return Member{}, false
	}
	colon := s.at
	s.skipSpace()
	if s.next() != ':' {
		return Member{}, false
	}
	s.at++
	s.skipSpace()
	value := s.at
	ok := s.value()
	return Member{s.data[name:colon:colon], s.data[value:s.at:s.at]}, ok
}

func (s *scanner) value() bool {
	switch s.next() {
	case '"':
		return s.text()
	case '{':
		return s.nested('}', func() bool { _, ok := s.member(); return ok })
	case '[':
		return s.nested(']', s.value)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) text() bool {
	for s.at++; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return true
		case c == '\\':
			s.at++
			if !s.escape() {
				return false
			}
		case c < ' ':
			return false
		}
	}
	return false
}

// escape stays on the last character of what follows a backslash.
func (s *scanner) escape() bool {
	if s.next() != 'u' {
		return strings.IndexByte(`"\/bfnrt`, s.next()) >= 0
	}
	for range 4 {
		s.at++
		if strings.IndexByte("0123456789abcdefABCDEF", s.next()) < 0 {
			return false
		}
	}
	return true
}

func (s *scanner) word(word string) bool {
	if !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) number() bool {
	if s.next() == '-' {
		s.at++
	}
	if s.next() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.next() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if c := s.next(); c != 'e' && c != 'E' {
		return true
	}
	s.at++
	if c := s.next(); c == '+' || c == '-' {
		s.at++
	}
	return s.digits()
}

// digits passes over one or more.
func (s *scanner) digits() bool {
	begin := s.at
	for '0' <= s.next() && s.next() <= '9' {
		s.at++
	}
	return s.at > begin
}

func (s *scanner) skipSpace() {
	for c := s.next(); c == ' ' || c == '\t' || c == '\r' || c == '\n'; c = s.next() {
		s.at++
	}
}

// next is the byte to come; 0, which no JSON has outside of its strings, where there is none.
func (s *scanner) next() byte {
	if s.at >= len(s.data) {
		return 0
	}
	return s.data[s.at]
}

package api

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// minSecret is how many characters a value of a secret variable must have to be looked for in texts: shorter ones are in
// every text.
const minSecret = 6

// span is a part of a text, in bytes.
type span struct{ from, to int }

// cover puts Filtered in the place of each span. They may overlap.
func cover(text string, spans []span) string {
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	var out strings.Builder
	at := 0 // what is before it is written
	for i := 0; i < len(spans); {
		from, to := spans[i].from, spans[i].to
		for i++; i < len(spans) && spans[i].from < to; i++ {
			to = max(to, spans[i].to)
		}
		out.WriteString(text[at:from])
		out.WriteString(Filtered)
		at = to
	}
	return out.String() + text[at:]
}

// secrets are values to be looked for.
type secrets struct {
	byFirst map[byte][]string
	begins  [256]bool // what a secret may begin with, escaped or not
	reach   int       // the bytes of the longest, all of them escaped
}

func (s *secrets) add(value string) {
	if utf8.RuneCountInString(value) < minSecret {
		return
	}
	raw, quoted, encoded := []byte(value), strconv.Quote(value), string(Encode(value))
	for _, form := range []string{
		value, quoted[1 : len(quoted)-1], encoded[1 : len(encoded)-1],
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	} {
		if !slices.Contains(s.byFirst[form[0]], form) {
			s.byFirst[form[0]] = append(s.byFirst[form[0]], form)
		}
		s.reach = max(s.reach, len("%00")*len(form))
		s.begins[form[0]], s.begins['%'], s.begins['+'] = true, true, true
	}
}

// find gives every place at which a secret stands, written as it is or in any mixture of a URL's escapes. What was masked
// before is not looked into.
func (s *secrets) find(text string) []span {
	if s == nil {
		return nil
	}
	var found []span
	for from := 0; from < len(text); from += len(Filtered) {
		end := len(text)
		if n := strings.Index(text[from:], Filtered); n >= 0 {
			end = from + n
		}
		for ; from < end; from++ {
			if n := s.longest(text[from:end]); n > 0 {
				found = append(found, span{from, from + n})
			}
		}
	}
	return found
}

// longest gives how much of text's beginning is a secret.
func (s *secrets) longest(text string) int {
	if !s.begins[text[0]] {
		return 0
	}
	n := 0
	for _, secret := range s.byFirst[text[0]] {
		if strings.HasPrefix(text, secret) {
			n = max(n, len(secret))
		} else {
			n = max(n, escaped(text, secret))
		}
	}
	if first, ok := unescape(text); ok {
		for _, secret := range s.byFirst[first] {
			n = max(n, escaped(text, secret))
		}
	}
	return n
}

// escaped gives how much of text's beginning is the secret as a URL writes it, whichever characters it escapes.
func escaped(text, secret string) int {
	at := 0
	for i := range len(secret) {
		if at >= len(text) {
			return 0
		}
		switch b, ok := unescape(text[at:]); {
		case ok && b == secret[i] && text[at] == '%':
			at += len("%00")
		case ok && b == secret[i], text[at] == secret[i]:
			at++
		default:
			return 0
		}
	}
	return at
}

// unescape reads the escape that text begins with.
func unescape(text string) (b byte, ok bool) {
	switch {
	case text[0] == '+':
		return ' ', true
	case text[0] != '%' || len(text) < len("%00"):
		return 0, false
	}
	n, err := strconv.ParseUint(text[1:3], 16, 8)
	return byte(n), err == nil
}

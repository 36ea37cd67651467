package api

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// isVisible tells what may go to a terminal as it is: no control, no escape sequence, nothing that changes the direction of
// what follows, nothing that cannot be seen.
func isVisible(r rune) bool {
	return r >= ' ' && r <= '~' || strconv.IsPrint(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Printable is s on one line, with everything escaped that a terminal or a reader's eye could be deceived by. Broken UTF-8
// is shown byte by byte.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case isVisible(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// PrintableJSON does the same to JSON text without changing its meaning: what it escapes stands in strings only. Line ends
// between values stay.
func PrintableJSON(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return r != '\n' && !isVisible(r) }) && utf8.Valid(text) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if isVisible(r) || r == '\n' {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.Bytes()
}

package rawjson

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const escape = len(`\u0000`)

// MendPairs puts \ufffd in the place of each escaped surrogate that has no partner, within data, which is valid JSON. Such a string is no
// text: parsers make another one of it, or fail.
func MendPairs(data []byte) {
	for rest := data; ; {
		at := bytes.IndexByte(rest, '\\')
		if at < 0 {
			return
		}
		rest = rest[at:]
		switch unit := codeUnit(rest); {
		case unit < 0:
			rest = rest[len(`\n`):]
		case !utf16.IsSurrogate(unit):
			rest = rest[escape:]
		case utf16.DecodeRune(unit, codeUnit(rest[escape:])) != utf8.RuneError:
			rest = rest[2*escape:]
		default:
			copy(rest, `\ufffd`)
			rest = rest[escape:]
		}
	}
}

// codeUnit is the code unit of the \u escape that text begins with, or -1.
func codeUnit(text []byte) rune {
	if len(text) < escape || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:escape]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

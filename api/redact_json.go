package api

import (
	"bytes"
	"encoding/json"
)

// JSON masks the secrets in one JSON value and leaves all else as it was written. What is no JSON is masked as a text, and
// given as a string.
func (r Redactor) JSON(data json.RawMessage) json.RawMessage {
	if !json.Valid(data) {
		return Encode(r.Text(string(data)))
	}
	out := make(json.RawMessage, 0, len(data))
	for at := 0; at < len(data); {
		if data[at] != '"' {
			out = append(out, data[at])
			at++
			continue
		}
		end := at + stringEnd(data[at:])
		text := data[at:end]
		out = append(out, r.quoted(text)...)
		if at = end; isSecretKey(text, data[at:]) {
			begin := at + bytes.IndexByte(data[at:], ':') + 1
			out = append(append(out, data[at:begin]...), Encode(Filtered)...)
			at = begin + valueEnd(data[begin:])
		}
	}
	return out
}

// quoted masks a JSON string.
func (r Redactor) quoted(raw []byte) []byte {
	text := unquote(raw)
	masked := r.Text(text)
	if masked == text {
		return raw
	}
	return Encode(masked)
}

func isSecretKey(raw, rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':' && SecretKey(unquote(raw))
}

func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	_ = json.Unmarshal(raw, &text) // it is known to be a string
	return text
}

// stringEnd is just behind the string that data begins with.
func stringEnd(data []byte) int {
	for at := 1; ; at++ {
		switch data[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
}

// valueEnd is just behind the value that data begins with.
func valueEnd(data []byte) int {
	for at, depth := 0, 0; at < len(data); at++ {
		switch data[at] {
		case '"':
			at += stringEnd(data[at:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				return at
			}
		}
		if depth < 0 {
			return at
		}
	}
	return len(data)
}

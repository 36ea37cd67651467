package api

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	tests := map[string]string{
		"plain ünï ✓ 漢":       "plain ünï ✓ 漢",
		"\x1b[31mred\x1b[0m":  `\x1b[31mred\x1b[0m`,
		"a\nb\tc\rd\a":        `a\nb\tc\rd\a`,
		"\u202Egnp.exe":       `\u202egnp.exe`,
		"\u2066x\u2069\u200b": `\u2066x\u2069\u200b`,
		"\u009b31m\x7f":       `\u009b31m\x7f`,
		"\xff\xfe":            `\xff\xfe`,
		"\ufffd":              "\ufffd",
		"it's 'quoted'":       "it's 'quoted'",
		"\U000e0041":          `\U000e0041`,
	}
	for _, r := range deceptive() {
		if isVisible(r) {
			t.Errorf("%U is taken for visible", r)
		}
	}
	for in, want := range tests {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPrintable_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text") + rapid.StringOf(rapid.SampledFrom(deceptive())).Draw(t, "more")
		got := Printable(in)
		if unprintable(got) || !utf8.ValidString(got) {
			t.Errorf("Printable(%q) = %q", in, got)
		}
		if !unprintable(in) && utf8.ValidString(in) && got != in {
			t.Errorf("Printable(%q) = %q: nothing was to be escaped", in, got)
		}
	})
}

// What is escaped in JSON still means the same.
func TestPrintableJSON_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom(deceptive()))).Draw(t, "text")
		text := PrintableJSON(Encode(map[string]string{"k": want}))
		var got map[string]string
		if err := json.Unmarshal(text, &got); err != nil || got["k"] != want || unprintable(string(text)) {
			t.Errorf("%q became %q: %v", want, text, err)
		}
	})
}

// deceptive are characters that do something to a terminal, to the direction of a text, or to nothing that is seen.
func deceptive() []rune {
	return []rune{0, 7, 8, '\n', '\r', 0x1b, 0x7f, 0x85, 0x9b, 0x9d, 0xad, 0x34f, 0x200b, 0x200d, 0x200e, 0x2028, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e,
		0x2060, 0x2066, 0x2067, 0x2068, 0x2069, 0x3164, 0xfeff, 0xffa0, 0xe0041}
}

func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return !isVisible(r) })
}

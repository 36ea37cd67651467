package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestSafe(t *testing.T) {
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
	for in, want := range tests {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSafe_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		got := safe(in)
		if unprintable(got) || !utf8.ValidString(got) {
			t.Errorf("safe(%q) = %q", in, got)
		}
		if !unprintable(in) && utf8.ValidString(in) && got != in {
			t.Errorf("safe(%q) = %q: nothing was to be escaped", in, got)
		}
	})
}

// What is escaped in JSON still means the same, in JSON's style and in YAML's.
func TestSafeJSON_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		raw, err := encode(map[string]string{"k": want})
		if err != nil {
			t.Fatal(err)
		}
		text, err := jsonText(raw)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(text, &got); err != nil || got["k"] != want || unprintable(strings.ReplaceAll(string(text), "\n", "")) {
			t.Errorf("%q became %q: %v", want, text, err)
		}
	})
}

func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

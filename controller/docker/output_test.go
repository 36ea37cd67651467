package docker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// The engine sends a message for each line, or for each 16 KiB of one, with the time in front of it.
func TestLineWriter(t *testing.T) {
	const at = "2026-01-02T03:04:05.000000006Z "
	words := strings.Repeat("word ", maxLine/5+1)
	tests := []struct {
		name     string
		messages []string
		want     []string
	}{
		{"nothing", nil, nil},
		{"lines", []string{at + "a\n", at + "\n", at + "b c\n"}, []string{"a", "", "b c"}},
		{"a last line without its end", []string{at + "a\n", at + "b"}, []string{"a", "b"}},
		{"a line in two messages", []string{at + "a", at + "b\n"}, []string{"ab"}},
		{"a long line is cut between words", []string{at + words, at + "the end of it\n"}, []string{words, "the end of it"}},
		{"or anywhere", []string{at + strings.Repeat("x", maxLine), at + "y\n"}, []string{strings.Repeat("x", maxLine), "y"}},
		{"no UTF-8", []string{at + "a\xffb\n"}, []string{"a\uFFFDb"}},
		{"no time", []string{"plain\n"}, []string{"plain"}},
	}
	for _, tt := range tests {
		var got []string
		w := &lineWriter{stream: api.Stderr, each: func(l api.LogLine) error {
			if timed := !l.At.IsZero(); l.Stream != api.Stderr || timed == (tt.name == "no time") || timed && l.At.Nanosecond() != 6 {
				t.Errorf("%s: %+v", tt.name, l)
			}
			got = append(got, l.Text)
			return nil
		}}
		for _, m := range tt.messages {
			if n, err := w.Write([]byte(m)); n != len(m) || err != nil {
				t.Errorf("%s: wrote %d, %v", tt.name, n, err)
			}
		}
		if err := w.flush(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%.2000s", tt.name, diff)
		}
	}
}

// Who reads may have had enough; a piece of a long line is cut behind a space that is not its last character, too.
func TestLineWriter_EndsWithItsReader(t *testing.T) {
	enough := errors.New("enough")
	var got []api.LogLine
	w := &lineWriter{stream: api.Stdout, each: func(l api.LogLine) error { got = append(got, l); return enough }}
	text := strings.Repeat("x", maxLine-10) + " " + strings.Repeat("y", 20)
	if _, err := fmt.Fprint(w, time.Unix(1, 0).UTC().Format(time.RFC3339Nano), " ", text); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if len(got) != 1 || got[0].Text != text[:maxLine-9] || string(w.text) != text[maxLine-9:] {
		t.Errorf("cut into %d and %q", len(got), w.text)
	}
}

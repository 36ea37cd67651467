package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// joined is what a joiner gives of pieces, each as stream and text; "+" stands behind parts.
func joined(j *joiner, pieces ...api.LogLine) (said []string) {
	shown := []shownLine{}
	for _, p := range pieces {
		shown = append(shown, j.add(p)...)
	}
	for _, l := range append(shown, j.close()...) {
		said = append(said, l.stream[3:]+" "+l.text+map[bool]string{true: "+"}[l.part])
	}
	return said
}

func TestJoiner(t *testing.T) {
	at := time.Unix(1, 0)
	out := func(after int, text string, more bool) api.LogLine {
		return api.LogLine{Stream: api.Stdout, At: at.Add(time.Duration(after)), Text: text, More: more}
	}
	tests := []struct {
		name   string
		pieces []api.LogLine
		want   []string
	}{
		{"lines", []api.LogLine{out(0, "a", false), out(1, "", false), out(2, "b\xff", false)}, []string{"out a", "out ", "out b\uFFFD"}},
		{"a character in two pieces", []api.LogLine{out(0, "a\xc3", true), out(0, "\xa4b", false)}, []string{"out aäb"}},
		{"a secret in two pieces", []api.LogLine{out(0, "the opensesame is open", true), out(0, "sesame", false)}, []string{"out the [FILTERED] is [FILTERED]"}},
		{"what another line follows has ended", []api.LogLine{out(0, "a", true), out(1, "b", false)}, []string{"out a", "out b"}},
		{"streams in the order of their ends", []api.LogLine{out(0, "a", true), {Stream: api.Stderr, At: at.Add(1), Text: "e"}, out(0, "b", false)}, []string{"err e", "out ab"}},
		{"what did not end", []api.LogLine{{Stream: api.Stderr, At: at.Add(1), Text: "e", More: true}, out(0, "a", true)}, []string{"out a", "err e"}},
	}
	for _, tt := range tests {
		j := newJoiner(api.NewRedactor(map[string]string{"PASSWORD": "opensesame"}))
		if diff := cmp.Diff(tt.want, joined(j, tt.pieces...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Whatever is in a long line, and wherever, its parts are together what the whole line is shown as, and none is long.
func TestJoiner_PartsAreMaskedAsTheirLine(t *testing.T) {
	const secret, most = "open sesame and two words more", 4 << 10
	r := api.NewRedactor(map[string]string{"PASSWORD": secret})
	rapid.Check(t, func(rt *rapid.T) {
		fill := strings.Repeat(rapid.SampledFrom([]string{"x", "word ", "ä", "lorem-ipsum "}).Draw(rt, "fill"), most)
		var line strings.Builder
		for range rapid.IntRange(1, 4).Draw(rt, "places") {
			line.WriteString(fill[:rapid.IntRange(most-100, most).Draw(rt, "before")])
			line.WriteString(rapid.SampledFrom([]string{secret, secret + secret, " password=hunter2 ", " Bearer abcdefghij ", "https://user:pass@host/", "…", "a"}).Draw(rt, "what"))
		}
		j, all := newJoiner(r), ""
		j.most = most
		step := rapid.IntRange(1000, most).Draw(rt, "piece")
		for rest := line.String(); rest != ""; rest = rest[min(step, len(rest)):] {
			for _, l := range j.add(api.LogLine{Stream: api.Stdout, Text: rest[:min(step, len(rest))], More: len(rest) > step}) {
				if all += l.text; len(l.text) > 2*most {
					rt.Errorf("a part of %d bytes", len(l.text))
				}
			}
		}
		want, at := r.Text(strings.ToValidUTF8(line.String(), "\uFFFD")), 0
		for at < min(len(all), len(want)) && all[at] == want[at] {
			at++
		}
		if all != want {
			rt.Errorf("from %d on: %.60q, want %.60q", at, all[at:], want[at:])
		}
	})
}

// A line that is one long secret cannot be cut: none of it is shown, and the next line is.
func TestJoiner_WhatCannotBeCutIsHidden(t *testing.T) {
	piece := func(text string, more bool) api.LogLine {
		return api.LogLine{Stream: api.Stdout, Text: text, More: more}
	}
	j := newJoiner(api.Redactor{})
	got := joined(j, piece("Cookie: "+strings.Repeat("a=b; ", maxLine/4), true), piece("c=d", false), piece("next", false))
	want := []string{"out [FILTERED]+", "out [FILTERED]", "out next"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%.300s", diff)
	}
}

// A part is the last line of its event, which says so.
func TestLogs_PartsAreMarked(t *testing.T) {
	w, _ := prints(t, func(_ context.Context, _ api.LogOptions, each func(api.LogLine) error) error {
		for _, l := range []api.LogLine{{Text: "a"}, {Text: strings.Repeat("x", 3*maxLine/2)}, {Text: "b"}} {
			l.Stream = api.Stdout
			if err := each(l); err != nil {
				return err
			}
		}
		return nil
	})
	c := w.admit(api.Operator, 0)
	c.tell(api.GetLogs, `{"container_id":"web"}`)
	var said strings.Builder
	for _, h := range c.until(t, func(h heard) bool { return h.body["eof"] == true }) {
		lines, _ := h.body["lines"].([]any)
		for i, line := range lines {
			more := h.body["partial"] == true && i == len(lines)-1
			fmt.Fprintf(&said, "%.1s%d%s ", line, len(line.(string)), map[bool]string{true: "+"}[more])
		}
	}
	if want := fmt.Sprintf("a1 x%d+ x%d b1 ", maxLine, maxLine/2); said.String() != want {
		t.Errorf("said %q, want %q", said.String(), want)
	}
}

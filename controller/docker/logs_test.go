package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

func TestTail(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	out := func(n int64, text string) api.LogLine {
		return api.LogLine{Stream: api.Stdout, At: at(n), Text: text, More: len(text) >= fullPiece}
	}
	full := strings.Repeat("x", fullPiece)
	tests := []struct {
		name   string
		pieces []api.LogLine
		want   []string
	}{
		{"nothing", nil, nil},
		{"lines", []api.LogLine{out(1, "a"), out(2, ""), out(3, "b")}, []string{"a", "", "b"}},
		{"pieces of one line", []api.LogLine{out(1, full), out(1, "y"), out(2, "b")}, []string{full + "y", "b"}},
		{"a line that ended with its run", []api.LogLine{out(1, full), out(2, "b")}, []string{full, "b"}},
		{"two streams", []api.LogLine{out(1, full), {Stream: api.Stderr, At: at(2), Text: "e"}, out(1, "y")}, []string{"e", full + "y"}},
		{"more than allowed", []api.LogLine{out(1, full), out(1, full), out(2, full), out(2, "y")}, []string{full + "y"}},
		{"one endless line", []api.LogLine{out(1, full), out(1, full), out(1, full), out(1, "y")}, []string{strings.Repeat("x", 2*fullPiece-1) + "y"}},
		{"no UTF-8", []api.LogLine{out(1, "a\xffb")}, []string{"a\uFFFDb"}},
	}
	for _, tt := range tests {
		b := newTail(2 * fullPiece)
		for _, piece := range tt.pieces {
			if err := b.add(piece); err != nil {
				t.Fatal(err)
			}
		}
		for stream := range b.open {
			b.end(stream)
		}
		if diff := cmp.Diff(tt.want, b.lines); diff != "" {
			t.Errorf("%s: %.2000s", tt.name, diff)
		}
	}
}

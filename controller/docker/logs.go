package docker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// LastLines implements controller.Runtime. What the container wrote that is no UTF-8 is replaced.
func (r *Runtime) LastLines(ctx context.Context, dockerID string, lines, limit int) ([]string, error) {
	t := tail{limit: limit, open: map[string]*openLine{}}
	if err := r.pieces(ctx, dockerID, lines+fewPieces, false, t.add); err != nil {
		return nil, err
	}
	for _, stream := range slices.SortedFunc(maps.Keys(t.open), func(a, b string) int { return t.open[a].at.Compare(t.open[b].at) }) {
		t.end(stream)
	}
	return t.lines[max(0, len(t.lines)-lines):], nil
}

// tail keeps the last lines of an output, of limit bytes at most: a single line may be longer than memory.
type tail struct {
	limit int
	size  int
	lines []string
	open  map[string]*openLine // by stream, the one that is not at its end
}

type openLine struct {
	at   time.Time
	text []byte
}

func (t *tail) add(piece api.LogLine) error {
	l := t.open[piece.Stream]
	if l != nil && !l.at.Equal(piece.At) {
		t.end(piece.Stream)
		l = nil
	}
	if l == nil {
		l = &openLine{at: piece.At}
		t.open[piece.Stream] = l
	}
	if l.text = append(l.text, piece.Text...); len(l.text) > t.limit {
		l.text = append([]byte(nil), l.text[len(l.text)-t.limit:]...)
	}
	if !piece.More {
		t.end(piece.Stream)
	}
	return nil
}

func (t *tail) end(stream string) {
	text := strings.ToValidUTF8(string(t.open[stream].text), "\uFFFD")
	delete(t.open, stream)
	t.lines, t.size = append(t.lines, text), t.size+len(text)+1
	for t.size > t.limit && len(t.lines) > 1 {
		t.size -= len(t.lines[0]) + 1
		t.lines = t.lines[1:]
	}
}

package docker

import (
	"context"
	"strings"

	"github.com/flow-manager/flow-manager/api"
)

// LastLines implements controller.Runtime. What the container wrote that is no UTF-8 is replaced.
func (r *Runtime) LastLines(ctx context.Context, dockerID string, lines, limit int) ([]string, error) {
	t := newTail(limit)
	if err := r.pieces(ctx, dockerID, lines+fewPieces, false, t.add); err != nil {
		return nil, err
	}
	t.open.close(t.end)
	return t.lines[max(0, len(t.lines)-lines):], nil
}

// tail keeps the last lines of an output, of limit bytes at most: a single line may be longer than memory.
type tail struct {
	limit int
	size  int
	lines []string
	open  openLines
	text  map[string][]byte // of those
}

func newTail(limit int) *tail {
	return &tail{limit: limit, open: openLines{}, text: map[string][]byte{}}
}

func (t *tail) add(piece api.LogLine) error {
	t.open.begin(&piece, t.end)
	text := append(t.text[piece.Stream], piece.Text...)
	if len(text) > t.limit {
		text = append([]byte(nil), text[len(text)-t.limit:]...)
	}
	t.text[piece.Stream] = text
	if !piece.More {
		t.end(piece.Stream)
	}
	return nil
}

func (t *tail) end(stream string) {
	text := strings.ToValidUTF8(string(t.text[stream]), "\uFFFD")
	delete(t.open, stream)
	delete(t.text, stream)
	t.lines, t.size = append(t.lines, text), t.size+len(text)+1
	for t.size > t.limit && len(t.lines) > 1 {
		t.size -= len(t.lines[0]) + 1
		t.lines = t.lines[1:]
	}
}

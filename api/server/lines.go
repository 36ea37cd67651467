package server

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flow-manager/flow-manager/api"
)

// maxLine is how much of a line is sent at once, in bytes; a longer one is sent in parts.
const maxLine = 64 << 10

// shownLine is a line of a container's output as clients may see it, or a part of a long one.
type shownLine struct {
	stream string
	at     time.Time
	text   string
	part   bool // the line goes on
}

// joiner makes lines of the pieces of an output, and of a line that has more than most bytes parts. Parts are masked as their line is.
type joiner struct {
	redactor api.Redactor
	most     int
	open     map[string]*openLine // by stream
}

// openLine is a line whose end was not read.
type openLine struct {
	at     time.Time
	text   string // what was not shown so far
	hidden bool   // it could not be cut without showing part of a secret
}

func newJoiner(r api.Redactor) *joiner { return &joiner{r, maxLine, map[string]*openLine{}} }

// add takes a piece and gives what can be shown by now.
func (j *joiner) add(piece api.LogLine) (shown []shownLine) {
	l := j.open[piece.Stream]
	if l != nil && !l.at.Equal(piece.At) {
		shown = j.end(piece.Stream)
		l = nil
	}
	if l == nil {
		l = &openLine{at: piece.At}
		j.open[piece.Stream] = l
	}
	l.text += piece.Text
	if !piece.More {
		return append(shown, j.end(piece.Stream)...)
	}
	return append(shown, j.parts(piece.Stream, l, j.most+j.redactor.Reach())...)
}

// end gives the rest of a line.
func (j *joiner) end(stream string) []shownLine {
	l := j.open[stream]
	delete(j.open, stream)
	shown := j.parts(stream, l, j.most)
	return append(shown, shownLine{stream, l.at, j.masked(l), false})
}

// close gives what was begun and not ended, the oldest first.
func (j *joiner) close() (shown []shownLine) {
	for stream := range j.open {
		shown = append(shown, j.end(stream)...)
	}
	slices.SortStableFunc(shown, func(a, b shownLine) int { return a.at.Compare(b.at) })
	return shown
}

// parts cuts a line as long as it has more than so many bytes.
func (j *joiner) parts(stream string, l *openLine, over int) (shown []shownLine) {
	for len(l.text) > over {
		at := j.cut(l.text)
		if at == 0 {
			l.hidden, at = true, j.most
		}
		part := &openLine{text: l.text[:at], hidden: l.hidden}
		shown = append(shown, shownLine{stream, l.at, j.masked(part), true})
		l.text = strings.Clone(l.text[at:])
	}
	return shown
}

func (j *joiner) masked(l *openLine) string {
	if l.hidden {
		return api.Filtered
	}
	return j.redactor.Text(strings.ToValidUTF8(l.text, "\uFFFD"))
}

// cut finds where a text can be cut in two: not within a secret, nor between it and what tells that it is one, so that both pieces
// are masked as the whole is. It is 0 where none of the places that are tried will do.
func (j *joiner) cut(text string) int {
	whole := j.redactor.Text(text)
	for _, at := range cuts(text, j.most) {
		if j.redactor.Text(text[:at])+j.redactor.Text(text[at:]) == whole {
			return at
		}
	}
	return 0
}

// cuts are places at which to cut a text after most bytes, the best first: behind its last blanks, then anywhere between two characters.
func cuts(text string, most int) (places []int) {
	for at := most; len(places) < 3; {
		if at = strings.LastIndexByte(text[:at], ' '); at <= 0 {
			break
		}
		places = append(places, at+1)
	}
	for _, back := range []int{0, most / 256, most / 16} {
		at := most - back
		for n := 0; n < utf8.UTFMax && at > 0 && !utf8.RuneStart(text[at]); n++ {
			at--
		}
		places = append(places, at)
	}
	return places
}

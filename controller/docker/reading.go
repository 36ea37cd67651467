package docker

import (
	"context"
	"math"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// reading is how far a container's output was read.
type reading struct {
	runtime *Runtime
	id      string
	since   time.Time // what was written before is taken for read
	each    func(api.LogLine) error
	places  map[string]place // by stream
	given   int              // how many pieces
}

// place is how far a stream was read: so many pieces of the line that was begun at a time. Newest is the latest time of any line, that
// of another one where the clock was set back.
type place struct {
	at     time.Time
	pieces int
	newest time.Time
}

// wholeLine is more pieces than a line has.
const wholeLine = math.MaxInt

// pass is one reading of the engine's last pieces.
type pass struct {
	pieces int
	follow bool
	heard  func() // called for each piece, if it is there

	known   bool // a piece has come that was read before
	streams map[string]*passed
}

// passed is what a pass has seen of a stream.
type passed struct {
	line  place
	begun bool // the line's first piece was seen
	place bool // the place was seen up to which the stream was read
}

// pass gives each piece that is new. It ends with errGap where these pieces do not reach back to what was read, and a follow that is
// late with errLate.
func (l *reading) pass(ctx context.Context, p *pass) error {
	p.streams = map[string]*passed{}
	return l.runtime.pieces(ctx, l.id, p.pieces, p.follow, func(piece api.LogLine) error {
		if p.heard != nil {
			p.heard()
		}
		s := p.take(&piece)
		if at := l.places[piece.Stream]; !s.begun && at.at.Equal(s.line.at) && at.pieces != wholeLine {
			return errGap // how much was read of the line cannot be told: its first pieces are not among these
		}
		if l.wasRead(p, s, piece.Stream) {
			p.known = true
			return nil
		}
		switch {
		case !p.known && p.pieces < allPieces:
			return errGap
		case p.follow && time.Since(piece.At) > maxLag:
			return errLate
		}
		if err := l.each(piece); err != nil {
			return err
		}
		l.given++
		l.read(s.line, &piece)
		s.place = true
		return nil
	})
}

// take notes that a piece was seen.
func (p *pass) take(piece *api.LogLine) *passed {
	s := p.streams[piece.Stream]
	switch {
	case s == nil:
		s = &passed{line: place{at: piece.At}, begun: p.pieces == allPieces}
		p.streams[piece.Stream] = s
	case !s.line.at.Equal(piece.At):
		s.line, s.begun = place{at: piece.At}, true
	}
	s.line.pieces++
	return s
}

// wasRead compares times, as a follow may give again what it gave. While the clock shows less than the newest time, because it was
// set back, times say nothing about what comes behind the place.
func (l *reading) wasRead(p *pass, s *passed, stream string) bool {
	at, there := l.places[stream]
	switch {
	case s.line.at.Before(l.since):
		if at.at.Before(s.line.at) {
			l.places[stream] = place{s.line.at, wholeLine, s.line.at}
		}
		return true
	case !there || s.line.at.After(at.newest):
		return false
	case s.line.at.Equal(at.at):
		s.place = true
		return s.line.pieces <= at.pieces
	case s.place:
		return p.follow && !time.Now().Before(at.newest)
	}
	return true
}

func (l *reading) read(at place, piece *api.LogLine) {
	if !piece.More {
		at.pieces = wholeLine
	}
	if at.newest = l.places[piece.Stream].newest; at.at.After(at.newest) {
		at.newest = at.at
	}
	l.places[piece.Stream] = at
}

// ending are the last lines of an output.
type ending struct {
	most   int
	lines  []ended          // oldest first
	open   openLines        // they count as lines once all was seen
	before map[string]place // by stream, what comes before the lines
	newest time.Time
	pieces int
}

type ended struct {
	stream string
	at     time.Time
}

func (e *ending) add(piece api.LogLine) error {
	e.pieces++
	e.open.begin(&piece, e.end)
	if !piece.More {
		e.end(piece.Stream)
	}
	return nil
}

func (e *ending) end(stream string) {
	at := e.open[stream]
	delete(e.open, stream)
	e.newest = at
	e.lines = append(e.lines, ended{stream, at})
	if len(e.lines) > e.most {
		e.before[e.lines[0].stream] = place{e.lines[0].at, wholeLine, e.lines[0].at}
		e.lines = e.lines[1:]
	}
}

// begin is when the first of the lines was begun, or the newest before them where there are none.
func (e *ending) begin() time.Time {
	begin := e.newest
	for _, l := range e.lines {
		if l.at.Before(begin) {
			begin = l.at
		}
	}
	return begin
}

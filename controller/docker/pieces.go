package docker

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

// fullPiece is where the engine cuts a long line. Only a piece as long as that may go on in another one; a shorter one without a
// newline is the end of what a run wrote.
const fullPiece = 16 << 10

const (
	fewPieces = 100
	allPieces = math.MaxInt
)

// moreThan is how many pieces to look through where so many were not enough.
func moreThan(pieces int) int {
	if pieces > 10_000 {
		return allPieces
	}
	return 30 * pieces
}

// pieces calls each for the last pieces that the engine keeps of a container's output, in order, and with follow for those that
// come. Of one that was removed they are all that was kept. All pieces of one line have one time. Its errors are *api.Error, or each's own.
func (r *Runtime) pieces(ctx context.Context, dockerID string, last int, follow bool, each func(api.LogLine) error) error {
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow, Tail: "all"}
	if last < allPieces {
		options.Tail = strconv.Itoa(last)
	}
	stream, err := r.client.ContainerLogs(ctx, dockerID, options)
	if was := r.kept.find(dockerID); was != nil && classOf(err) == controller.ErrAbsent {
		stream, err = was, nil
	}
	if err != nil {
		return unreadable(err)
	}
	defer stream.Close()
	var own error
	take := func(l api.LogLine) error { own = each(l); return own }
	_, err = stdcopy.StdCopy(&pieceWriter{api.Stdout, take}, &pieceWriter{api.Stderr, take}, stream)
	switch {
	case own != nil:
		return own
	case err != nil:
		return unreadable(err)
	}
	return nil
}

// openLines are the lines that were begun and are not at their end, with their times, by stream.
type openLines map[string]time.Time

// begin notes the line of a piece. The stream's line before it is over, if only by that.
func (o openLines) begin(piece *api.LogLine, end func(stream string)) {
	if at, open := o[piece.Stream]; open && !at.Equal(piece.At) {
		end(piece.Stream)
	}
	o[piece.Stream] = piece.At
}

// close has all of them end, in the order of their beginnings.
func (o openLines) close(end func(stream string)) {
	for _, stream := range slices.SortedFunc(maps.Keys(o), func(a, b string) int { return o[a].Compare(o[b]) }) {
		end(stream)
	}
}

// pieceWriter is written to a piece at a time, each with its time in front.
type pieceWriter struct {
	stream string
	each   func(api.LogLine) error
}

// Write implements io.Writer.
func (w *pieceWriter) Write(p []byte) (int, error) {
	stamp, text, _ := bytes.Cut(p, []byte{' '})
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return 0, fmt.Errorf("read the time of a line: %w", err)
	}
	text, ended := bytes.CutSuffix(text, []byte{'\n'})
	return len(p), w.each(api.LogLine{Stream: w.stream, At: at, Text: string(text), More: !ended && len(text) >= fullPiece})
}

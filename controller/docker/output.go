package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

// maxLine is how much of a line is kept together; a longer one comes in pieces.
const maxLine = 64 << 10

// Output implements socketio.Logs. What is no UTF-8 is replaced.
func (r *Runtime) Output(ctx context.Context, dockerID string, o api.LogOptions, each func(api.LogLine) error) error {
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow, Tail: "all"}
	if o.Tail >= 0 {
		options.Tail = strconv.Itoa(o.Tail)
	}
	if !o.Since.IsZero() {
		options.Since = fmt.Sprintf("%d.%09d", o.Since.Unix(), o.Since.Nanosecond())
	}
	stream, err := r.client.ContainerLogs(ctx, dockerID, options)
	if err != nil {
		return unreadable(err)
	}
	defer stream.Close()
	out, errs := &lineWriter{stream: api.Stdout, each: each}, &lineWriter{stream: api.Stderr, each: each}
	if _, err := stdcopy.StdCopy(out, errs, stream); err != nil {
		return unreadable(err)
	}
	return errors.Join(out.flush(), errs.flush())
}

// unreadable is what a client is told.
func unreadable(err error) error {
	switch class := classOf(err); class {
	case controller.ErrAbsent:
		return api.Errorf(api.ContainerNotFound, "the engine has this container no longer; look at it again").Because(err)
	case controller.ErrUnavailable:
		return api.Errorf(api.DockerUnavailable, "the engine stopped answering while the log was read; ask again with since").Because(err)
	}
	return api.Errorf(api.DockerAPIError, "the engine cannot give the log: %v", err).Because(err)
}

// lineWriter makes lines of what the engine sends of one stream: each write is a message, which begins with its time, and which
// ends a line or is a piece of a long one.
type lineWriter struct {
	stream string
	each   func(api.LogLine) error
	at     time.Time // of the line that is being read
	text   []byte
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	at, text := cutTime(p)
	if len(w.text) == 0 {
		w.at = at
	}
	line, ended := bytes.CutSuffix(text, []byte{'\n'})
	w.text = append(w.text, line...)
	switch {
	case ended:
		return len(p), w.emit(len(w.text))
	case len(w.text) >= maxLine:
		return len(p), w.emit(w.cut())
	}
	return len(p), nil
}

// cut is where a piece of a long line ends: behind a space, so that no word, which may be a secret, is in two pieces; anywhere in a
// line without one.
func (w *lineWriter) cut() int {
	if at := bytes.LastIndexByte(w.text, ' '); at > 0 {
		return at + 1
	}
	return len(w.text)
}

func cutTime(p []byte) (time.Time, []byte) {
	stamp, text, found := bytes.Cut(p, []byte{' '})
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if !found || err != nil {
		return time.Time{}, p // an engine that leaves it out
	}
	return at, text
}

// emit gives the first n bytes of what was read.
func (w *lineWriter) emit(n int) error {
	l := api.LogLine{Stream: w.stream, At: w.at, Text: strings.ToValidUTF8(string(w.text[:n]), "\uFFFD")}
	w.text = append([]byte(nil), w.text[n:]...)
	return w.each(l)
}

// flush gives the last line, which may lack its end.
func (w *lineWriter) flush() error {
	if len(w.text) == 0 {
		return nil
	}
	return w.emit(len(w.text))
}

package docker

import (
	"context"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

// Output implements server.Logs.
//
// The engine's own follow loses and repeats files that are rotated away while it waits for its reader. So it is believed only as
// long as it keeps up, each piece that it gives is compared with the last one that was read, and whatever else there is to read is
// read from the files, which stay as they were when the reading began.
func (r *Runtime) Output(ctx context.Context, dockerID string, o api.LogOptions, each func(api.LogLine) error) error {
	l, pieces := &reading{runtime: r, id: dockerID, since: o.Since, each: each, places: map[string]place{}}, allPieces
	if o.Tail >= 0 {
		var err error
		if pieces, err = l.skipTo(ctx, o.Tail); err != nil {
			return err
		}
	}
	if err := l.catchUp(ctx, pieces); err != nil || !o.Follow {
		return err
	}
	for {
		err := l.follow(ctx)
		switch {
		case err == nil:
			return l.finish(ctx)
		case errors.Is(err, errQuiet):
			err = nil
		case errors.Is(err, errGap), errors.Is(err, errLate):
			err = l.catchUp(ctx, fewPieces)
		}
		if err != nil {
			return err
		}
	}
}

const (
	// maxLag is how old what a follow gives may be: then it is late, and may have left out a file.
	maxLag = time.Second
	// maxQuiet is how long a follow may say nothing before another takes its place: one that began in the moment of a rotation may
	// be waiting for what is written to the old file.
	maxQuiet = 10 * time.Second
)

var (
	errGap   = errors.New("the pieces begin behind the last one that was read")
	errLate  = errors.New("the follow is late")
	errQuiet = errors.New("the follow is quiet")
)

// catchUp reads what was written since, as of now, from the engine's files. It begins with the last pieces, so many at first, and
// goes back as far as it takes to find the last one that was read.
func (l *reading) catchUp(ctx context.Context, pieces int) error {
	for ; ; pieces = moreThan(pieces) {
		err := l.pass(ctx, &pass{pieces: pieces})
		if !errors.Is(err, errGap) {
			return err
		}
	}
}

// finish reads what is left when a run has ended: its follow may not have given the last piece, and what is read while the container is
// removed may end before its time.
func (l *reading) finish(ctx context.Context) error {
	for {
		before := l.given
		if err := l.catchUp(ctx, fewPieces); err != nil || l.given == before {
			return err
		}
	}
}

// follow reads what is written from now on, until the run ends; then it returns nil.
func (l *reading) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(maxQuiet, func() { cancel(errQuiet) })
	defer quiet.Stop()
	pieces := fewPieces
	if len(l.places) == 0 {
		pieces = allPieces // there were none, and whatever there is by now is new
	}
	err := l.pass(ctx, &pass{pieces: pieces, follow: true, heard: func() { quiet.Reset(maxQuiet) }})
	if errors.Is(context.Cause(ctx), errQuiet) {
		return errQuiet
	}
	return err
}

// skipTo takes all but the last lines for read, and tells how many pieces those have, or more.
func (l *reading) skipTo(ctx context.Context, lines int) (pieces int, err error) {
	for pieces = lines + fewPieces; ; pieces = moreThan(pieces) {
		e := ending{most: lines, open: openLines{}, before: map[string]place{}}
		if err := l.runtime.pieces(ctx, l.id, pieces, false, e.add); err != nil {
			return 0, err
		}
		if e.open.close(e.end); len(e.before) > 0 {
			l.places = e.before
			if e.begin().After(l.since) {
				l.since = e.begin()
			}
			return pieces, nil
		}
		if e.pieces < pieces {
			return allPieces, nil
		}
	}
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

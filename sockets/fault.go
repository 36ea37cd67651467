package sockets

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// faultInterval is the shortest time between two faults of one container and error type.
const faultInterval = time.Minute

// faults lets one fault of each type through per interval and counts the others.
type faults map[api.ErrorType]*faultWindow

type faultWindow struct {
	last       time.Time
	suppressed int
}

// allow returns err with the number of those that were suppressed before it; nil where it is too early.
func (f faults) allow(err *api.Error, now time.Time) *api.Error {
	s := f[err.Type]
	if s == nil {
		f[err.Type] = &faultWindow{last: now}
		return err
	}
	if now.Sub(s.last) < faultInterval {
		s.suppressed++
		return nil
	}
	if s.suppressed > 0 {
		err = err.With("suppressed", s.suppressed)
	}
	*s = faultWindow{last: now}
	return err
}

// lostConnection says what is wrong with a connection's end; nil where nothing is. readErr and writeErr are why reading and
// writing ended, waiting how many requests still depended on it.
func lostConnection(readErr, writeErr error, waiting int) (what offence, err *api.Error) {
	if e, ok := errors.AsType[*tooLongError](readErr); ok {
		return tooLongFrame, api.Errorf(api.MessageFormatError, "%s", e.Error())
	}
	var problem string
	switch {
	case errors.Is(writeErr, os.ErrDeadlineExceeded):
		what, problem = notReading, "the flow does not read from its socket; its connection was closed"
	case writeErr != nil:
		what, problem = lostUnanswered, "writing to the flow's socket failed"
	case errors.Is(readErr, os.ErrDeadlineExceeded):
		what, problem = unfinishedFrame, "the flow began a frame and did not end it in time; its connection was closed"
	case errors.Is(readErr, io.ErrUnexpectedEOF):
		what, problem = unfinishedFrame, "the flow's connection ended in the middle of a frame"
	case waiting > 0:
		what, problem = lostUnanswered, fmt.Sprintf("the flow's connection was lost with %d messages unanswered", waiting)
	default:
		return 0, nil
	}
	return what, api.Errorf(api.SocketError, "%s", problem).Because(errors.Join(writeErr, readErr))
}

package sockets

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

func TestLostConnection(t *testing.T) {
	tests := map[string]struct {
		readErr, writeErr error
		waiting           int
		what              offence
		kind              api.ErrorType
		says              string
	}{
		"OK/Ended":         {readErr: io.EOF},
		"OK/Reset":         {readErr: syscall.ECONNRESET},
		"ErrPending":       {readErr: io.EOF, waiting: 3, what: lostUnanswered, kind: api.SocketError, says: "3 messages unanswered"},
		"ErrHalfFrame":     {readErr: io.ErrUnexpectedEOF, what: unfinishedFrame, kind: api.SocketError, says: "middle of a frame"},
		"ErrFrameTimeout":  {readErr: os.ErrDeadlineExceeded, what: unfinishedFrame, kind: api.SocketError, says: "did not end it in time"},
		"ErrWriteTimeout":  {readErr: io.EOF, writeErr: os.ErrDeadlineExceeded, what: notReading, kind: api.SocketError, says: "does not read"},
		"ErrWrite":         {readErr: net.ErrClosed, writeErr: syscall.EPIPE, what: lostUnanswered, kind: api.SocketError, says: "writing"},
		"ErrMessageFormat": {readErr: &tooLongError{101, 100}, waiting: 1, what: tooLongFrame, kind: api.MessageFormatError, says: "101 bytes and 100 are allowed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			what, err := lostConnection(tt.readErr, tt.writeErr, tt.waiting)
			if (err == nil) != (tt.kind == "") {
				t.Fatalf("err = %v, want type %q", err, tt.kind)
			}
			if what != tt.what {
				t.Errorf("counted as %s, want %s", what, tt.what)
			}
			if err != nil && (err.Type != tt.kind || !strings.Contains(err.Message, tt.says)) {
				t.Errorf("err = %v, want a %s that says %q", err, tt.kind, tt.says)
			}
		})
	}
}

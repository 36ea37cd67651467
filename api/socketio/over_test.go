package socketio

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

// logLines are the lines that a transport has written, decoded.
type logLines struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (l *logLines) Write(line []byte) (int, error) {
	var decoded map[string]any
	if err := json.Unmarshal(line, &decoded); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, decoded)
	return len(line), nil
}

// of are those with a message.
func (l *logLines) of(message string) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]any
	for _, line := range l.lines {
		if line["message"] == message {
			found = append(found, line)
		}
	}
	return found
}

// The log says of each session that was there why it is over, and nothing of one that was refused.
func TestSession_OverSaysWhy(t *testing.T) {
	said, stranger := &logLines{}, ""
	e := startLogged(t, Config{}, zerolog.New(said), app{
		begin: func(s *Session) error {
			if s.RemoteAddr() == stranger {
				return api.Errorf(api.AuthenticationError, "no")
			}
			return nil
		},
		handle: func(s *Session, r *session.Request) { s.End("told to") },
	})
	refused := open(t, e.addr)
	stranger = refused.ws.LocalAddr().String()
	refused.send("40")
	refused.read()
	_ = refused.ws.Close()
	var reasons []any
	for _, end := range []func(*client){
		func(c *client) { c.send("41") },
		func(c *client) { c.send("1") },
		func(c *client) { reset(t, c.ws.NetConn()) },
		func(c *client) { c.send(`42["echo"]`) },
		func(c *client) { c.send("6") },
	} {
		end(join(t, e.addr))
		eventually(t, "it is over", func() bool { return len(said.of("session over")) > len(reasons) })
		line := said.of("session over")[len(reasons)]
		if id, _ := line["session"].(string); len(id) != 20 {
			t.Errorf("session %q", id)
		}
		reasons = append(reasons, line["reason"])
	}
	if diff := cmp.Diff([]any{endedByClient, endedByClient, "closed_by_peer", endedByApp, brokeHeartbeat}, reasons); diff != "" {
		t.Error(diff)
	}
}

package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/api/socketio"
)

// bursts answers echo with what it is sent, and burst behind a thousand events.
type bursts struct{}

func (bursts) Begin(session.Session) error { return nil }
func (bursts) End(session.Session)         {}
func (bursts) Handle(s session.Session, r *session.Request) {
	if r.Event == "burst" {
		for n := range 1000 {
			s.EmitWait(s.Context(), "tick", fmt.Appendf(nil, `{"n":%d}`, n))
		}
	}
	r.Ack(r.Data)
}

// The official client connects in all versions that people have, by all of its transports, whatever else is in its URL.
func TestClients_OfAllVersions(t *testing.T) {
	t.Parallel()
	transport, addr := listen(t, socketio.Config{Events: []string{"echo", "burst"}, Limits: socketio.Limits{RequestsPerSecond: 10_000}}, bursts{})
	versions := []string{"", "-4.7.5", "-4.5.4", "-4.4.1", "-4.1.3", "-4.0.0", "-3.1.3"}
	ways := map[string]string{`{}`: "websocket", `{"transports":["websocket"]}`: "websocket", `{"transports":["polling"]}`: "polling",
		`{"forceBase64":true,"timestampParam":"ts","query":{"user":"7","EIO2":"3"}}`: "websocket"}
	var clients sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, version := range versions {
		for options, carried := range maps.All(ways) {
			clients.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				out, err := exec.Command("node", "js/versions.mjs", "http://"+addr+"?user=7&user=8", "socket.io-client"+version, options).Output()
				var told struct {
					Acks, Events, After        int
					Transport, Refused, Reason string
				}
				if err == nil {
					err = json.Unmarshal(out, &told)
				}
				if err != nil {
					t.Errorf("socket.io-client%s %s: %v: %s", version, options, err, stderr(err))
					return
				}
				if told.Acks != 200 || told.Events != 1000 || told.After != 7 || told.Transport != carried || told.Refused != "Invalid namespace" || told.Reason != "io client disconnect" {
					t.Errorf("socket.io-client%s %s: %s", version, options, out)
				}
			})
		}
	}
	clients.Wait()
	eventually(t, "no session is left", func() error {
		if n := transport.Sessions(); n > 0 {
			return fmt.Errorf("%d sessions, %v", n, transport.Counts())
		}
		return nil
	})
}

// The official client may leave as soon as it has upgraded: its session is over then, and does not wait for its ping time-out.
func TestClients_ThatLeaveAsTheyUpgrade(t *testing.T) {
	t.Parallel()
	transport, addr := listen(t, socketio.Config{Events: []string{"echo"}, Limits: socketio.Limits{PingInterval: time.Hour}}, bursts{})
	const count = 200
	out, err := exec.Command("node", "js/leave.mjs", "http://"+addr, fmt.Sprint(count)).Output()
	if err != nil || strings.TrimSpace(string(out)) != fmt.Sprintf(`{"upgraded":%d}`, count) {
		t.Fatalf("%s, %v: %s", out, err, stderr(err))
	}
	eventually(t, "no session is left", func() error {
		if n := transport.Sessions(); n > 0 {
			return fmt.Errorf("%d sessions, %v", n, transport.Counts())
		}
		return nil
	})
}

package server

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/api/session"
)

// marker is the body of an error that a test sends itself, behind all that it has been sent.
var marker = json.RawMessage(`{"error_type":"system_error"}`)

// client is a session whose events a test reads.
type client struct{ *servertest.Session }

// fataler is a test, of the testing package or of rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

type heard struct {
	name string // of an event; "ack" else
	body map[string]any
	of   string // the request that is acknowledged
	raw  json.RawMessage
	news bool
}

func admitted(t fataler, s *Server, as session.Principal) *client {
	t.Helper()
	c, err := servertest.Open(s, as)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &client{c}
}

// admit lets a session in that has room for so many events of a stream, 0 for any number.
func (s *Server) admit(t fataler, role api.Role, room int) *client {
	t.Helper()
	c := admitted(t, s, session.Principal{Name: "ann", Role: role})
	c.Events() // connected
	c.Slow(room)
	return c
}

// next is the next thing that was sent, an event or "ack".
func (c *client) next(t fataler) heard {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	sent, ok := c.Next(ctx)
	if !ok {
		t.Fatalf("the session is over, or is sent nothing more")
	}
	h := heard{name: sent.Event, raw: sent.Body, news: sent.News}
	if sent.Request != nil {
		h.name, h.of = "ack", sent.Request.Event
	}
	if err := json.Unmarshal(sent.Body, &h.body); err != nil {
		t.Fatalf("%s: %v", sent.Body, err)
	}
	return h
}

// ask sends a request and gives its acknowledgement, which is the next that is sent but for events that came before.
func (c *client) ask(t fataler, event, body string) map[string]any {
	t.Helper()
	c.Ask(event, json.RawMessage(body))
	for {
		if h := c.next(t); h.name == "ack" {
			return h.body
		}
	}
}

// tell sends a request that wants no acknowledgement.
func (c *client) tell(event, body string) { c.Tell(event, json.RawMessage(body)) }

// arguments are those in a text, with commas between them.
func arguments(t testing.TB, text string) []json.RawMessage {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte("["+text+"]"), &list); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return list
}

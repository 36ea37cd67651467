package sockets

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// FuzzEndpoint_Receive has a flow send anything while a client waits for its reply: what is passed on is what was sent, byte for
// byte but for halves of surrogate pairs, in an event that is JSON, and whatever is no message is an offence.
func FuzzEndpoint_Receive(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"type":"hello"}`, `{"type":"ping","id":{"n":1}}`, `{"type":"ready"}`, `{"type":"heartbeat"}`, `{"type":"actor_event","actor":"a","event":"e","data":[1]}`,
		`{"type":"actor_event","actor":{}}`, `{"reply_to":"asked"}`, `{"reply_to":"asked","reply_to":"other"}`, ` { "a" : 1.0 , "a" : 2 } `, `{"type":"\u0061"}`,
		`{"type":"` + strings.Repeat("☃", 40) + `"}`, `{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, `"text"`, "{\"a\":\"\xff\"}", ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		body := bytes.Clone(sent) // which is mended where it stands
		heard := make(recorder, 8)
		cfg := Config{Watcher: heard, MaxHeard: 1 << 40}.withDefaults()
		e := newEndpoint("id", &Hub{cfg: cfg})
		var reply json.RawMessage
		asker := &request{id: "asked", clientID: json.RawMessage(`7`), phase: awaitingReply, done: func(got outcome) { reply = got.reply }}
		e.pending.awaitingReply[asker.id] = asker
		e.receive(newConn(e, nil), body)
		close(heard)
		for said := range heard {
			message, ok := strings.CutPrefix(said, "message ")
			if ok && message != string(body) {
				t.Errorf("%q was passed on as %q", body, message)
			}
			if event := (api.Received{ContainerID: "id", Message: json.RawMessage(message)}).Event(); ok && (!json.Valid(event.Data) || !bytes.Contains(event.Data, body)) {
				t.Errorf("%q became %q", body, event.Data)
			}
		}
		if asker.phase == settled && !json.Valid(reply) {
			t.Errorf("the reply %q became %q", body, reply)
		}
		if o, err := rawjson.Parse(body); (err != nil) != (e.counts[malformedMessage].Load() > 0) && o.Text("type") != "actor_event" {
			t.Errorf("%q: %v, and %d malformed messages", body, err, e.counts[malformedMessage].Load())
		}
	})
}

// Half of a surrogate pair is no character: what a flow says, and answers, reaches others as text.
func TestEndpoint_Receive_MendsPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, id, heard := newBubble(t, Config{})
		f := pipe(t, h, id)
		heard.expect(t, "connection true")
		f.send(`{"a\udc00":"\ud83d\ude00 \ud83d"}`)
		heard.expect(t, `message {"a\ufffd":"\ud83d\ude00 \ufffd"}`)
		done := send(t.Context(), h, id, `{}`, SendOptions{ExpectReply: true})
		f.send(`{"reply_to":"` + field(t, f.next(), "id") + `","a":"\ud83d"}`)
		if a := receive(t, done); a.err != nil || !strings.Contains(string(a.reply), `"a":"\ufffd"`) {
			t.Errorf("the reply: %s, %v", a.reply, a.err)
		}
	})
}

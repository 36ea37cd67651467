package main

import (
	"testing"
)

func TestSend(t *testing.T) {
	f := newFake(t)
	f.on["send_message"] = func(s *session, r request) {
		if r.Body["expect_reply"] == true {
			s.ack(r, `{"ok":true,"status":"sent","reply":{ "type" : "pong","x":"`+"\u202e"+`"}}`)
			return
		}
		s.ack(r, `{"ok":true,"status":"sent"}`)
	}
	wants(t, flowctl(t, "", "send", "web", `{"type":"hi"}`), result{Out: "sent to web\n"})
	wants(t, flowctl(t, ` {"type":"hi"} `, "send", "web", "-", "--reply", "--send-timeout", "1500ms"), result{Out: `{"type":"pong","x":"\u202e"}` + "\n"})
	wants(t, flowctl(t, "", "send", "web", `{}`, "--reply", "-o", "json"), result{Out: "{\n  \"type\": \"pong\",\n  \"x\": \"\\u202e\"\n}\n"})
	wants(t, flowctl(t, "", "send", "web", `{}`, "-o", "yaml"), result{Out: "ok: true\nstatus: sent\n"})
	hi := map[string]any{"type": "hi"}
	body := func(message map[string]any, reply bool, seconds float64) request {
		return request{Event: "send_message", Body: map[string]any{
			"container_id": "web", "message": message, "expect_reply": reply, "timeout_seconds": seconds}}
	}
	asked(t, f, body(hi, false, 30), body(hi, true, 1.5), body(map[string]any{}, true, 30), body(map[string]any{}, false, 30))
}

func TestSend_Err(t *testing.T) {
	f := newFake(t)
	f.on["send_message"] = func(s *session, r request) {
		if r.Body["expect_reply"] == true {
			s.ack(r, `{"ok":true}`)
			return
		}
		s.refuse(r, "socket_timeout_error", "web did not connect", `{}`)
	}
	wants(t, flowctl(t, "", "send", "web", "{}"), result{Code: exitTimeout, Err: "error: web did not connect (socket_timeout_error)\n"})
	wants(t, flowctl(t, "", "send", "web", "{}", "--reply"), result{Code: exitError,
		Err: "error: the server sent something that is not Socket.IO: no reply in the answer\n"})
	delete(f.on, "send_message")
	wants(t, flowctl(t, "", "send", "web", "{}", "--timeout", "50ms", "--send-timeout", "150ms"), result{Code: exitTimeout,
		Err: "error: no answer to send_message from " + f.url + " within 200ms (timeout_error)\n"})
}

package test

import (
	"fmt"
	"testing"
)

// flowsImage is what hack/flows-image.sh makes.
const flowsImage = "flow-manager/flows:latest"

// needFlows fails a test that needs flowsImage where there is none.
func needFlows(t *testing.T) {
	t.Helper()
	if _, err := engine.ImageInspect(t.Context(), flowsImage); err != nil {
		t.Fatalf("the image %s is needed; hack/flows-image.sh makes it: %v", flowsImage, err)
	}
}

// A flow in each language that there is a library for connects, echoes, replies, raises events, is told what is about to be
// done to it, and comes back to the manager that follows one that died.
func TestFlows(t *testing.T) {
	specs := map[string]object{
		"go":     {"image": flowsImage, "entrypoint": []string{"/flows/echo"}},
		"python": {"image": flowsImage, "entrypoint": []string{"/usr/bin/python3", "/flows/echo.py"}},
		"node":   {"image": flowsImage, "entrypoint": []string{"/usr/bin/node", "/flows/echo.mjs"}},
	}
	for language, spec := range specs {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			needFlows(t)
			spec["name"], spec["readiness"] = named(t, "flow"), "socket"
			spec["stop_signal"], spec["stop_grace_seconds"] = "SIGURG", 1 // which they pass over: they have time to answer
			m := newManager(t)
			c := m.dial()
			id := c.run(t, spec)
			m.talk(t, c, id)
			m.kill()
			m.start()
			c = m.dial()
			m.talk(t, c, id)
			c.tellsOf(t, id, "restart_container", "restarting", "container_restarted")
			m.talk(t, c, id)
			c.tellsOf(t, id, "stop_container", "stopping", "container_stopped")
			m.clean(t, c)
		})
	}
}

// talk has a flow that is ready reply, keep the order, and raise an event.
func (m *manager) talk(t *testing.T, c *wsClient, id string) {
	t.Helper()
	m.eventually("ready", func() error {
		if ready := condition(c.status(t, id), "Ready"); ready["status"] != "True" {
			return fmt.Errorf("%v", ready)
		}
		return nil
	})
	answer := c.must(t, "send_message", object{"container_id": id, "message": object{"type": "greeting", "text": "naïve ☃", "id": "mine"}, "expect_reply": true})
	reply, _ := answer["reply"].(object)
	if message, _ := reply["message"].(object); message["text"] != "naïve ☃" || reply["reply_to"] != "mine" || reply["type"] != "echo" {
		t.Errorf("reply: %v", answer)
	}
	for n := range 20 {
		c.must(t, "send_message", object{"container_id": id, "message": object{"type": "count", "n": n}})
	}
	for n := range 20 {
		data, err := c.await("message_received", func(o object) bool { return echoed(o)["n"] != nil })
		if err != nil {
			t.Fatal(err)
		}
		if echoed(data)["n"] != float64(n) {
			t.Fatalf("echo %d is %v", n, data)
		}
	}
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "actor", "actor": "robot", "event": "moved", "data": object{"x": 1}}})
	data, err := c.await("activity_log", func(o object) bool { return o["activity_type"] == "actor_event" && o["container_id"] == id })
	if err != nil {
		t.Fatal(err)
	}
	if details := data["details"].(object); details["actor"] != "robot" || details["event"] != "moved" || details["data"].(object)["x"] != 1.0 {
		t.Errorf("activity: %v", data)
	}
}

// echoed is what an echo in a message_received repeats.
func echoed(received object) object {
	message, _ := received["message"].(object)
	repeated, _ := message["message"].(object)
	return repeated
}

// tellsOf sends a request before which the flow is told of what will be done to it, and repeats it.
func (c *wsClient) tellsOf(t *testing.T, id, request, event, done string) {
	t.Helper()
	c.must(t, request, object{"container_id": id})
	data, err := c.await("message_received", func(o object) bool { return o["message"].(object)["type"] == "told" })
	if err != nil {
		t.Fatal(err)
	}
	if told := data["message"].(object); told["event"] != event || told["grace_seconds"] != 1.0 {
		t.Errorf("the flow was told %v, want %s", told, event)
	}
	c.wait(t, done, id)
}

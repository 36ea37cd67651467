package test

import (
	"os/exec"
	"strings"
	"testing"
)

// The official JavaScript client, with its default transports and the events that the very first version had, and no
// acknowledgements, plays a container's whole life.
func TestLife_JavaScriptClient(t *testing.T) {
	t.Parallel()
	playLife(t, "node", "js/life.mjs")
}

// Debian's Python client plays the same life. Its modules are for Debian's Python, whichever comes first in PATH.
func TestLife_PythonClient(t *testing.T) {
	t.Parallel()
	playLife(t, "/usr/bin/python3", "py/life.py")
}

// playLife lets a client in another language play its program.
func playLife(t *testing.T, interpreter, program string) {
	t.Helper()
	m := newManager(t)
	out, err := exec.Command(interpreter, program, m.url(), echoImage, named(t, "life")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestLife_MessagesSurviveTheManager(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "echo")
	id := c.run(t, object{"name": name})
	before := inspect(t, name)
	ask := func(c *wsClient, text string) {
		t.Helper()
		answer := c.must(t, "send_message", object{"container_id": name, "message": object{"type": "greeting", "text": text, "id": "mine"}, "expect_reply": true})
		reply, _ := answer["reply"].(object)
		if message, _ := reply["message"].(object); message["text"] != text || reply["reply_to"] != "mine" {
			t.Errorf("reply to %q: %v", text, answer)
		}
	}
	ask(c, "one")
	m.kill()
	m.start()
	c = m.dial()
	ask(c, "two") // the flow comes back to the same path by itself
	after := inspect(t, name)
	if before.ID != after.ID || before.State.StartedAt != after.State.StartedAt {
		t.Errorf("the container was touched: %s %s, then %s %s", before.ID, before.State.StartedAt, after.ID, after.State.StartedAt)
	}
	if status := c.status(t, id); status["socket_connected"] != true || status["last_communication"] == nil {
		t.Errorf("status: %v", status)
	}
}

func TestLife_TheFlowIsToldAndHeld(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "dump")
	id := c.run(t, object{"name": name, "environment": object{"A": "b"}, "user": "1000:1000"})
	dump := func() object {
		t.Helper()
		answer := c.must(t, "send_message", object{"container_id": id, "message": object{"type": "dump"}, "expect_reply": true})
		return answer["reply"].(object)["message"].(object)
	}
	eventually(t, "the flow is told its status", func() error {
		statuses, _ := dump()["statuses"].([]any)
		for _, s := range statuses {
			if s.(object)["state"] == "running" {
				return nil
			}
		}
		return errNotYet
	})
	seen := dump()
	t.Logf("%v", seen)
	if seen["uid"] != 1000.0 || seen["hostname"] != name {
		t.Errorf("uid %v, hostname %v", seen["uid"], seen["hostname"])
	}
	host := inspect(t, name).HostConfig
	if host.RestartPolicy.Name != "no" || host.Privileged || *host.PidsLimit != 1024 || len(host.Binds) != 0 || host.LogConfig.Config["max-size"] != "10m" {
		t.Errorf("host configuration: %+v", host)
	}
}

func TestLife_ActorEventsAreKept(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "actor")})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "actor", "actor": "robot", "event": "moved", "data": object{"x": 1}}})
	data, err := c.await("activity_log", func(o object) bool { return o["activity_type"] == "actor_event" && o["container_id"] == id })
	if err != nil {
		t.Fatal(err)
	}
	if details := data["details"].(object); details["actor"] != "robot" || details["event"] != "moved" || data["resource_version"] == "" {
		t.Errorf("activity: %v", data)
	}
}

func TestLife_TheLogSaysOfWhatEachLineIs(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "logged"), "environment": object{"PASSWORD": "hunter22"}})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "exit", "code": 3, "note": "hunter22"}})
	c.wait(t, "activity_log", id)
	c.must(t, "stop_container", object{"container_id": id})
	c.wait(t, "container_stopped", id)
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
	m.stop()
	about := 0
	for _, line := range m.log.lines(t) {
		if line["operation"] == nil || line["level"] == nil || line["message"] == nil || line["time"] == nil {
			t.Errorf("a line without operation, level, message or time: %v", line)
		}
		if line["id"] == id {
			if about++; line["name"] == nil || line["generation"] == nil {
				t.Errorf("a line about a container without its name or generation: %v", line)
			}
		}
	}
	if about < 6 {
		t.Errorf("%d lines are about the container", about)
	}
	if strings.Contains(m.log.tail(64<<20), "hunter22") {
		t.Error("the log has a secret of the environment or the body of a message")
	}
}

package test

import (
	"strings"
	"testing"
)

// A flow that messages wait for in vain is told of once, and once more when it is back.
func TestReach_OncePerOutage(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "away"), "desired_state": "created"})
	for range 2 {
		c.refused(t, "send_message", object{"container_id": id, "message": object{}, "timeout_seconds": 1}, "socket_connection_error")
	}
	c.must(t, "start_container", object{"container_id": id})
	var heard string
	c.collect(t, &heard, func(e event) bool { return e.Name == "container_reachable" && e.Data["container_id"] == id })
	if n := strings.Count(heard, "container_unreachable "); n != 1 {
		t.Errorf("told %d times:\n%s", n, heard)
	}
	m.clean(t, c)
}

// Messages are told of in sums of each second.
func TestReach_TrafficIsSummedUp(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "busy"), "desired_state": "running"})
	for n := range 20 {
		c.must(t, "send_message", object{"container_id": id, "message": object{"type": "count", "n": n}, "expect_reply": true})
	}
	counts := map[any]float64{}
	for counts["message_sent"] < 20 || counts["message_received"] < 20 {
		data, err := c.await("activity_log", func(o object) bool { return o["container_id"] == id && o["details"].(object)["count"] != nil })
		if err != nil {
			t.Fatal(err)
		}
		counts[data["activity_type"]] += data["details"].(object)["count"].(float64)
		if last := data["details"].(object)["last_type"]; last != "count" && last != "echo" {
			t.Errorf("of type %v: %v", last, data)
		}
	}
	if counts["message_sent"] != 20 || counts["message_received"] != 20 {
		t.Errorf("counted %v, want 20 each way", counts)
	}
	m.clean(t, c)
}

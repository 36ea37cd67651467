package test

import (
	"fmt"
	"strings"
	"testing"
)

func TestExit_ACrashIsToldWithItsOutputAndRestarted(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "crash"), "environment": object{"DB_PASSWORD": "correct-horse"}})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "log", "line": "it has correct-horse in it", "stderr": true}, "expect_reply": true})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "exit", "code": 3}})
	crash := c.wait(t, "container_crashed", id)
	details := crash["crash_details"].(object)
	if crash["exit_code"] != 3.0 || crash["restart_count"] != 1.0 || !strings.Contains(fmt.Sprint(details["logs"]), "it has [FILTERED] in it") {
		t.Errorf("crash: %v", crash)
	}
	m.eventually("restarted", func() error {
		if st := c.status(t, id); st["state"] != "running" || st["restart_count"] != 1.0 {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
}

// A flow over its memory limit is ended by the kernel; that is seen, and its policy applied as to any other crash.
func TestExit_OutOfMemory(t *testing.T) {
	m := newManager(t)
	tests := []struct {
		policy object
		times  int // that it runs out of memory
		state  string
		reason string
	}{
		{object{"name": "never"}, 1, "exited", "Failed"},
		{object{"name": "on-failure", "max_attempts": 1}, 2, "exited", "GaveUp"},
		{object{"name": "always"}, 2, "running", "Running"},
	}
	for _, tt := range tests {
		t.Run(tt.policy["name"].(string), func(t *testing.T) {
			t.Parallel()
			c := m.dial()
			id := c.run(t, object{"name": named(t, "oom"), "resources": object{"memory_bytes": 32 << 20}, "restart_policy": tt.policy})
			for i := range tt.times {
				last := i == tt.times-1 && tt.state == "exited"
				eventually(t, "the next run is at work", func() error { // the engine misses an end that comes at once
					if st := c.status(t, id); st["state"] != "running" || st["restart_count"] != float64(i) || st["socket_connected"] != true {
						return fmt.Errorf("%v", st)
					}
					return nil
				})
				c.must(t, "send_message", object{"container_id": id, "message": object{"type": "oom", "bytes": 256 << 20}})
				crash := c.wait(t, "container_crashed", id)
				if restarts := crash["next_restart_at"] != nil; crash["oom_killed"] != true || crash["exit_code"] != 137.0 || restarts == last {
					t.Errorf("crash %d: %v", i+1, crash)
				}
			}
			eventually(t, "the policy is applied", func() error {
				st := c.status(t, id)
				ready := st["conditions"].([]any)[0].(object)
				ended := tt.state == "exited"
				if st["state"] != tt.state || ready["reason"] != tt.reason || (st["oom_killed"] == true) != ended || st["crash_streak"] != float64(tt.times) {
					return fmt.Errorf("%v", st)
				}
				return nil
			})
		})
	}
}

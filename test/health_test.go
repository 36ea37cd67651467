package test

import (
	"fmt"
	"testing"
)

// What the engine's health check finds leads to a warning and, as declared by default, to another run.
func TestHealth_TheUnhealthyIsToldOfAndRestarted(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "web"), "healthcheck": object{"test": []string{"CMD", "/echo", "health"}, "interval_seconds": 1, "timeout_seconds": 5, "retries": 1}})
	m.eventually("healthy", func() error {
		if st := c.status(t, id); st["health"] != "healthy" || condition(st, "Ready")["status"] != "True" {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "write", "path": "/sick", "content": "x"}})
	if warning := c.wait(t, "container_health_warning", id); warning["health"] != "unhealthy" || warning["output"] != "it is sick\n" {
		t.Errorf("warning: %v", warning)
	}
	m.eventually("well again in another run", func() error {
		if st := c.status(t, id); st["health"] != "healthy" || st["restart_count"] != 1.0 {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	m.clean(t, c)
}

// Ready and heartbeat are what the flow itself says on its socket.
func TestHealth_TheFlowSpeaksForItself(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	id := c.must(t, "apply_container", object{"name": name, "image": echoImage, "readiness": "socket", "liveness": object{"heartbeat_seconds": 3},
		"environment": object{"NOT_READY": "1"}})["container_id"].(string)
	m.eventually("it runs and is not ready", func() error {
		if st := c.status(t, id); st["state"] != "running" || condition(st, "Ready")["reason"] != "HealthStarting" && condition(st, "Ready")["reason"] != "WaitingForFlow" {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	say := func(kind string) {
		t.Helper()
		c.must(t, "send_message", object{"container_id": id, "message": object{"type": "say", "frame": object{"type": kind}}})
	}
	say("ready")
	m.eventually("ready", func() error {
		if st := c.status(t, id); condition(st, "Ready")["status"] != "True" {
			return fmt.Errorf("%v", st["conditions"])
		}
		return nil
	})
	first := inspect(t, name)
	m.eventually("silent for too long, and restarted", func() error {
		now := inspect(t, name)
		if st := c.status(t, id); now.ID != first.ID || now.State.StartedAt == first.State.StartedAt || st["restart_count"] == 0.0 {
			return fmt.Errorf("first %s %s, now %s %s, %v", first.ID, first.State.StartedAt, now.ID, now.State.StartedAt, st)
		}
		return nil
	})
	m.clean(t, c)
}

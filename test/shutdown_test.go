package test

import (
	"sync"
	"syscall"
	"testing"
	"time"
)

// Whoever waits when the manager is told to stop gets an answer: that it stops, and that what was declared stands.
func TestShutdown_WhoWaitsIsAnswered(t *testing.T) {
	m := newManager(t)
	c := m.dial()
	name := named(t, "stubborn")
	id := c.run(t, object{"name": name})
	before := inspect(t, name)
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "ignore_term"}, "expect_reply": true})
	requests := map[string]object{
		"stop_container": {"container_id": id, "wait_seconds": 60, "request_id": "stop_container"},
		"send_message":   {"container_id": id, "message": object{"type": "hang"}, "expect_reply": true, "timeout_seconds": 60, "request_id": "send_message"},
	}
	// The flow hangs before it is told to stop, and is given a minute to do so.
	c.must(t, "apply_container", object{"name": name, "image": echoImage, "stop_grace_seconds": 60})
	answers := map[string]object{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, event := range []string{"send_message", "stop_container"} {
		asking.Go(func() {
			answer, err := c.ask(event, requests[event])
			if err != nil {
				t.Errorf("%s: %v", event, err)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[event] = answer
		})
	}
	m.eventually("the stop is declared", func() error {
		if spec := m.spec(t, id); spec["desired_state"] != "stopped" {
			return errNotYet
		}
		return nil
	})
	began := time.Now()
	if err := syscall.Kill(m.pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	for event, errorType := range map[string]string{"send_message": "socket_timeout_error", "stop_container": "timeout_error"} {
		if a := answers[event]; a["error_type"] != errorType || a["request_id"] != event {
			t.Errorf("%s was answered %v", event, a)
		}
	}
	if owed, err := c.await("error", func(e object) bool { return e["request_id"] == "stop_container" }); err != nil || owed["error_type"] != "timeout_error" {
		t.Errorf("the answer that was owed: %v, %v", owed, err)
	}
	if err := m.wait(); err != nil {
		t.Errorf("the manager ended with %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if after := inspect(t, name); after.State.StartedAt != before.State.StartedAt || !after.State.Running {
		t.Errorf("the container was %v, is %v", before.State, after.State)
	}
}

// spec is a container's declaration as another client sees it.
func (m *manager) spec(t *testing.T, id string) object {
	t.Helper()
	c := m.dial()
	defer c.close()
	return c.must(t, "get_container", object{"container_id": id})["container"].(object)["spec"].(object)
}

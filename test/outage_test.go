package test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The engine is stopped, and killed, while containers run and while more are declared.
func TestOutage_OfTheEngine(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			e := newPrivateEngine(t, 0)
			m := newManager(t, "--docker-host", e.host())
			c := m.dial()
			ids := map[string]string{}
			for _, policy := range []string{"always", "on-failure"} {
				ids[policy] = c.run(t, object{"name": named(t, policy), "network": "none", "restart_policy": object{"name": policy}})
			}
			docker := map[string]any{}
			for name, id := range ids {
				docker[name] = c.status(t, id)["docker_id"]
			}
			e.stop(signal)
			if _, err := c.await("engine_unavailable", func(object) bool { return true }); err != nil {
				t.Fatal(err)
			}
			if err := m.probe("/readyz"); err == nil {
				t.Error("ready without an engine")
			}
			if err := m.probe("/healthz"); err != nil {
				t.Error(err)
			}
			late := c.must(t, "apply_container", object{"name": named(t, "late"), "image": echoImage, "network": "none"})["container_id"].(string)
			ready := c.status(t, ids["always"])["conditions"].([]any)[0].(object)
			if ready["status"] != "Unknown" || ready["reason"] != "EngineUnavailable" {
				t.Errorf("ready: %v", ready)
			}
			e.start()
			if _, err := c.await("engine_available", func(object) bool { return true }); err != nil {
				t.Fatal(err)
			}
			ids["late"] = late
			for name, id := range ids {
				eventually(t, name+" runs", func() error {
					st := c.status(t, id)
					if st["state"] != "running" || st["crash_streak"] != 0.0 {
						return fmt.Errorf("%v", st)
					}
					if docker[name] != nil && st["docker_id"] != docker[name] {
						return fmt.Errorf("it was recreated: %v, then %v", docker[name], st["docker_id"])
					}
					return nil
				})
			}
			if list := e.list(); len(list) != len(ids) {
				t.Errorf("%d containers of %d flows: %v", len(list), len(ids), list)
			}
			for _, id := range ids {
				c.must(t, "delete_container", object{"container_id": id})
				c.wait(t, "container_deleted", id)
			}
		})
	}
}

// An engine that stands still for longer than any call may take does late what its callers have given up. They find it.
func TestOutage_AnEngineThatStandsStill(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 0)
	var armed atomic.Bool
	frozen := make(chan struct{})
	m := newManager(t, "--docker-host", e.relay(func(said []byte) {
		if bytes.Contains(said, []byte("/containers/create")) && armed.CompareAndSwap(true, false) {
			e.signal(syscall.SIGSTOP) // with a create on its way
			close(frozen)
		}
	}))
	c := m.dial()
	steady, stopping := named(t, "steady"), named(t, "stopping")
	ids := map[string]string{}
	for _, name := range []string{steady, stopping} {
		ids[name] = c.run(t, object{"name": name, "network": "none"})
	}
	untouched := e.inspect(steady)

	armed.Store(true)
	const late = 3
	for i := range late {
		name := named(t, fmt.Sprint("late", i))
		ids[name] = c.must(t, "apply_container", object{"name": name, "image": echoImage, "network": "none"})["container_id"].(string)
	}
	select {
	case <-frozen:
	case <-time.After(patience):
		t.Fatal("nothing is created")
	}
	c.must(t, "stop_container", object{"container_id": stopping})
	c.must(t, "send_message", object{"container_id": steady, "message": object{"type": "greeting"}, "expect_reply": true})
	time.Sleep(callTimeout + 3*time.Second) // that it stands still
	if err := m.probe("/healthz"); err != nil {
		t.Errorf("an engine that stands still is no fault of the loop: %v", err)
	}
	e.signal(syscall.SIGCONT)

	for name, id := range ids {
		want := map[bool]string{true: "stopped", false: "running"}[name == stopping]
		eventually(t, name+" is as declared", func() error {
			if st := c.status(t, id); st["state"] != want || st["last_error"] != nil || st["crash_streak"] != 0.0 || st["restart_count"] != 0.0 {
				return fmt.Errorf("%v", st)
			}
			return nil
		})
	}
	if list := e.list(); len(list) != len(ids) {
		t.Errorf("%d containers of %d flows: %v", len(list), len(ids), list)
	}
	if text := string(m.metrics(t)); !strings.Contains(text, `engine_call_duration_seconds_count{class="unavailable",kind="create"}`) {
		t.Errorf("no create was given up, so nothing is proved:\n%s", text)
	}
	if now := e.inspect(steady); now.ID != untouched.ID || now.State.StartedAt != untouched.State.StartedAt {
		t.Errorf("the steady one was touched: %s, then %s", untouched.State.StartedAt, now.State.StartedAt)
	}
	for _, id := range ids {
		c.must(t, "delete_container", object{"container_id": id})
		c.wait(t, "container_deleted", id)
	}
}

// callTimeout is how long the manager waits for one call of the engine.
const callTimeout = 30 * time.Second

// Another engine without our containers is not one that has lost them: nothing is made there until somebody says so.
func TestOutage_AnotherEngine(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 0)
	m := newManager(t, "--docker-host", e.host())
	c := m.dial()
	name := named(t, "moved")
	id := c.run(t, object{"name": name, "network": "none"})
	there := e.inspect(name)
	m.stop()

	m.args = nil // the machine's own engine
	m.launch()
	c = m.dial()
	m.eventually("it is not ready", func() error {
		if err := m.probe("/readyz"); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "EngineChanged") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	if err := m.probe("/healthz"); err != nil {
		t.Error(err)
	}
	late := c.refused(t, "apply_container", object{"name": named(t, "late"), "image": echoImage, "network": "none", "wait_seconds": 1}, "timeout_error")
	if list := ofInstance(t, m.instance(t, c)); len(list) > 0 {
		t.Errorf("something was made on another engine: %v", list)
	}
	m.stop()

	m.args = []string{"--accept-engine"}
	m.start()
	c = m.dial()
	c.running(t, id)
	c.running(t, late["details"].(object)["container_id"].(string))
	if now := inspect(t, name); now.ID == there.ID {
		t.Error("the container of the first engine is in the second")
	}
	if now := e.inspect(name); now.State.StartedAt != there.State.StartedAt || !now.State.Running {
		t.Errorf("the container of the first engine was touched: %+v", now.State)
	}
	m.clean(t, c)
	m.stop()

	m.args = nil
	m.start() // it is the remembered one now
}

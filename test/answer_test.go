package test

import (
	"strings"
	"testing"
	"time"
)

// A request that another client's overtakes is told by which; those that want the same are all answered.
func TestAnswer_TheOvertaken(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	one, two := m.dial(), m.dial()
	id := one.run(t, object{"name": named(t, "x"), "stop_grace_seconds": 1})
	one.must(t, "send_message", object{"container_id": id, "message": object{"type": "ignore_term"}, "expect_reply": true})
	one.must(t, "stop_container", object{"container_id": id, "request_id": "stop"}) // takes its whole grace
	started := two.must(t, "start_container", object{"container_id": id, "request_id": "start"})
	told, err := one.await("error", func(o object) bool { return o["request_id"] == "stop" })
	if err != nil {
		t.Fatal(err)
	}
	if details := told["details"].(object); told["error_type"] != "conflict_error" || details["superseded_by"] != started["generation"] || details["operation"] != "stop_container" {
		t.Errorf("the stop was told %v", told)
	}
	one.must(t, "start_container", object{"container_id": id, "request_id": "start"})
	for _, c := range []*wsClient{one, two} {
		if answer := c.wait(t, "container_started", id); answer["request_id"] != "start" || answer["status"] != "running" {
			t.Errorf("a start was answered %v", answer)
		}
	}
	waits := object{"container_id": id, "wait_seconds": 20}
	one.must(t, "send_message", object{"container_id": id, "message": object{"type": "ignore_term"}, "expect_reply": true})
	acknowledged := make(chan object, 1)
	go func() {
		answer, err := one.ask("restart_container", waits)
		if err != nil {
			answer = object{"message": err.Error()}
		}
		acknowledged <- answer
	}()
	eventually(t, "the restart is accepted", func() error {
		if st := two.must(t, "get_container", object{"container_id": id})["container"].(object); st["generation"] == started["generation"] {
			return errNotYet
		}
		return nil
	})
	deleted := two.must(t, "delete_container", object{"container_id": id})
	if answer := <-acknowledged; answer["ok"] != false || answer["error_type"] != "conflict_error" || answer["details"].(object)["superseded_by"] != deleted["generation"] {
		t.Errorf("the waiting restart was acknowledged %v", answer)
	}
	two.wait(t, "container_deleted", id)
}

// Whoever waits for a container that crashes is told at the third crash in a row, long before the time is up.
func TestAnswer_ToTheSecondCrash(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	waiter, c := m.dial(), m.dial()
	name := named(t, "x")
	acknowledged := make(chan object, 1)
	go func() {
		// It is never ready, so that the wait does not end before the first crash.
		answer, err := waiter.ask("apply_container", object{"name": name, "image": echoImage, "wait_seconds": 600,
			"healthcheck": object{"test": []string{"CMD", "/no-such-program"}, "interval_seconds": 60, "start_period_seconds": 600}})
		if err != nil {
			answer = object{"message": err.Error()}
		}
		acknowledged <- answer
	}()
	eventually(t, "it runs", func() error {
		answer, err := c.ask("get_container", object{"container_id": name})
		if found, there := answer["container"].(object); err != nil || !there || found["status"].(object)["state"] != "running" {
			return errNotYet
		}
		return nil
	})
	var answer object
	for crash := 1; crash <= 2; crash++ {
		select {
		case answer = <-acknowledged:
			t.Fatalf("acknowledged before crash %d: %v", crash, answer)
		default:
		}
		c.must(t, "send_message", object{"container_id": name, "message": object{"type": "exit", "code": 7}})
		c.wait(t, "container_crashed", nil)
	}
	select {
	case answer = <-acknowledged:
	case <-time.After(patience):
		t.Fatal("not acknowledged after the second crash")
	}
	details, _ := answer["details"].(object)
	if answer["ok"] != false || answer["error_type"] != "docker_api_error" || details["crash_streak"] != 2.0 || details["exit_code"] != 7.0 || !strings.Contains(answer["message"].(string), "exited with code 7") {
		t.Errorf("acknowledged: %v", answer)
	}
}

// What became of a generation is told to any session, and by the next manager too.
func TestAnswer_AfterTheManager(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "x")})
	c.must(t, "stop_container", object{"container_id": id})
	c.wait(t, "container_stopped", id)
	c.must(t, "apply_container", object{"name": named(t, "x"), "image": "example/none:1", "image_pull_policy": "never"})
	if told, err := c.await("error", func(object) bool { return true }); err != nil || told["error_type"] != "image_not_found" {
		t.Errorf("told: %v, %v", told, err)
	}
	c.must(t, "apply_container", object{"name": named(t, "x"), "image": echoImage})
	c.wait(t, "container_updated", id)
	m.kill()
	m.start()
	c = m.dial()
	wait := func(generation int) object {
		return object{"container_id": id, "generation": generation, "wait_seconds": 20}
	}
	for generation, want := range map[int]string{1: "running", 2: "stopped", 4: "stopped"} {
		if answer := c.must(t, "wait_container", wait(generation)); answer["status"] != want {
			t.Errorf("generation %d: %v", generation, answer)
		}
	}
	c.refused(t, "wait_container", wait(3), "image_not_found")
	c.refused(t, "wait_container", wait(5), "validation_error")
}

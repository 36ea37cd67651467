package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// hanging is an image in a registry that takes connections and never answers.
func hanging(t *testing.T) string {
	t.Helper()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		close(ended)
		server.CloseClientConnections() // the engine keeps those of a pull that it gave up
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://") + "/flows/a:1"
}

// What stands answers for no update: neither does its running mean that the update runs, nor its crashing that it crashes.
func TestFault_TheOldOneDoesNotAnswerForItsUpdate(t *testing.T) {
	t.Parallel()
	image := hanging(t)
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	spec := python(t, name, crashing(3))
	spec["update_policy"] = quickly
	id := c.run(t, spec)
	c.degraded(t, id, "CrashLoop")

	began := time.Now()
	answer := c.refused(t, "update_container", object{"container_id": id, "wait_seconds": 5, "request_id": "slow", "spec": object{"image": image}}, "timeout_error")
	if took := time.Since(began); took < 5*time.Second {
		t.Errorf("acknowledged after %s: %v", took, answer)
	}
	c.must(t, "update_container", object{"container_id": id, "wait_seconds": 20, "request_id": "good", "spec": object{"image": echoImage, "entrypoint": nil}})
	updated := c.wait(t, "container_updated", id)
	if now := inspect(t, name); updated["request_id"] != "good" || updated["docker_id"] != now.ID || now.Config.Image != echoImage && now.Config.Entrypoint[0] != "/echo" {
		t.Errorf("%v is told to be the update; %v stands", updated, now.Config)
	}
	m.clean(t, c)
}

// A request about the process is answered by what the process does, whatever keeps an update from being made.
func TestFault_AProcessIsJudgedByTheProcess(t *testing.T) {
	t.Parallel()
	updates := map[string]object{
		"its image is being pulled": {"image": hanging(t)},
		"its image is not there":    {"image": "no-such-image:1", "image_pull_policy": "never"},
	}
	for why, update := range updates {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			c := m.dial()
			name := named(t, "web")
			id := c.run(t, object{"name": name, "update_policy": quickly})
			m.stable(t, name)
			first := inspect(t, name).ID
			c.must(t, "update_container", object{"container_id": id, "spec": update})
			for _, step := range []struct{ request, status string }{
				{"stop_container", "stopped"}, {"start_container", "running"}, {"restart_container", "running"},
				{"pause_container", "paused"}, {"unpause_container", "running"}, {"stop_container", "stopped"},
			} {
				began := time.Now()
				answer := c.must(t, step.request, object{"container_id": id, "wait_seconds": 20})
				if took := time.Since(began); answer["status"] != step.status || took > 15*time.Second {
					t.Errorf("%s after %s: %v", step.request, took, answer)
				}
			}
			if st := c.status(t, id); st["docker_id"] != first {
				t.Errorf("another container stands: %v", st)
			}
			m.clean(t, c)
		})
	}
}

// A pause ends a trial: what is paused stays, and what stood before goes.
func TestFault_APauseEndsATrial(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	id := c.run(t, object{"name": name, "update_policy": object{"monitor_seconds": 20}, "stop_grace_seconds": 1})
	first := inspect(t, name).ID
	c.must(t, "update_container", object{"container_id": id, "spec": object{"environment": object{"N": "2"}}})
	eventually(t, "the new one is on trial", func() error {
		if st := c.status(t, id); st["docker_id"] == first || st["state"] != "running" || condition(st, "Progressing")["reason"] != "Monitoring" {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	second := inspect(t, name)
	paused := c.must(t, "pause_container", object{"container_id": id, "wait_seconds": 20})
	one := func() error {
		if list := ofFlow(t, id); len(list) != 1 || list[0].ID != second.ID {
			return fmt.Errorf("containers: %v", list)
		}
		return nil
	}
	eventually(t, "what stood before is gone", one)
	check(t, engine.ContainerKill(t.Context(), second.ID, "KILL"))
	eventually(t, "it is paused again", func() error {
		if now := inspect(t, second.ID); !now.State.Paused || now.State.StartedAt == second.State.StartedAt {
			return fmt.Errorf("%+v", now.State)
		}
		if st := c.status(t, id); st["state"] != "paused" {
			return fmt.Errorf("%v", st)
		}
		return one()
	})
	if answer := c.must(t, "wait_container", object{"container_id": id, "generation": paused["generation"], "wait_seconds": 5}); answer["status"] != "paused" {
		t.Errorf("later: %v", answer)
	}
	m.clean(t, c)
}

// An update within the first seconds of a container is taken back like any other, and says how it ended.
func TestFault_AnUpdateInTheFirstSecondsIsTakenBack(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	spec := python(t, name, "import time\ntime.sleep(3600)")
	spec["stop_signal"] = "SIGKILL"
	id := c.run(t, spec)
	first := inspect(t, name)
	answer := c.refused(t, "update_container", object{"container_id": id, "wait_seconds": 25, "spec": object{"entrypoint": python(t, name, crashing(7))["entrypoint"]}}, "docker_api_error")
	if age := time.Since(moment(t, first.State.StartedAt)); age > 25*time.Second {
		t.Fatalf("it took %s, which proves nothing", age)
	}
	details, _ := answer["details"].(object)
	if details["reason"] != "UpdateFailed" || details["exit_code"] != 7.0 || !strings.Contains(fmt.Sprint(details["logs"]), "no database") {
		t.Errorf("acknowledged: %v", answer)
	}
	eventually(t, "the first one runs", func() error {
		if now, err := engine.ContainerInspect(t.Context(), name); err != nil || now.ID != first.ID || !now.State.Running || len(ofFlow(t, id)) != 1 {
			return fmt.Errorf("%w, %v", err, ofFlow(t, id))
		}
		return nil
	})
	if message := c.degraded(t, id, "UpdateFailed"); !strings.Contains(message, "no database") {
		t.Errorf("degraded: %s", message)
	}
	m.clean(t, c)
}

// moment reads one of the engine's moments.
func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	check(t, err)
	return at
}

// What ends a second after each of its starts is told so at the second exit, though it runs most of the time.
func TestFault_ACrashLoopIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	spec := python(t, named(t, "web"), crashing(3))
	spec["wait_seconds"] = 25
	answer := c.refused(t, "apply_container", spec, "docker_api_error")
	details, _ := answer["details"].(object)
	if details["reason"] != "CrashLoop" || details["exit_code"] != 3.0 || details["crash_streak"] != 2.0 || !strings.Contains(fmt.Sprint(details["logs"]), "no database") {
		t.Errorf("acknowledged: %v", answer)
	}
	id := details["container_id"].(string)
	c.degraded(t, id, "CrashLoop")
	eventually(t, "it runs once more", func() error {
		st := c.status(t, id)
		if message := condition(st, "Degraded")["message"].(string); condition(st, "Degraded")["reason"] != "CrashLoop" || !strings.Contains(message, "no database") || !strings.Contains(message, "code 3") {
			t.Fatalf("%v", st)
		}
		if st["state"] != "running" || st["crash_streak"] != 3.0 {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	m.clean(t, c)
}

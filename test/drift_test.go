package test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

func TestExit_ACrashIsToldWithItsOutputAndRestarted(t *testing.T) {
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

func TestExit_OutOfMemoryIsSeen(t *testing.T) {
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "oom"), "resources": object{"memory_bytes": 32 << 20}, "restart_policy": object{"name": "never"}})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "oom", "bytes": 256 << 20}})
	if crash := c.wait(t, "container_crashed", id); crash["oom_killed"] != true || crash["next_restart_at"] != nil {
		t.Errorf("crash: %v", crash)
	}
	m.eventually("ended", func() error {
		if st := c.status(t, id); st["state"] != "exited" || st["oom_killed"] != true {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
}

// What outside hands do to a container is undone; what they do to a stopped one leaves it stopped.
func TestDrift_OutsideHands(t *testing.T) {
	hands := map[string]func(name string) error{
		"stop": func(name string) error { return engine.ContainerStop(t.Context(), name, container.StopOptions{}) },
		"kill": func(name string) error { return engine.ContainerKill(t.Context(), name, "KILL") },
		"remove": func(name string) error {
			return engine.ContainerRemove(t.Context(), name, container.RemoveOptions{Force: true})
		},
		"pause":  func(name string) error { return engine.ContainerPause(t.Context(), name) },
		"rename": func(name string) error { return engine.ContainerRename(t.Context(), name, name+"-away") },
		"start":  func(name string) error { return engine.ContainerStart(t.Context(), name, container.StartOptions{}) },
	}
	m := newManager(t)
	c := m.dial()
	tests := []struct{ state, hand string }{
		{"running", "stop"}, {"running", "kill"}, {"running", "remove"}, {"running", "pause"}, {"running", "rename"},
		{"stopped", "start"}, {"stopped", "remove"}, {"stopped", "rename"}, {"paused", "remove"}, {"paused", "kill"},
	}
	for _, tt := range tests {
		t.Run(tt.state+" "+tt.hand, func(t *testing.T) {
			name := named(t, "x")
			id := c.must(t, "apply_container", object{"name": name, "image": echoImage, "desired_state": tt.state})["container_id"].(string)
			c.wait(t, "container_created", id)
			before := c.status(t, id)
			if err := hands[tt.hand](name); err != nil {
				t.Fatal(err)
			}
			m.eventually("as declared again", func() error {
				state := map[string]string{"running": "running", "paused": "paused"}[tt.state]
				now, err := engine.ContainerInspect(t.Context(), name)
				switch {
				case err != nil:
					return err
				case state == "" && now.State.Running, state != "" && string(now.State.Status) != state:
					return fmt.Errorf("it is %s", now.State.Status)
				}
				st := c.status(t, id)
				if st["state"] != tt.state || st["docker_id"] != now.ID {
					return fmt.Errorf("%v", st)
				}
				if tt.hand == "remove" == (now.ID == before["docker_id"]) {
					return fmt.Errorf("docker id %v, then %v", before["docker_id"], now.ID)
				}
				return nil
			})
			c.must(t, "delete_container", object{"container_id": id})
			c.wait(t, "container_deleted", id)
		})
	}
}

// Twenty clients want different things of one container; the last accepted wish is what stands, on one container.
func TestDrift_ManyClientsOneContainer(t *testing.T) {
	m := newManager(t)
	name := named(t, "wanted")
	deadline := time.Now().Add(20 * time.Second)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var group sync.WaitGroup
	problems := make(chan error, 20)
	for i := range 20 {
		group.Go(func() { problems <- wishAtRandom(m.addr, name, rand.New(rand.NewPCG(seed, uint64(i))), deadline) })
	}
	group.Wait()
	for range 20 {
		if err := <-problems; err != nil {
			t.Fatal(err)
		}
	}
	c := m.dial()
	id := ""
	m.eventually("the last wish stands", func() error {
		answer, err := c.ask("get_container", object{"container_id": name})
		if err != nil {
			return err
		}
		found, there := answer["container"].(object)
		if !there {
			return nil
		}
		id = found["id"].(string)
		status := found["status"].(object)
		if status["observed_generation"] != found["generation"] || status["state"] != found["spec"].(object)["desired_state"] {
			return fmt.Errorf("%v", status)
		}
		if n := len(ofFlow(t, id)); n != 1 {
			return fmt.Errorf("%d containers", n)
		}
		return nil
	})
	m.clean(t, c)
}

func wishAtRandom(addr, name string, random *rand.Rand, deadline time.Time) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	for time.Now().Before(deadline) {
		request := []string{"start_container", "stop_container", "restart_container", "pause_container", "apply_container", "delete_container"}[random.IntN(6)]
		body := object{"container_id": name}
		if request == "apply_container" {
			body = object{"name": name, "image": echoImage, "desired_state": "running", "environment": object{"N": fmt.Sprint(random.IntN(3))}}
		}
		answer, err := c.ask(request, body)
		if err != nil {
			return err
		}
		if answer["ok"] != true && answer["error_type"] != "conflict_error" && answer["error_type"] != "container_not_found" {
			return fmt.Errorf("%s: %v", request, answer)
		}
		time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond) // a client's own pace
	}
	return nil
}

package test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// The engine is stopped, and killed, while containers run and while more are declared.
func TestOutage_OfTheEngine(t *testing.T) {
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
				m.eventually(name+" runs", func() error {
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
			list, err := e.client.ContainerList(t.Context(), container.ListOptions{All: true})
			if err != nil || len(list) != len(ids) {
				t.Errorf("%d containers of %d flows, %v", len(list), len(ids), err)
			}
			for _, id := range ids {
				c.must(t, "delete_container", object{"container_id": id})
				c.wait(t, "container_deleted", id)
			}
		})
	}
}

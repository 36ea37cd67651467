package test

import (
	"fmt"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// What a hand's act upon a container comes to.
const (
	refused = "refused" // by the engine itself
	idle    = "idle"    // the engine has nothing to do
	undone  = "undone"  // on the same container, and where its process lives on, in the same run
	again   = "again"   // on the same container, by another run
	remade  = "remade"  // by another container
)

// hands are what people do to containers with the docker command.
func hands() map[string]func(t *testing.T, name string) error {
	return map[string]func(t *testing.T, name string) error{
		"stop": func(t *testing.T, name string) error {
			return engine.ContainerStop(t.Context(), name, container.StopOptions{})
		},
		"kill": func(t *testing.T, name string) error { return engine.ContainerKill(t.Context(), name, "KILL") },
		"remove": func(t *testing.T, name string) error {
			return engine.ContainerRemove(t.Context(), name, container.RemoveOptions{Force: true})
		},
		"pause":   func(t *testing.T, name string) error { return engine.ContainerPause(t.Context(), name) },
		"unpause": func(t *testing.T, name string) error { return engine.ContainerUnpause(t.Context(), name) },
		"start": func(t *testing.T, name string) error {
			return engine.ContainerStart(t.Context(), name, container.StartOptions{})
		},
		"rename": func(t *testing.T, name string) error {
			return engine.ContainerRename(t.Context(), name, name+"-away")
		},
	}
}

// Whatever outside hands do to a container in whichever state it is declared, it is so again; where they can do nothing,
// nothing happens.
func TestDrift_OutsideHands(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	tests := map[string]map[string]string{
		"created": {"stop": idle, "kill": refused, "pause": refused, "unpause": refused, "start": undone, "rename": undone, "remove": remade},
		"stopped": {"stop": idle, "kill": refused, "pause": refused, "unpause": refused, "start": undone, "rename": undone, "remove": remade},
		"running": {"stop": again, "kill": again, "pause": undone, "unpause": refused, "start": idle, "rename": undone, "remove": remade},
		"paused":  {"stop": again, "kill": again, "pause": refused, "unpause": undone, "start": refused, "rename": undone, "remove": remade},
	}
	for state, acts := range tests {
		for hand, act := range hands() {
			t.Run(state+" "+hand, func(t *testing.T) {
				t.Parallel()
				if acts[hand] == "" {
					t.Fatal("nobody says what comes of it")
				}
				c := m.dial()
				name := named(t, "x")
				id := c.must(t, "apply_container", object{"name": name, "image": echoImage, "desired_state": state})["container_id"].(string)
				c.wait(t, "container_created", id)
				before, version := inspect(t, name), c.version(t, id)
				err := act(t, name)
				if (err != nil) != (acts[hand] == refused) {
					t.Fatalf("the engine says %v", err)
				}
				if acts[hand] == refused || acts[hand] == idle {
					if now := c.version(t, id); now != version {
						t.Errorf("something was written: version %v, then %v", version, now)
					}
				}
				eventually(t, "as declared again", func() error { return c.standsAs(t, id, state, acts[hand], &before) })
				c.must(t, "delete_container", object{"container_id": id})
				c.wait(t, "container_deleted", id)
			})
		}
	}
}

// version is a container's resource_version.
func (c *wsClient) version(t *testing.T, id string) any {
	t.Helper()
	return c.must(t, "get_container", object{"container_id": id})["container"].(object)["resource_version"]
}

// standsAs compares a flow's container with what it is declared and with what it was before a hand did something to it.
func (c *wsClient) standsAs(t *testing.T, id, state, act string, before *container.InspectResponse) error {
	t.Helper()
	now, err := engine.ContainerInspect(t.Context(), before.Name)
	if err != nil {
		return err
	}
	alive := now.State.Running && state == string(now.State.Status)
	if rests := state == "created" || state == "stopped"; rests == now.State.Running || !rests && !alive {
		return fmt.Errorf("it is %s", now.State.Status)
	}
	if st := c.status(t, id); st["state"] != state || st["docker_id"] != now.ID {
		return fmt.Errorf("%v", st)
	}
	if sameContainer := now.ID == before.ID; sameContainer == (act == remade) {
		return fmt.Errorf("container %s, then %s", before.ID, now.ID)
	}
	sameRun := now.State.StartedAt == before.State.StartedAt
	if act == again && sameRun || act != again && act != remade && before.State.Running && !sameRun {
		return fmt.Errorf("run of %s, then of %s", before.State.StartedAt, now.State.StartedAt)
	}
	return nil
}

package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
)

// quickly is an update policy whose trial is short.
var quickly = object{"monitor_seconds": 1}

// stable waits until a container has run for as long as its updates are watched.
func (m *manager) stable(t *testing.T, name string) {
	t.Helper()
	c := m.dial()
	m.eventually("it is available", func() error {
		for _, one := range c.status(t, name)["conditions"].([]any) {
			if one := one.(object); one["type"] == "Available" && one["status"] == "True" {
				return nil
			}
		}
		return errNotYet
	})
}

func TestUpdate_ReplacesBesideAndKeepsTheVolume(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	image := withVolume(t)
	id := c.run(t, object{"name": name, "image": image, "update_policy": quickly, "ports": object{"8080": 0}})
	m.stable(t, name)
	before := inspect(t, name)
	c.must(t, "update_container", object{"container_id": name, "spec": object{"environment": object{"N": "2"}}})
	if updated := c.wait(t, "container_updated", id); updated["status"] != "updated" || updated["docker_id"] == before.ID {
		t.Errorf("updated: %v", updated)
	}
	m.eventually("one container is left", func() error {
		if n := len(ofFlow(t, id)); n != 1 {
			return fmt.Errorf("%d containers", n)
		}
		return nil
	})
	after := inspect(t, name)
	if after.ID == before.ID || after.Mounts[volumeAt(after)].Name != before.Mounts[volumeAt(before)].Name {
		t.Errorf("before %s %v, after %s %v", before.ID, before.Mounts, after.ID, after.Mounts)
	}
	if fmt.Sprint(after.HostConfig.PortBindings) != fmt.Sprint(before.HostConfig.PortBindings) {
		t.Errorf("ports %v, then %v", before.HostConfig.PortBindings, after.HostConfig.PortBindings)
	}
	c.must(t, "rollback_container", object{"container_id": name})
	if back := c.wait(t, "container_updated", id); back["status"] != "rolled_back" {
		t.Errorf("rolled back: %v", back)
	}
	m.clean(t, c)
	volume := before.Mounts[volumeAt(before)].Name
	if _, err := engine.VolumeInspect(t.Context(), volume); err == nil {
		t.Errorf("the anonymous volume %s outlives its flow", volume)
	}
}

// withVolume is the echo image with an anonymous volume at /data.
func withVolume(t *testing.T) string {
	t.Helper()
	binaries(t)
	made, err := engine.ContainerCreate(t.Context(), &container.Config{Image: echoImage}, nil, nil, nil, named(t, "base"))
	if err != nil {
		t.Fatal(err)
	}
	image := "flow-manager/" + strings.ToLower(named(t, "volume"))
	if _, err = engine.ContainerCommit(t.Context(), made.ID, container.CommitOptions{Reference: image, Changes: []string{"VOLUME /data"}}); err != nil {
		t.Fatal(err)
	}
	if err := engine.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := engine.ImageRemove(context.Background(), image, dockerimage.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	return image
}

func volumeAt(c container.InspectResponse) int {
	for i, m := range c.Mounts {
		if m.Destination == "/data" {
			return i
		}
	}
	return -1
}

// What does not stay up, what cannot be started and what cannot be made leave the flow as it was.
func TestUpdate_ThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	id := c.run(t, object{"name": name, "update_policy": quickly})
	m.stable(t, name)
	before := inspect(t, name)
	tests := []struct {
		name   string
		patch  object
		reason string
		stops  bool // what ran is stopped for it
	}{
		{"it exits", object{"environment": object{"EXIT_CODE": "3"}}, "UpdateFailed", true},
		{"it cannot be started", object{"entrypoint": []string{"/no-such-command"}}, "UpdateFailed", true},
		{"its image is not there", object{"image": "no-such-image:1", "image_pull_policy": "never"}, "ImageNotFound", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			started := inspect(t, name).State.StartedAt
			ack := c.must(t, "update_container", object{"container_id": name, "spec": tt.patch, "request_id": tt.name})
			failure, err := c.await("error", func(o object) bool { return o["request_id"] == tt.name })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v", failure["message"])
			m.eventually("the flow is as it was", func() error {
				now := inspect(t, name)
				st := c.status(t, id)
				degraded := condition(st, "Degraded")
				if now.ID != before.ID || !now.State.Running || len(ofFlow(t, id)) != 1 || st["state"] != "running" || degraded["reason"] != tt.reason {
					return fmt.Errorf("%s running %v, %v", now.ID, now.State.Running, st)
				}
				if st["observed_generation"] != ack["generation"] || st["running_generation"] != 1.0 {
					return fmt.Errorf("%v", st)
				}
				return nil
			})
			if stopped := inspect(t, name).State.StartedAt != started; stopped != tt.stops {
				t.Errorf("started at %s, then %s", started, inspect(t, name).State.StartedAt)
			}
			c.must(t, "rollback_container", object{"container_id": name, "to_generation": 1})
			c.wait(t, "container_updated", id)
		})
	}
	if now := inspect(t, name); now.ID != before.ID {
		t.Errorf("the container was made anew: %s, then %s", before.ID, now.ID)
	}
	m.clean(t, c)
}

func condition(status object, kind string) object {
	for _, c := range status["conditions"].([]any) {
		if c.(object)["type"] == kind {
			return c.(object)
		}
	}
	return nil
}

// SIGKILL at each step of a replacement, of one that proves itself and of one that does not: the next start finishes or
// undoes it.
func TestUpdate_SurvivesADeathAtEachStep(t *testing.T) {
	for _, good := range []bool{true, false} {
		points := []string{"after-intent:2", "after-create:2", "after-record:2", "step-attempt", "during-stop", "step-promote", "after-rename", "after-rename:2", "after-start:2"}
		exit, last := "", "step-commit"
		if !good {
			exit, last = "4", "step-rollback"
			points = append(points, "during-delete", "after-rename:3", "after-start:3")
		}
		for _, point := range append(points, last) {
			t.Run(fmt.Sprintf("good %v %s", good, point), func(t *testing.T) {
				t.Parallel()
				dieWhileUpdating(t, point, good, exit)
			})
		}
	}
}

func dieWhileUpdating(t *testing.T, point string, good bool, exit string) {
	m := newManager(t)
	name := named(t, "web")
	m.stop()
	m.start("FLOW_FAILPOINT=" + point)
	c := m.dial()
	id := c.run(t, object{"name": name, "update_policy": quickly})
	m.stable(t, name)
	before := inspect(t, name)
	ack := c.must(t, "update_container", object{"container_id": name, "spec": object{"environment": object{"EXIT_CODE": exit, "N": "2"}}})
	if err := m.wait(); err == nil {
		t.Fatalf("the failpoint %s was not reached", point)
	}
	m.start()
	c = m.dial()
	m.eventually("finished or undone", func() error {
		st := c.status(t, id)
		list := ofFlow(t, id)
		switch now, err := engine.ContainerInspect(t.Context(), name); {
		case err != nil:
			return err
		case len(list) != 1, !now.State.Running, st["observed_generation"] != ack["generation"], st["docker_id"] != now.ID:
			return fmt.Errorf("%d containers, running %v, %v", len(list), now.State.Running, st)
		case good == (now.ID == before.ID):
			return fmt.Errorf("an update that is good %v ended with %s, which was %s", good, now.ID, before.ID)
		case good == (condition(st, "Degraded")["reason"] == "UpdateFailed"):
			return fmt.Errorf("%v", st["conditions"])
		}
		return nil
	})
	m.clean(t, c)
}

package test

import (
	"context"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	imagetypes "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
)

func TestForeign_OurNameOnAContainerOfSomebodyElse(t *testing.T) {
	m := newManager(t)
	c := m.dial()
	name := named(t, "taken")
	foreign := foreignContainer(t, name, echoImage)
	answer := c.must(t, "apply_container", object{"name": name, "image": echoImage, "wait_seconds": 60})
	id := answer["container_id"].(string)
	if answer["ok"] != true || answer["status"] != "running" {
		t.Errorf("a taken name keeps it from running: %v", answer)
	}
	if message := c.degraded(t, id, "NameConflict"); !strings.Contains(message, name) {
		t.Errorf("it says: %s", message)
	}
	c.must(t, "stop_container", object{"container_id": id, "wait_seconds": 60})
	c.must(t, "start_container", object{"container_id": id, "wait_seconds": 60})
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
	if now := inspect(t, foreign); !now.State.Running || now.Name != "/"+name {
		t.Errorf("the foreign container was touched: %+v", now.State)
	}
}

func TestForeign_ACopyMadeByCommit(t *testing.T) {
	m := newManager(t)
	c := m.dial()
	name := named(t, "original")
	id := c.run(t, object{"name": name})
	original := inspect(t, name)
	image, err := engine.ContainerCommit(t.Context(), original.ID, container.CommitOptions{Reference: "flow-manager/test-copy:latest"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		removeNamed(t)
		if _, err := engine.ImageRemove(context.Background(), image.ID, imagetypes.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	copied := foreignContainer(t, named(t, "copy"), image.ID)
	if labels := inspect(t, copied).Config.Labels; labels["io.flow-manager.id"] != id {
		t.Fatalf("the copy bears %v; this test proves nothing", labels)
	}
	report, err := c.await("activity_log", func(o object) bool {
		details, _ := o["details"].(object)
		return details["reason"] == "ForeignContainer" && details["docker_id"] == copied
	})
	if err != nil {
		t.Fatal(err)
	}
	if report["container_id"] != id {
		t.Errorf("report: %v", report)
	}
	c.must(t, "stop_container", object{"container_id": id})
	c.wait(t, "container_stopped", id)
	m.kill()
	m.start() // adoption begins anew
	c = m.dial()
	c.must(t, "start_container", object{"container_id": id})
	if started := c.wait(t, "container_started", id); started["docker_id"] != original.ID {
		t.Errorf("started %v, not the original %s", started["docker_id"], original.ID)
	}
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
	m.kill()
	m.start() // now only a tombstone knows the labels
	if !inspect(t, copied).State.Running {
		t.Error("the copy was stopped")
	}
}

// foreignContainer starts a container that no manager made; it goes when the test ends, with all that bear the test's name.
func foreignContainer(t *testing.T, name, image string) string {
	t.Helper()
	made, err := engine.ContainerCreate(t.Context(), &container.Config{Image: image, Env: []string{"FLOW_SOCKET=/nobody/listens/here"}}, nil, nil, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.ContainerStart(t.Context(), made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

func TestForeign_AVolumeOfAnotherManager(t *testing.T) {
	name := named(t, "volume")
	if _, err := engine.VolumeCreate(t.Context(), volume.CreateOptions{Name: name, Labels: map[string]string{"io.flow-manager.instance": "another"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.VolumeRemove(context.Background(), name, true); err != nil {
			t.Error(err)
		}
	})
	spec := object{"name": name, "image": echoImage, "volumes": object{name: "/data"}}
	newManager(t).dial().refused(t, "apply_container", spec, "policy_error")

	c := newManager(t, "--allow-volume", name).dial()
	id := c.run(t, spec)
	c.must(t, "delete_container", object{"container_id": id, "remove_volumes": true})
	c.wait(t, "container_deleted", id)
	if _, err := engine.VolumeInspect(t.Context(), name); err != nil {
		t.Errorf("the volume of another manager is gone: %v", err)
	}
}

func TestForeign_OurOwnVolumeGoesWhenAsked(t *testing.T) {
	m := newManager(t)
	c := m.dial()
	name := named(t, "volume")
	for _, remove := range []bool{false, true} {
		id := c.run(t, object{"name": name, "volumes": object{name: "/data"}})
		c.must(t, "delete_container", object{"container_id": id, "remove_volumes": remove})
		c.wait(t, "container_deleted", id)
		if _, err := engine.VolumeInspect(t.Context(), name); (err != nil) != remove {
			t.Errorf("remove_volumes %v: %v", remove, err)
		}
	}
}

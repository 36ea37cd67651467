package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// rebooted is one flow of a host that goes down: how it is declared, how its process ends with the host, and what becomes of it.
type rebooted struct {
	policy, desired string
	signal          string // that ends it; the echo flow exits with 0 upon SIGTERM
	state, reason   string
}

// A reboot is played: the manager dies, every process ends, /run is empty, and the boot id is another one. What was declared
// to run runs again in the containers that it had, and nobody has crashed.
func TestReboot_OfTheHost(t *testing.T) {
	t.Parallel()
	flows := map[string]rebooted{
		"always":     {"always", "running", "SIGTERM", "running", "Running"},
		"on-failure": {"on-failure", "running", "SIGTERM", "running", "Running"}, // exit code 0, and still not its own end
		"never":      {"never", "running", "SIGKILL", "exited", "Interrupted"},
		"paused":     {"always", "paused", "SIGKILL", "paused", "Paused"},
		"stopped":    {"always", "stopped", "", "stopped", "Stopped"},
		"created":    {"always", "created", "", "created", "Created"},
	}
	m := newManager(t)
	m.stop()
	m.start("FLOW_BOOT_ID=first")
	c := m.dial()
	ids, before := map[string]string{}, map[string]object{}
	for name, flow := range flows {
		ids[name] = c.run(t, object{"name": named(t, name), "desired_state": flow.desired, "restart_policy": object{"name": flow.policy}})
	}
	for name, id := range ids {
		before[name] = c.status(t, id)
	}
	m.kill()
	for name, flow := range flows {
		if flow.signal != "" {
			goDown(t, named(t, name), flow.signal)
		}
	}
	empty(t, filepath.Join(m.dir, "run"))

	m.start("FLOW_BOOT_ID=second")
	c = m.dial()
	for name, flow := range flows {
		m.eventually(name+" is as declared", func() error { return flow.survived(c.status(t, ids[name]), before[name]) })
		if path := before[name]["socket_path"].(string); !strings.HasPrefix(path, m.dir) || !isSocket(path) {
			t.Errorf("%s has no socket at %s", name, path)
		}
	}
	for _, name := range []string{"always", "on-failure"} {
		c.must(t, "send_message", object{"container_id": ids[name], "message": object{"type": "greeting"}, "expect_reply": true})
	}
	c.must(t, "start_container", object{"container_id": ids["never"]})
	c.wait(t, "container_started", ids["never"])
	m.clean(t, c)
}

// survived compares a flow's status with what it was before the host went down.
func (f rebooted) survived(now, before object) error {
	ready := now["conditions"].([]any)[0].(object)
	switch {
	case now["state"] != f.state, ready["reason"] != f.reason:
		return fmt.Errorf("it is %v, %v", now["state"], ready)
	case now["docker_id"] != before["docker_id"], now["socket_path"] != before["socket_path"]:
		return fmt.Errorf("it was %v at %v, and is %v at %v", before["docker_id"], before["socket_path"], now["docker_id"], now["socket_path"])
	case now["crash_streak"] != 0.0, now["last_error"] != nil, now["next_restart_at"] != nil:
		return fmt.Errorf("it counts as crashed: %v", now)
	}
	return nil
}

// goDown ends a container's process as the end of the host does.
func goDown(t *testing.T, name, signal string) {
	t.Helper()
	if err := engine.ContainerKill(t.Context(), name, signal); err != nil {
		t.Fatal(err)
	}
	eventually(t, name+" has ended", func() error {
		if c := inspect(t, name); c.State.Status != container.StateExited {
			return fmt.Errorf("it is %s", c.State.Status)
		}
		return nil
	})
}

// empty takes away what is in a folder, as /run is empty after a reboot.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(entries) == 0 {
		t.Fatalf("nothing was in %s", dir)
	}
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}

package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onSmallDisk starts a manager whose data directory is a filesystem of its own.
func onSmallDisk(t *testing.T) *manager {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small filesystem")
	}
	m := &manager{t: t, dir: t.TempDir()}
	data := filepath.Join(m.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	m.keep()
	return m
}

// fillDisk leaves no room for any declaration, and returns how the last one was refused.
func (m *manager) fillDisk(c *wsClient) (refusal object) {
	m.t.Helper()
	f, err := os.Create(filepath.Join(m.dir, "data", "filler"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		m.t.Fatal(err)
	}
	for _, size := range []int{50_000, 1} { // what is free within the file is used up first
		for i := 0; ; i++ {
			spec := object{"name": named(m.t, "ballast"), "image": echoImage, "desired_state": "created", "labels": object{"n": fmt.Sprint(i), "ballast": strings.Repeat("x", min(size, 4096))}}
			if size > 4096 {
				spec["environment"] = object{"BALLAST": strings.Repeat("x", size) + fmt.Sprint(i)}
			}
			if refusal, err = c.ask("apply_container", spec); err != nil || i > 1000 {
				m.t.Fatal(i, err)
			}
			if refusal["ok"] != true {
				break
			}
		}
	}
	return refusal
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	m := onSmallDisk(t)
	c := m.dial()
	web, other := named(t, "web"), named(t, "other")
	id := c.run(t, object{"name": web})
	c.run(t, object{"name": other})

	refusal := m.fillDisk(c)
	if details, _ := refusal["details"].(object); refusal["error_type"] != "system_error" || details["reason"] != "StoreNotWritable" || !strings.Contains(refusal["message"].(string), "free space") {
		t.Errorf("refused: %v", refusal)
	}
	if err := m.probe("/readyz"); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "StoreNotWritable") {
		t.Errorf("ready: %v", err)
	}
	if err := m.probe("/healthz"); err != nil {
		t.Error(err)
	}
	if text := string(m.metrics(t)); !strings.Contains(text, "flow_manager_store_writable 0") {
		t.Error("the metric does not tell of it")
	}
	if st := c.status(t, id); st["state"] != "running" {
		t.Errorf("it cannot be read: %v", st)
	}
	for range 2 {
		c.must(t, "send_message", object{"container_id": web, "message": object{"type": "greeting"}, "expect_reply": true})
		crashed(t, web)
	}
	if err := engine.ContainerPause(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	crashed(t, other) // the loop has gone round since
	if now := inspect(t, web); !now.State.Paused {
		t.Errorf("something was done about it on a full disk: %+v", now.State)
	}

	if err := os.Remove(filepath.Join(m.dir, "data", "filler")); err != nil {
		t.Fatal(err)
	}
	m.eventually("ready again, by itself", func() error { return m.probe("/readyz") })
	m.eventually("all is written and done", func() error {
		st := c.status(t, id)
		if now := inspect(t, web); now.State.Paused || st["restart_count"] != 2.0 || st["state"] != "running" {
			return fmt.Errorf("paused %v, %v", now.State.Paused, st)
		}
		return nil
	})
	c.must(t, "stop_container", object{"container_id": id})
	c.wait(t, "container_stopped", id)
}

// crashed kills a container's process and waits for its next run.
func crashed(t *testing.T, name string) {
	t.Helper()
	before := inspect(t, name).State.StartedAt
	if err := engine.ContainerKill(t.Context(), name, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	eventually(t, name+" runs again", func() error {
		if now := inspect(t, name); !now.State.Running || now.State.StartedAt == before {
			return fmt.Errorf("%+v", now.State)
		}
		return nil
	})
}

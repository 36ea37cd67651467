package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// A job that is done stays done, whatever ends shortly afterwards: its engine, or its engine and its manager. What has ended with
// the engine runs again, though its exit code says that it were done, and nobody has crashed.
func TestFault_AJobThatIsDoneStaysDone(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 0)
	m := newManager(t, "--docker-host", e.host())
	c := m.dial()
	ids := map[string]string{}
	for name, policy := range map[string]object{
		"job": {"name": "on-failure"}, "web": {"name": "on-failure"}, "once": {"name": "always", "max_attempts": 1},
	} {
		ids[name] = c.run(t, object{"name": named(t, name), "network": "none", "restart_policy": policy})
	}
	m.stable(t, ids["job"])
	c.must(t, "send_message", object{"container_id": ids["job"], "message": object{"type": "exit", "code": 0}})
	c.done(t, ids["job"])
	ended := c.status(t, ids["job"])["finished_at"]

	ways := []struct {
		name string
		end  func()
	}{
		{"the engine alone", func() {
			e.stop(syscall.SIGTERM)
			if _, err := c.await("engine_unavailable", func(object) bool { return true }); err != nil {
				t.Fatal(err)
			}
			e.start()
			if _, err := c.await("engine_available", func(object) bool { return true }); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(m.log.tail(64<<20), "was lost without having been stopped") {
				t.Error("an engine that is stopped counts as lost")
			}
		}},
		{"both", func() {
			m.stop()
			e.stop(syscall.SIGTERM)
			e.start()
			m.start()
		}},
		{"both, and the manager is back first", func() {
			e.stop(syscall.SIGTERM)
			m.kill()
			m.launch()
			e.start()
		}},
	}
	for _, way := range ways {
		before := map[string]string{}
		for _, name := range []string{"web", "once"} {
			before[name] = e.inspect(named(t, name)).State.StartedAt
		}
		way.end()
		c = m.dial()
		for name, was := range before {
			eventually(t, name+" runs again after "+way.name, func() error {
				if st := c.status(t, ids[name]); st["state"] != "running" || e.inspect(named(t, name)).State.StartedAt == was {
					return fmt.Errorf("%v", st)
				}
				return nil
			})
			if st := c.status(t, ids[name]); st["crash_streak"] != 0.0 || st["last_error"] != nil {
				t.Errorf("%s after %s: %v", name, way.name, st)
			}
		}
		c.done(t, ids["job"])
		if again := c.status(t, ids["job"])["finished_at"]; again != ended {
			t.Errorf("after %s the job ended at %v, which had ended at %v", way.name, again, ended)
		}
	}
	e.clear(t, c, ids)
}

// done waits until a container has completed.
func (c *wsClient) done(t *testing.T, id string) {
	t.Helper()
	eventually(t, "it is done", func() error {
		if st := c.status(t, id); st["state"] != "exited" || condition(st, "Ready")["reason"] != "Completed" || condition(st, "Degraded")["status"] != "False" {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
}

// clear deletes what runs on the engine.
func (e *privateEngine) clear(t *testing.T, c *wsClient, ids map[string]string) {
	t.Helper()
	for _, id := range ids {
		c.must(t, "delete_container", object{"container_id": id})
		c.wait(t, "container_deleted", id)
	}
	if list := e.list(); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
}

// A health check without a command is the end of an engine as old as this one, at the first probe of each run of the container. That
// of an image is left out, so that the engine and all that runs on it live on.
func TestFault_AnImagesHealthCheckWithoutACommand(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 0)
	m := newManager(t, "--docker-host", e.host())
	c := m.dial()
	ids := map[string]string{"bad": c.run(t, object{"name": named(t, "bad"), "image": e.deadly(), "network": "none"})}
	m.stable(t, ids["bad"]) // longer than until the first probe
	if test := e.inspect(named(t, "bad")).Config.Healthcheck.Test; !slices.Equal(test, []string{"NONE"}) {
		t.Errorf("the engine was given %q", test)
	}
	c.must(t, "restart_container", object{"container_id": ids["bad"], "wait_seconds": 30})
	if e.dead() {
		t.Error("the engine was lost")
	}
	history, err := json.Marshal(c.must(t, "get_activity", object{"container_id": ids["bad"]}))
	check(t, err)
	if !bytes.Contains(history, []byte("runs without a health check")) {
		t.Errorf("it was not told: %s", history)
	}
	e.clear(t, c, ids)
}

// An engine that somebody kills at each start of one container. The others run on, the one is held, and an explicit start lets it go
// once more. It takes minutes of careful starts, so that it is played only where ENGINE_LOSSES says how often the engine may be lost
// before: 3 is what is promised.
func TestFault_TheEngineIsLostWithEachStart(t *testing.T) {
	t.Parallel()
	most := number(t, "ENGINE_LOSSES", 0)
	if most == 0 {
		t.Skip("takes minutes")
	}
	e := newPrivateEngine(t, 0)
	m := newManager(t, "--docker-host", e.host())
	c := m.dial()
	ids := map[string]string{}
	for _, name := range []string{"one", "two"} {
		ids[name] = c.run(t, object{"name": named(t, name), "network": "none"})
		m.stable(t, ids[name])
	}
	bad := c.must(t, "apply_container", object{"name": named(t, "bad"), "image": echoImage, "network": "none"})["container_id"].(string)
	losses, deadly := 0, true
	revived := func(what string, is func() bool) {
		t.Helper()
		for began := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
			if deadly && e.runs(named(t, "bad")) {
				e.stop(syscall.SIGKILL)
				e.start()
				losses++
			}
			if time.Since(began) > 3*time.Minute {
				t.Fatalf("%s: %v", what, c.status(t, bad))
			}
		}
	}
	held := func() bool { return condition(c.status(t, bad), "Degraded")["reason"] == "EngineLost" }
	others := func() bool {
		for name, id := range ids {
			if st := c.status(t, id); st["state"] != "running" || !e.runs(named(t, name)) {
				return false
			}
		}
		return true
	}
	revived("it is held", held)
	t.Logf("held after %d losses", losses)
	if losses == 0 || losses > most {
		t.Errorf("%d losses", losses)
	}
	revived("the others run", others)
	for name, id := range ids {
		if st := c.status(t, id); st["crash_streak"] != 0.0 {
			t.Errorf("%s counts as crashed: %v", name, st)
		}
	}
	was := losses
	c = m.dial()
	c.must(t, "start_container", object{"container_id": bad})
	revived("the explicit start", func() bool { return losses > was })
	c = m.dial()
	deadly = false
	c.must(t, "update_container", object{"container_id": bad, "spec": object{"environment": object{"MENDED": "1"}}})
	revived("it runs once it is mended", func() bool { return c.status(t, bad)["state"] == "running" })
	revived("the others run on", others)
	ids["bad"] = bad
	e.clear(t, c, ids)
}

// deadly makes an image whose health check this engine does not survive.
func (e *privateEngine) deadly() string {
	e.t.Helper()
	const image = "flow-manager/deadly:latest"
	made, err := e.client.ContainerCreate(e.t.Context(), &container.Config{Image: echoImage}, nil, nil, nil, "")
	check(e.t, err)
	_, err = e.client.ContainerCommit(e.t.Context(), made.ID, container.CommitOptions{Reference: image,
		Config: &container.Config{Healthcheck: &container.HealthConfig{Test: []string{"CMD"}, Interval: time.Second}}})
	check(e.t, err)
	check(e.t, e.client.ContainerRemove(e.t.Context(), made.ID, container.RemoveOptions{}))
	return image
}

// dead tells whether the engine has ended by itself.
func (e *privateEngine) dead() bool {
	e.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.cmd.Process.Pid))
	check(e.t, err)
	return bytes.Contains(stat, []byte(") Z "))
}

// runs reports whether a container runs.
func (e *privateEngine) runs(ref string) bool {
	c, err := e.client.ContainerInspect(e.t.Context(), ref)
	return err == nil && c.State.Running
}

// A data directory that somebody has put back by hand declares what was deleted since, and does not know what was made since. It
// is looked at before anything is done by it, whether it is told by the run directory or, without one, by what the engine has.
func TestFault_ADataDirectoryThatWasPutBack(t *testing.T) {
	t.Parallel()
	for what, lose := range map[string]func(t *testing.T, dir string){"alone": func(*testing.T, string) {}, "without its run directory": empty} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			c := m.dial()
			ids := map[string]string{}
			for _, name := range []string{"same", "gone", "updated"} {
				ids[name] = c.run(t, object{"name": named(t, name), "update_policy": quickly})
			}
			m.stable(t, ids["updated"])
			data, kept := filepath.Join(m.dir, "data"), filepath.Join(m.dir, "kept")
			m.stop()
			copied(t, data, kept)
			m.start()
			c = m.dial()
			c.must(t, "delete_container", object{"container_id": ids["gone"]})
			c.wait(t, "container_deleted", ids["gone"])
			c.must(t, "update_container", object{"container_id": ids["updated"], "wait_seconds": 20, "spec": object{"environment": object{"N": "2"}}})
			c.run(t, object{"name": named(t, "later")})
			before := map[string]container.InspectResponse{}
			for _, name := range []string{"same", "updated", "later"} {
				before[name] = inspect(t, named(t, name))
			}
			m.stop()
			check(t, os.RemoveAll(data))
			copied(t, kept, data)
			lose(t, filepath.Join(m.dir, "run"))

			m.launch()
			for _, foretold := range []string{"StoreRestored", "--accept-restore", "leave alone " + named(t, "later"), "make anew " + named(t, "gone")} {
				eventually(t, "it is held back, and tells", func() error {
					if err := m.probe("/readyz"); err == nil || !strings.Contains(err.Error(), foretold) {
						return fmt.Errorf("%w, without %q", err, foretold)
					}
					return nil
				})
			}
			for name, was := range before {
				if err := untouched(t, name, was); err != nil {
					t.Error(err)
				}
			}
			if list := ofFlow(t, ids["gone"]); len(list) > 0 {
				t.Errorf("the dead are made again: %v", list)
			}
			m.stop()
			m.args = []string{"--accept-restore"}
			m.start()
			c = m.dial()
			for _, id := range ids {
				eventually(t, "what is declared runs", func() error {
					if st := c.status(t, id); st["state"] != "running" || len(ofFlow(t, id)) != 1 {
						return fmt.Errorf("%v, %v", st, ofFlow(t, id))
					}
					return nil
				})
			}
			if err := untouched(t, "later", before["later"]); err != nil {
				t.Error(err)
			}
			m.stop()
			m.args = nil
			m.start() // it was accepted once and for all
		})
	}
}

// copied copies a folder as people do.
func copied(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "--archive", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// flows is the folder of the programs of test/flows, which need nothing of the image that they run in.
func flows(t *testing.T) string {
	t.Helper()
	dir, err := buildFlows()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var buildFlows = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs("../bin/test/flows")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "./flows/echo", "./flows/show")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the flows: %w\n%s", err, out)
	}
	return dir, nil
})

// flowCode is a folder that may be taken as code: the echoing flow as /app/flow, and a version beside it.
func flowCode(t *testing.T, version string) string {
	t.Helper()
	binaries(t)
	base := hostFolder(t, "code")
	putCode(t, base+"/code", "echo", version)
	return base
}

// putCode puts a program of test/flows in place, as a deployment would: all at once.
func putCode(t *testing.T, dir, program, version string) {
	t.Helper()
	next := dir + ".next"
	copyFile(t, filepath.Join(flows(t), program), filepath.Join(next, "flow"), 0o755)
	if err := os.WriteFile(filepath.Join(next, "version"), []byte(version), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, dir); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		t.Fatal(err)
	}
}

// inside reads a file as the running container has it; "" where there is none.
func inside(t *testing.T, name, path string) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s", inspect(t, name).State.Pid, path))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func withFlowCode(base string) object {
	return object{"entrypoint": []string{"/app/flow"}, "code": object{"path": base + "/code"}, "update_policy": quickly}
}

func merged(base object, more object) object {
	for k, v := range more {
		base[k] = v
	}
	return base
}

// revision is the code that a container is told to run.
func (c *wsClient) revision(t *testing.T, id string) string {
	t.Helper()
	revision, _ := c.must(t, "get_container", object{"container_id": id})["container"].(object)["status"].(object)["code_revision"].(string)
	return revision
}

// Other code is another run of the same container, which keeps what it has written; what does not stay up is taken back; an
// earlier generation can be gone back to though the host has other code by now.
func TestCodeUpdate(t *testing.T) {
	t.Parallel()
	base := flowCode(t, "one")
	m := newManager(t, "--allow-host-path", base, "--resync-interval", "1s")
	c := m.dial()
	name := named(t, "web")
	id := c.run(t, merged(withFlowCode(base), object{"name": name}))
	m.stable(t, name)
	first, before := c.revision(t, id), inspect(t, name)
	if inside(t, name, "/app/version") != "one" || first == "" {
		t.Fatalf("it has %q, revision %q", inside(t, name, "/app/version"), first)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/written", before.State.Pid), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}

	putCode(t, base+"/code", "echo", "two")
	c.must(t, "update_container", object{"container_id": name, "code_path": base + "/code"})
	updated := c.wait(t, "container_updated", id)
	if updated["status"] != "updated" || updated["code_path"] != base+"/code" || updated["code_revision"] == first || updated["docker_id"] != before.ID {
		t.Errorf("updated: %v", updated)
	}
	if inside(t, name, "/app/version") != "two" || inside(t, name, "/written") != "kept" {
		t.Errorf("it has version %q and wrote %q", inside(t, name, "/app/version"), inside(t, name, "/written"))
	}

	for _, broken := range []string{"show", "none"} { // it ends; it cannot be started
		t.Run(broken, func(t *testing.T) {
			if broken == "show" {
				putCode(t, base+"/code", "show", "three")
			} else if err := os.Remove(base + "/code/flow"); err != nil {
				t.Fatal(err)
			}
			c.must(t, "update_container", object{"container_id": name, "code_path": base + "/code", "request_id": broken})
			failure, err := c.await("error", func(o object) bool { return o["request_id"] == broken })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v", failure["message"])
			m.eventually("the old code runs again", func() error {
				st, now := c.status(t, id), inspect(t, name)
				if st["state"] != "running" || condition(st, "Degraded")["reason"] != "UpdateFailed" || !now.State.Running || now.ID != before.ID {
					return fmt.Errorf("running %v, %v", now.State.Running, st)
				}
				return nil
			})
			if got := inside(t, name, "/app/version"); got != "two" || c.revision(t, id) != updated["code_revision"] {
				t.Errorf("it has version %q", got)
			}
		})
	}

	c.must(t, "rollback_container", object{"container_id": name, "to_generation": 1})
	if back := c.wait(t, "container_updated", id); back["code_revision"] != first || back["status"] != "rolled_back" {
		t.Errorf("rolled back: %v", back)
	}
	if got := inside(t, name, "/app/version"); got != "one" {
		t.Errorf("it has version %q", got)
	}

	c.must(t, "delete_container", object{"container_id": name})
	c.wait(t, "container_deleted", id)
	m.eventually("nothing of the code is left", func() error {
		for _, folder := range []string{"", "links"} {
			entries, err := os.ReadDir(filepath.Join(m.dir, "data/code", folder))
			if err != nil {
				return err
			}
			for _, e := range entries {
				if len(e.Name()) > len("damaged") {
					return fmt.Errorf("%s/%s", folder, e.Name())
				}
			}
		}
		return nil
	})
	m.clean(t, c)
}

// What cannot be taken is named, and leaves what runs as it is and nothing on the disk.
func TestCodeUpdate_Refuses(t *testing.T) {
	t.Parallel()
	base := flowCode(t, "one")
	m := newManager(t, "--allow-host-path", base)
	c := m.dial()
	name := named(t, "web")
	id := c.run(t, merged(withFlowCode(base), object{"name": name}))
	m.stable(t, name)
	started := inspect(t, name).State.StartedAt
	for _, path := range []string{"/etc", base + "/none", base + "/../" + filepath.Base(base) + "-x"} {
		kind := "policy_error"
		if strings.Contains(path, "..") {
			kind = "validation_error"
		}
		c.refused(t, "update_container", object{"container_id": name, "code_path": path}, kind)
	}
	harm := map[string]func(dir string) error{
		"a link out of it": func(dir string) error { return os.Symlink("/etc/passwd", dir+"/link") },
		"a device":         func(dir string) error { return unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) },
		"a FIFO":           func(dir string) error { return unix.Mkfifo(dir+"/fifo", 0o644) },
	}
	for what, do := range harm {
		t.Run(what, func(t *testing.T) {
			putCode(t, base+"/code", "echo", what)
			if err := do(base + "/code"); err != nil {
				t.Fatal(err)
			}
			c.must(t, "update_container", object{"container_id": name, "code_path": base + "/code", "request_id": what})
			refusal, err := c.await("error", func(o object) bool { return o["request_id"] == what })
			if err != nil || refusal["error_type"] != "validation_error" {
				t.Fatalf("%v, %v", refusal, err)
			}
			t.Logf("%v", refusal["message"])
			if st := c.status(t, id); condition(st, "Degraded")["reason"] != "CodeRefused" {
				t.Errorf("status: %v", st)
			}
		})
	}
	if now := inspect(t, name); now.State.StartedAt != started || inside(t, name, "/app/version") != "one" {
		t.Errorf("it runs since %s, then since %s", started, now.State.StartedAt)
	}
	left, err := os.ReadDir(filepath.Join(m.dir, "data/code/partial"))
	if err != nil || len(left) > 0 {
		t.Errorf("half made copies: %v, %v", left, err)
	}
	putCode(t, base+"/code", "echo", "good")
	c.must(t, "update_container", object{"container_id": name, "code_path": base + "/code"})
	c.wait(t, "container_updated", id)
	if got := inside(t, name, "/app/version"); got != "good" {
		t.Errorf("it has version %q", got)
	}
	m.clean(t, c)
}

// SIGKILL at each step of an update of the code, of one that stays up and of one that does not.
func TestCodeUpdate_SurvivesADeathAtEachStep(t *testing.T) {
	for _, good := range []bool{true, false} {
		points := []string{"step-switch-code", "during-stop", "after-link:2", "after-start:2", "step-commit"}
		if !good {
			points = []string{"step-switch-code", "after-link:2", "after-start:2", "step-rollback", "after-link:3", "after-start:3"}
		}
		for _, point := range points {
			t.Run(fmt.Sprintf("good %v %s", good, point), func(t *testing.T) {
				t.Parallel()
				dieWhileRecoding(t, point, good)
			})
		}
	}
}

func dieWhileRecoding(t *testing.T, point string, good bool) {
	base := flowCode(t, "one")
	m := newManager(t, "--allow-host-path", base)
	name := named(t, "web")
	m.stop()
	m.start("FLOW_FAILPOINT=" + point)
	c := m.dial()
	id := c.run(t, merged(withFlowCode(base), object{"name": name}))
	m.stable(t, name)
	before := inspect(t, name)
	program, want := "echo", "two"
	if !good {
		program, want = "show", "one"
	}
	putCode(t, base+"/code", program, "two")
	_, _ = c.ask("update_container", object{"container_id": name, "code_path": base + "/code"}) // it may die before it answers
	if err := m.wait(); err == nil {
		t.Fatalf("the failpoint %s was not reached", point)
	}
	m.start()
	c = m.dial()
	m.eventually("finished or undone", func() error {
		st, now := c.status(t, id), inspect(t, name)
		switch {
		case !now.State.Running, now.ID != before.ID, st["state"] != "running", st["observed_generation"] != 2.0:
			return fmt.Errorf("running %v, %v", now.State.Running, st)
		case good == (condition(st, "Degraded")["reason"] == "UpdateFailed"):
			return fmt.Errorf("%v", st["conditions"])
		case inside(t, name, "/app/version") != want:
			return fmt.Errorf("it has version %q", inside(t, name, "/app/version"))
		}
		return nil
	})
	m.clean(t, c)
}

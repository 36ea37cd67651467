package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"
)

// privateEngine is a dockerd of this test's own, which it may stop and kill.
type privateEngine struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	client *client.Client
}

func newPrivateEngine(t *testing.T) *privateEngine {
	t.Helper()
	binaries(t)                                                  // and the image
	dir, err := os.MkdirTemp("/var/tmp", "flow-manager-engine-") // overlayfs is not to be had on every /tmp
	if err != nil {
		t.Fatal(err)
	}
	e := &privateEngine{t: t, dir: dir}
	if e.client, err = client.NewClientWithOpts(client.WithHost(e.host()), client.WithAPIVersionNegotiation()); err != nil {
		t.Fatal(err)
	}
	e.start()
	t.Cleanup(e.remove)
	image, err := engine.ImageSave(t.Context(), []string{echoImage})
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	loaded, err := e.client.ImageLoad(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Body.Close()
	eventually(t, "the image is loaded", func() error {
		_, err := e.client.ImageInspect(t.Context(), echoImage)
		return err
	})
	return e
}

func (e *privateEngine) host() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

func (e *privateEngine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	e.forgetContainerd()
	// In a network of its own: an engine without a bridge removes that of the engine next to it.
	e.cmd = exec.Command("unshare", "--net", "dockerd", "--host", e.host(), "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--bridge", "none", "--iptables=false", "--ip-forward=false", "--storage-driver", "overlay2")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	eventually(e.t, "the private engine answers", func() error {
		_, err := e.client.Ping(e.t.Context())
		return err
	})
}

// forgetContainerd removes the pid file of a containerd that died with its dockerd. Where nobody buries the dead, the next
// dockerd would wait for it.
func (e *privateEngine) forgetContainerd() {
	file := filepath.Join(e.dir, "exec", "containerd", "containerd.pid")
	pid, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if _, err := os.Readlink("/proc/" + strings.TrimSpace(string(pid)) + "/exe"); err != nil {
		_ = os.Remove(file) // where it stays, the start says so
	}
}

// unmount takes away what a killed engine has left mounted below its folder.
func (e *privateEngine) unmount() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		e.t.Error(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], e.dir+"/") {
			if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil {
				e.t.Errorf("unmount %s: %v", fields[1], err)
			}
		}
	}
}

func (e *privateEngine) stop(s syscall.Signal) {
	e.t.Helper()
	if err := e.cmd.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
	_ = e.cmd.Wait() // its exit code says nothing about us
}

// remove ends the engine with all that it runs, a containerd that outlived a killed dockerd included.
func (e *privateEngine) remove() {
	ctx := context.Background() // that of the test has ended
	list, _ := e.client.ContainerList(ctx, container.ListOptions{All: true})
	for _, c := range list {
		_ = e.client.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true})
	}
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	_ = e.cmd.Wait()
	if e.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(e.dir, "log")); err == nil {
			e.t.Logf("the engine's log:\n%s", log[max(0, len(log)-4000):])
		}
	}
	e.unmount()
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Errorf("remove the private engine: %v", err)
	}
}

// The engine is stopped, and killed, while containers run and while more are declared.
func TestOutage_OfTheEngine(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			e := newPrivateEngine(t)
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

package test

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/network"
	"golang.org/x/sys/unix"
)

// hostFolder is one that only root can write to and above, as --allow-host-path wants it.
func hostFolder(t *testing.T, folders ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("folders that are root's own can be made by root only")
	}
	base, err := os.MkdirTemp("/srv", "flow-manager-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	for _, folder := range folders {
		if err := os.MkdirAll(filepath.Join(base, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

func TestPolicy_HostPathsAreClosed(t *testing.T) {
	base := hostFolder(t, "open")
	c := newManager(t).dial()
	c.refused(t, "create_container", object{"image": echoImage, "volumes": object{base + "/open": "/data"}}, "policy_error")
	c.refused(t, "create_container", object{"image": echoImage, "network": "host"}, "policy_error")
}

func TestPolicy_HostPaths(t *testing.T) {
	base := hostFolder(t, "open/in", "outside")
	for link, to := range map[string]string{"open/link": "outside", "open/near": "open/in", "open/state": "state"} {
		if err := os.Symlink(filepath.Join(base, to), filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(base+"/open/in/note", []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := newManager(t, "--allow-host-path", base+"/open")
	c := m.dial()
	messages := map[string]bool{}
	for _, path := range []string{base + "/outside", base + "/open/link", base + "/open/absent", base + "/absent", "/", "/etc", "/var/run/docker.sock", m.dir + "/data"} {
		refusal := c.refused(t, "create_container", object{"image": echoImage, "volumes": object{path: "/data"}}, "policy_error")
		messages[strings.ReplaceAll(refusal["message"].(string), fmt.Sprintf("%q", path), "PATH")] = true
	}
	if len(messages) != 1 {
		t.Errorf("an operator can tell what is on the host by %v", messages)
	}
	if answer := c.must(t, "list_containers", object{}); answer["count"] != 0.0 {
		t.Errorf("something was stored: %v", answer)
	}
	name := named(t, "reader")
	id := c.run(t, object{"name": name, "volumes": object{base + "/open/near": "/data:ro"}})
	answer := c.must(t, "send_message", object{"container_id": id, "message": object{"type": "read", "path": "/data/note"}, "expect_reply": true})
	if text := fmt.Sprint(answer["reply"]); !strings.Contains(text, "hello") {
		t.Errorf("the flow reads %s", text)
	}
	for _, mount := range inspect(t, name).HostConfig.Mounts {
		if mount.Target == "/data" && mount.Source != base+"/open/in" {
			t.Errorf("the engine was given %s, which it resolves again by itself", mount.Source)
		}
	}
}

// What is exchanged for a symlink while nothing runs is not followed at the next start.
func TestPolicy_AnExchangedHostPath(t *testing.T) {
	base := hostFolder(t, "open/in", "outside")
	m := newManager(t, "--allow-host-path", base+"/open")
	c := m.dial()
	id := c.run(t, object{"name": named(t, "web"), "volumes": object{base + "/open/in": "/data"}})
	c.must(t, "stop_container", object{"container_id": id})
	c.wait(t, "container_stopped", id)
	if err := os.Remove(base + "/open/in"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(base+"/outside", base+"/open/in"); err != nil {
		t.Fatal(err)
	}
	c.must(t, "start_container", object{"container_id": id, "request_id": "start"})
	refusal, err := c.await("error", func(o object) bool { return o["request_id"] == "start" })
	if err != nil || refusal["error_type"] != "policy_error" {
		t.Errorf("%v, %v", refusal, err)
	}
	if status := c.status(t, id); status["state"] == "running" || status["last_error"] == nil {
		t.Errorf("status: %v", status)
	}
}

func TestPolicy_NeverMounted(t *testing.T) {
	m := newManager(t, "--allow-host-path", "/")
	c := m.dial()
	link := hostFolder(t) + "/link"
	if err := os.Symlink("/run/docker.sock", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/run", "/var/run", "/run/docker.sock", "/var/run/docker.sock", link, "/proc", "/proc/1", "/sys/fs", "/dev", "/dev/null",
		"/var", "/var/lib/docker", m.dir, m.dir + "/data", m.dir + "/run", m.dir + "/data/flow-manager.db"} {
		refusal := c.refused(t, "create_container", object{"image": echoImage, "volumes": object{path: "/data:ro"}}, "policy_error")
		if !strings.Contains(refusal["message"].(string), "never mounted") {
			t.Errorf("%s: %v", path, refusal["message"])
		}
	}
}

// An engine may keep what is its own anywhere: nothing of that is mounted either.
func TestPolicy_TheEnginesOwnFolders(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 0)
	c := newManager(t, "--docker-host", e.host(), "--allow-host-path", "/").dial()
	for _, path := range []string{e.root(), e.root() + "/containers", e.dir} {
		refusal := c.refused(t, "create_container", object{"image": echoImage, "volumes": object{path: "/data:ro"}}, "policy_error")
		if !strings.Contains(refusal["message"].(string), "never mounted") {
			t.Errorf("%s: %v", path, refusal["message"])
		}
	}
}

// Nobody is to take a flow for the manager, and no flow makes devices.
func TestPolicy_WhatNoFlowHas(t *testing.T) {
	t.Parallel()
	folder := hostFolder(t)
	m := newManager(t, "--allow-host-path", folder)
	var mounted unix.Statfs_t
	check(t, unix.Statfs(folder, &mounted))
	if obeyed, warned := mounted.Flags&unix.ST_NOSUID == 0, strings.Contains(m.log.tail(64<<10), "set-user-id"); obeyed != warned {
		t.Errorf("set-user-id bits are heeded: %v, and warned of: %v", obeyed, warned)
	}
	c := m.dial()
	at, err := url.Parse(m.url())
	check(t, err)
	for _, address := range []string{"", "0.0.0.0:", "127.0.0.2:", "[::]:"} {
		refusal := c.refused(t, "create_container", object{"image": echoImage, "ports": object{"80": cmp.Or(address, "127.0.0.1:") + at.Port()}}, "policy_error")
		if !strings.Contains(refusal["message"].(string), "the manager's own") {
			t.Errorf("%s: %v", address, refusal["message"])
		}
	}
	maker := python(t, named(t, "maker"), "import os, stat\ntry:\n  os.mknod('/null', stat.S_IFCHR | 0o600, os.makedev(1, 3))\nexcept PermissionError:\n  os._exit(7)")
	maker["restart_policy"] = object{"name": "never"}
	id := c.must(t, "apply_container", maker)["container_id"].(string)
	eventually(t, "it has tried", func() error {
		if st := c.status(t, id); st["state"] != "exited" || st["exit_code"] != 7.0 {
			return fmt.Errorf("%v with code %v", st["state"], st["exit_code"])
		}
		return nil
	})
}

func TestPolicy_Networks(t *testing.T) {
	lan := named(t, "lan")
	t.Cleanup(func() { // once the managers have stopped, which would make their containers anew
		if err := engine.NetworkRemove(context.Background(), lan); err != nil {
			t.Error(err)
		}
	})
	host, err := engine.NetworkInspect(t.Context(), "host", network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := newManager(t, "--allow-network", strings.Join([]string{host.ID, host.ID[:12], lan}, ","))
	c := m.dial()
	for name, want := range map[string]string{host.ID: "policy_error", host.ID[:12]: "policy_error", lan: "docker_api_error"} {
		id := c.must(t, "create_container", object{"name": named(t, fmt.Sprint(want, len(name))), "image": echoImage, "network": name, "request_id": name})["container_id"]
		refusal, err := c.await("error", func(o object) bool { return o["request_id"] == name })
		if err != nil || refusal["error_type"] != want || !strings.Contains(refusal["message"].(string), name) {
			t.Errorf("%s: %v, %v", name, refusal, err)
		}
		if made := ofFlow(t, id.(string)); len(made) > 0 {
			t.Errorf("%s: made %v", name, made)
		}
	}
	if _, err := engine.NetworkCreate(t.Context(), lan, network.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	member := c.run(t, object{"name": named(t, "member"), "network": lan})

	m.stop()
	m.args = nil // it is not allowed any more: what stands keeps it, and nothing is declared for it
	m.start()
	c = m.dial()
	c.must(t, "restart_container", object{"container_id": member, "wait_seconds": 30})
	for event, body := range map[string]object{
		"create_container": {"image": echoImage, "network": lan},
		"update_container": {"container_id": member, "spec": object{"environment": object{"A": "b"}}},
	} {
		if refusal := c.refused(t, event, body, "policy_error"); !strings.Contains(refusal["message"].(string), "--allow-network") {
			t.Errorf("%s: %v", event, refusal)
		}
	}

	allowing := newManager(t, "--allow-host-network").dial()
	name := named(t, "open")
	allowing.run(t, object{"name": name, "network": "host"})
	if mode := inspect(t, name).HostConfig.NetworkMode; !mode.IsHost() {
		t.Errorf("network %s", mode)
	}
}

// Of many that declare one host port at once exactly one has it, and the others are told who.
func TestPolicy_OnePortOneHolder(t *testing.T) {
	const clients = 8
	m := newManager(t)
	answers := make([]object, clients)
	var group sync.WaitGroup
	for i := range clients {
		c := m.dial()
		group.Go(func() {
			address := []string{"127.0.0.1", "0.0.0.0"}[i%2]
			answers[i], _ = c.ask("create_container", object{"name": named(t, fmt.Sprint("web", i)), "image": echoImage, "ports": object{"80": address + ":23456"}})
		})
	}
	group.Wait()
	holder, refused := "", 0
	for _, a := range answers {
		if a["ok"] == true {
			holder += a["container"].(object)["name"].(string)
		}
	}
	for _, a := range answers {
		if a["error_type"] == "conflict_error" && strings.Contains(a["message"].(string), "is container "+holder+"'s") {
			refused++
		}
	}
	if refused != clients-1 {
		t.Errorf("held by %q, refused to %d: %v", holder, refused, answers)
	}
	c := m.dial()
	c.must(t, "create_container", object{"name": named(t, "udp"), "image": echoImage, "ports": object{"80/udp": 23456, "81": 23457}})
	c.refused(t, "create_container", object{"image": echoImage, "ports": object{"80": 23458, "81": 23458}}, "validation_error")
	c.must(t, "apply_container", object{"name": holder, "image": echoImage, "ports": object{"81": 23456}}) // its own is no conflict
}

package test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// Each test that begins with TestFault is the smallest input of a fault that was once found in a running manager, on a real
// engine. The same faults against a fake engine are in the controller's own tests.

// python is the spec of a flow that runs a program, and keeps away from its socket.
func python(t *testing.T, name, program string) object {
	t.Helper()
	needFlows(t)
	return object{"name": name, "image": flowsImage, "entrypoint": []string{"/usr/bin/python3", "-c", program}}
}

// crashing is a program that says something, and ends a second later.
func crashing(code int) string {
	return fmt.Sprintf("import time\nprint('no database', flush=True)\ntime.sleep(1)\nraise SystemExit(%d)", code)
}

// limited is a spec with another memory limit.
func limited(mebibytes int) object {
	return object{"resources": object{"memory_bytes": mebibytes << 20}}
}

// A limit below what a flow uses is refused by an engine with cgroups of version 1. It is tried ever more rarely, told all the
// while, and can be gone back from.
func TestFault_RefusedLimits(t *testing.T) {
	t.Parallel()
	info, err := engine.Info(t.Context())
	check(t, err)
	if info.CgroupVersion != "1" {
		t.Skip("this kernel makes room for any limit, by force")
	}
	m := newManager(t)
	c := m.dial()
	spec := python(t, named(t, "web"), "import time\nhoard = b'x' * (42 << 20)\ntime.sleep(3600)")
	spec["resources"] = object{"memory_bytes": 128 << 20}
	id := c.run(t, spec)
	m.stable(t, id)
	before := inspect(t, named(t, "web"))

	answer := c.refused(t, "update_container", object{"container_id": id, "spec": limited(8), "wait_seconds": 20}, "docker_api_error")
	if reason := answer["details"].(object)["reason"]; reason != "LimitsRefused" {
		t.Errorf("acknowledged: %v", answer)
	}
	began := time.Now()
	eventually(t, "it is tried again", func() error {
		if reason := condition(c.status(t, id), "Degraded")["reason"]; reason != "LimitsRefused" {
			t.Fatalf("degraded because of %v", reason)
		}
		if n := m.calls(t, "limit"); n < 3 {
			return fmt.Errorf("%d attempts", n)
		}
		return nil
	})
	if took := time.Since(began); took < 2*time.Second { // after 1 s, and after 2 s more
		t.Errorf("three attempts within %s", took)
	}
	c.must(t, "rollback_container", object{"container_id": id, "wait_seconds": 20})
	if st := c.status(t, id); condition(st, "Degraded")["status"] != "False" || st["last_error"] != nil {
		t.Errorf("gone back: %v", st)
	}
	if now := inspect(t, before.ID); now.HostConfig.Memory != 128<<20 || now.State.StartedAt != before.State.StartedAt {
		t.Errorf("gone back: %d bytes, %+v", now.HostConfig.Memory, now.State)
	}
	c.must(t, "update_container", object{"container_id": id, "spec": limited(256), "wait_seconds": 20})
	if now := inspect(t, before.ID); now.HostConfig.Memory != 256<<20 {
		t.Errorf("a limit that it can have: %d bytes", now.HostConfig.Memory)
	}
}

// calls is how many engine calls of a kind were made.
func (m *manager) calls(t *testing.T, kind string) int {
	t.Helper()
	n := 0
	for _, line := range strings.Split(string(m.metrics(t)), "\n") {
		var of int
		if !strings.HasPrefix(line, measuredBy+"engine_call_duration_seconds_count{") || !strings.Contains(line, fmt.Sprintf("kind=%q", kind)) {
			continue
		}
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &of); err != nil {
			t.Fatal(err)
		}
		n += of
	}
	return n
}

// A flow that is found unhealthy and takes its time to stop is restarted ever more rarely all the same.
func TestFault_TheUnhealthyThatTakesTimeToStop(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	spec := python(t, name, "import signal, time\ndef late(*_):\n time.sleep(.3)\n raise SystemExit(0)\nsignal.signal(signal.SIGTERM, late)\nwhile True: time.sleep(3600)")
	spec["healthcheck"] = object{"test": []string{"CMD", "/no-such-program"}, "interval_seconds": 1, "retries": 1}
	id := c.run(t, spec)
	eventually(t, "it waits for its third restart", func() error {
		if st := c.status(t, id); st["crash_streak"] != 3.0 || st["state"] != "restarting" || st["next_restart_at"] == nil {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	stopped := inspect(t, name).State.FinishedAt
	eventually(t, "it is restarted", func() error {
		if st := c.status(t, id); st["state"] != "running" || st["restart_count"] != 3.0 {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	if waited := moment(t, inspect(t, name).State.StartedAt).Sub(moment(t, stopped)); waited < 1400*time.Millisecond { // 2 s, less a tenth and the stop
		t.Errorf("restarted after %s", waited)
	}
}

// A name that somebody else has taken while nobody looked holds up neither stops, nor starts, nor updates, and is had again once
// it is free.
func TestFault_ATakenNameHoldsUpNothing(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	name := named(t, "web")
	id := c.run(t, object{"name": name, "update_policy": quickly})
	m.stable(t, name)
	first := inspect(t, name)
	m.stop()
	check(t, engine.ContainerRename(t.Context(), first.ID, name+"-away"))
	foreign := foreignContainer(t, name, echoImage)
	m.start()
	c = m.dial()
	c.degraded(t, id, "NameConflict")

	eventually(t, "it is connected", func() error {
		if c.status(t, id)["socket_connected"] != true {
			return errNotYet
		}
		return nil
	})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "exit", "code": 3}})
	eventually(t, "it is restarted", func() error {
		if st := c.status(t, id); st["state"] != "running" || st["restart_count"] != 1.0 || st["docker_id"] != first.ID {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	waits := object{"container_id": id, "wait_seconds": 20}
	for _, request := range []string{"restart_container", "pause_container", "unpause_container", "stop_container", "start_container"} {
		c.must(t, request, waits)
	}
	c.must(t, "update_container", object{"container_id": id, "wait_seconds": 20, "spec": object{"environment": object{"N": "2"}}})
	second := c.status(t, id)["docker_id"]
	if second == first.ID {
		t.Error("the update made no other container")
	}
	c.degraded(t, id, "NameConflict")
	if now := inspect(t, foreign); !now.State.Running || now.Name != "/"+name {
		t.Errorf("the foreign container was touched: %s %+v", now.Name, now.State)
	}
	check(t, engine.ContainerRemove(t.Context(), foreign, container.RemoveOptions{Force: true}))
	eventually(t, "it has its name", func() error {
		st := c.status(t, id)
		if now, err := engine.ContainerInspect(t.Context(), name); err != nil || now.ID != second || condition(st, "Degraded")["status"] != "False" || len(ofFlow(t, id)) != 1 {
			return fmt.Errorf("%w, %v", err, st)
		}
		return nil
	})
	m.clean(t, c)
}

// What others change about a container that runs is put right on the same container in the same run, and told as drift.
func TestFault_ChangesByOthersArePutRight(t *testing.T) {
	t.Parallel()
	lan := newNetwork(t)
	m := newManager(t, "--allow-network", lan)
	apart := func(t *testing.T, name, of string) {
		t.Helper()
		check(t, engine.NetworkDisconnect(t.Context(), of, name, false))
	}
	attached := func(c container.InspectResponse, to string) bool {
		n := c.NetworkSettings.Networks[to]
		return n != nil && n.IPAddress != ""
	}
	tests := map[string]struct {
		network string
		change  func(t *testing.T, name string)
		right   func(c container.InspectResponse) bool
	}{
		"restart policy": {"bridge", func(t *testing.T, name string) {
			_, err := engine.ContainerUpdate(t.Context(), name, container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "always"}})
			check(t, err)
		}, func(c container.InspectResponse) bool { return c.HostConfig.RestartPolicy.Name == "no" }},
		"memory": {"bridge", func(t *testing.T, name string) {
			_, err := engine.ContainerUpdate(t.Context(), name, container.UpdateConfig{Resources: container.Resources{Memory: 99 << 20, MemorySwap: 99 << 20}})
			check(t, err)
		}, func(c container.InspectResponse) bool { return c.HostConfig.Memory == 128<<20 }},
		"disconnected": {"bridge", func(t *testing.T, name string) { apart(t, name, "bridge") },
			func(c container.InspectResponse) bool { return attached(c, "bridge") }},
		"a network made anew": {lan, func(t *testing.T, name string) {
			apart(t, name, lan)
			check(t, engine.NetworkRemove(t.Context(), lan))
			makeNetwork(t, lan)
		}, func(c container.InspectResponse) bool { return attached(c, lan) }},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := m.dial()
			name := named(t, "web")
			id := c.run(t, object{"name": name, "network": tt.network, "resources": object{"memory_bytes": 128 << 20}})
			m.stable(t, id)
			before := inspect(t, name)
			tt.change(t, name)
			eventually(t, "it is put right", func() error {
				now := inspect(t, name)
				if !tt.right(now) {
					return fmt.Errorf("%+v, %v", now.HostConfig.RestartPolicy, now.NetworkSettings.Networks)
				}
				if did, _ := c.status(t, id)["last_action"].(object); did["cause"] != "drift" {
					return fmt.Errorf("told as %v", did)
				}
				return nil
			})
			if now := inspect(t, name); now.ID != before.ID || now.State.StartedAt != before.State.StartedAt {
				t.Errorf("it was touched: %s %s, then %s %s", before.ID, before.State.StartedAt, now.ID, now.State.StartedAt)
			}
			c.must(t, "delete_container", object{"container_id": id})
			c.wait(t, "container_deleted", id)
		})
	}
}

// newNetwork makes a network that goes when the test ends.
func newNetwork(t *testing.T) string {
	t.Helper()
	name := named(t, "lan")
	makeNetwork(t, name)
	t.Cleanup(func() {
		if err := engine.NetworkRemove(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func makeNetwork(t *testing.T, name string) {
	t.Helper()
	_, err := engine.NetworkCreate(t.Context(), name, network.CreateOptions{})
	check(t, err)
}

// Flows whose sockets are gone from under them are restarted if they need them; others are told of until their next start.
func TestFault_TheRunDirectoryIsLost(t *testing.T) {
	t.Parallel()
	ways := map[string]func(t *testing.T, dir string){
		"emptied": empty,
		"moved":   func(t *testing.T, dir string) { check(t, os.Rename(dir, dir+"-old")) },
	}
	for way, lose := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			c := m.dial()
			silent := c.run(t, python(t, named(t, "silent"), "import time\ntime.sleep(3600)"))
			before := map[string]container.InspectResponse{silent: inspect(t, named(t, "silent"))}
			for i := range 4 {
				name := named(t, fmt.Sprint("spoke", i))
				id := c.run(t, object{"name": name})
				before[id] = inspect(t, name)
			}
			for id := range before {
				m.stable(t, id)
			}
			m.stop()
			lose(t, filepath.Join(m.dir, "run"))
			m.start()
			c = m.dial()
			var first string
			eventually(t, "the first one that spoke can be spoken to", func() error { // such restarts are spread over half a minute
				for id, was := range before {
					st := c.status(t, id)
					again := st["docker_id"] == was.ID && inspect(t, was.ID).State.StartedAt != was.State.StartedAt
					switch {
					case again && id == silent:
						t.Fatal("what never spoke was restarted")
					case again && st["socket_connected"] == true && condition(st, "Degraded")["status"] == "False":
						first = id
						return nil
					}
				}
				return errNotYet
			})
			c.must(t, "send_message", object{"container_id": first, "message": object{"type": "greeting"}, "expect_reply": true})
			c.degraded(t, silent, "SocketLost")
			c.must(t, "restart_container", object{"container_id": silent, "wait_seconds": 20})
			if degraded := condition(c.status(t, silent), "Degraded"); degraded["status"] != "False" {
				t.Errorf("after its next start: %v", degraded)
			}
			m.clean(t, c)
		})
	}
}

// After a start that failed on a taken port some engines take a container off its networks, and start it without any the next time.
func TestFault_ATakenPortCostsNoNetwork(t *testing.T) {
	t.Parallel()
	lan := newNetwork(t)
	m := newManager(t, "--allow-network", lan)
	c := m.dial()
	name := named(t, "web")
	holder, port := hold(t, "tcp")
	id := c.must(t, "apply_container", object{"name": name, "image": echoImage, "network": lan, "ports": object{"80": fmt.Sprintf("127.0.0.1:%d", port)}})["container_id"].(string)
	c.degraded(t, id, "PortTaken")
	check(t, holder.Close())
	c.running(t, id)
	attached := inspect(t, name).NetworkSettings.Networks[lan]
	if attached == nil || attached.IPAddress == "" || !slices.Contains(attached.Aliases, name) {
		t.Errorf("on its network it is %+v", attached)
	}
	answers, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)) // the engine's proxy takes the connection, whoever listens inside
	if err != nil {
		t.Fatalf("the published port: %v", err)
	}
	answers.Close()
	m.clean(t, c)
}

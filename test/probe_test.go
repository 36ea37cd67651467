package test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// degraded waits until a container's Degraded condition has a reason, and returns its message.
func (c *wsClient) degraded(t *testing.T, id, reason string) string {
	t.Helper()
	var message string
	eventually(t, reason, func() error {
		st := c.status(t, id)
		for _, one := range st["conditions"].([]any) {
			if one := one.(object); one["type"] == "Degraded" && one["reason"] == reason && one["status"] == "True" {
				message = one["message"].(string)
				return nil
			}
		}
		return fmt.Errorf("%v", st["conditions"])
	})
	return message
}

// running waits until a container runs, its failures forgotten.
func (c *wsClient) running(t *testing.T, id string) object {
	t.Helper()
	var st object
	eventually(t, "it runs", func() error {
		if st = c.status(t, id); st["state"] != "running" || st["last_error"] != nil {
			return fmt.Errorf("%v", st)
		}
		return nil
	})
	return st
}

// A taken port is an error that the engine does not class. It is found by binding it, and waited for.
func TestProbe_ATakenPort(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	for _, protocol := range []string{"tcp", "udp"} {
		t.Run(protocol, func(t *testing.T) {
			holder, port := hold(t, protocol)
			c := m.dial()
			name := named(t, "web")
			answer, err := c.ask("apply_container", object{"name": name, "image": echoImage, "request_id": "r1", "wait_seconds": 20,
				"ports": object{"80/" + protocol: fmt.Sprintf("127.0.0.1:%d", port)}})
			if err != nil {
				t.Fatal(err)
			}
			says := fmt.Sprintf("port %d/%s of 127.0.0.1 is taken", port, protocol)
			if answer["ok"] != false || answer["error_type"] != "conflict_error" || !strings.Contains(fmt.Sprint(answer["message"]), says) {
				t.Errorf("acknowledged: %v", answer)
			}
			told, err := c.await("error", func(o object) bool { return o["request_id"] == "r1" })
			if err != nil || told["error_type"] != "conflict_error" || !strings.Contains(told["message"].(string), says) {
				t.Errorf("told: %v, %v", told, err)
			}
			id := told["details"].(object)["container_id"].(string)
			if message := c.degraded(t, id, "PortTaken"); !strings.Contains(message, says) {
				t.Errorf("degraded: %s", message)
			}
			made := c.status(t, id)["docker_id"]
			if err := holder.Close(); err != nil {
				t.Fatal(err)
			}
			if st := c.running(t, id); st["docker_id"] != made || st["restart_count"] != 0.0 {
				t.Errorf("once the port is free: %v", st)
			}
			if networks := inspect(t, made.(string)).NetworkSettings.Networks; len(networks) != 1 {
				t.Errorf("it is attached to %v", networks)
			}
			if protocol == "tcp" { // the engine's proxy takes the connection, whoever listens inside
				answers, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					t.Fatalf("the published port: %v", err)
				}
				answers.Close()
			}
		})
	}
}

// hold takes a free port of the loopback.
func hold(t *testing.T, protocol string) (interface{ Close() error }, int) {
	t.Helper()
	if protocol == "udp" {
		l, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l, l.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().(*net.TCPAddr).Port
}

// What a start lacks besides is told apart as well: the engine knows no class for it, or one that says too little.
func TestProbe_WhatAStartLacks(t *testing.T) {
	t.Parallel()
	network := named(t, "net")
	m := newManager(t, "--allow-network", network)
	c := m.dial()
	tests := []struct {
		name, reason, says string
		spec               object
	}{
		{"network", "NetworkNotFound", network, object{"network": network}},
		{"user", "UserNotFound", `"somebody"`, object{"user": "somebody"}},
		{"group", "UserNotFound", `"some-group"`, object{"user": "1000:some-group"}},
		{"address", "AddressNotAvailable", "192.0.2.1", object{"ports": object{"80": "192.0.2.1:8080"}}},
		{"command", "StartFailed", "no-such-program", object{"entrypoint": []string{"/no-such-program"}, "init": false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec["name"], tt.spec["image"] = named(t, "x"), echoImage
			id := c.must(t, "apply_container", tt.spec)["container_id"].(string)
			if message := c.degraded(t, id, tt.reason); !strings.Contains(message, tt.says) {
				t.Errorf("it says %q", message)
			}
			c.must(t, "delete_container", object{"container_id": id})
			c.wait(t, "container_deleted", id)
		})
	}
}

// An engine whose disk is full is told by how much is left of it, and gone on with once there is room.
func TestProbe_NoSpace(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 64<<20)
	m := newManager(t, "--docker-host", e.host())
	c := m.dial()
	ballast := filepath.Join(e.root(), "ballast")
	fill(t, ballast)
	answer, err := c.ask("apply_container", object{"name": named(t, "x"), "image": echoImage, "network": "none", "wait_seconds": 20})
	if err != nil {
		t.Fatal(err)
	}
	message := fmt.Sprint(answer["message"])
	if answer["ok"] != false || answer["error_type"] != "system_error" || !strings.Contains(message, e.root()) || !strings.Contains(message, " bytes") {
		t.Errorf("acknowledged: %v", answer)
	}
	t.Log(message)
	id := answer["details"].(object)["container_id"].(string)
	c.degraded(t, id, "NoSpace")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.running(t, id)
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
}

// fill writes a file until its file system has no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

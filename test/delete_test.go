package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// An admin has a container forgotten though the engine is away. What is left of it goes when the engine is back.
func TestDelete_ByForce(t *testing.T) {
	t.Parallel()
	e := newPrivateEngine(t, 0)
	list := newTokens(t)
	root, _ := list.create("root", api.Admin)
	ops, _ := list.create("ops", api.Operator)
	m := newManager(t, "--docker-host", e.host(), "--auth-file", list.path)
	admin, operator := m.login(root), m.login(ops)
	name := named(t, "web")
	id := admin.run(t, object{"name": name, "network": "none"})
	e.stop(syscall.SIGTERM)
	if _, err := admin.await("engine_unavailable", func(object) bool { return true }); err != nil {
		t.Fatal(err)
	}
	operator.must(t, "delete_container", object{"container_id": id})
	if st := operator.status(t, id); st["state"] != "removing" && condition(st, "Ready")["status"] != "Unknown" {
		t.Errorf("status: %v", st)
	}
	operator.refused(t, "delete_container", object{"container_id": id, "force": true}, "permission_error")
	admin.must(t, "delete_container", object{"container_id": id, "force": true})
	if gone := admin.wait(t, "container_deleted", id); gone["status"] != "deleted" {
		t.Errorf("deleted: %v", gone)
	}
	admin.refused(t, "get_container", object{"container_id": id}, "container_not_found")
	m.eventually("its socket is gone", func() error {
		if n := m.socketFolders(t); n > 0 {
			return fmt.Errorf("%d socket folders", n)
		}
		return nil
	})
	again := admin.must(t, "apply_container", object{"name": name, "image": echoImage, "network": "none"})["container_id"]
	e.start()
	eventually(t, "what was left is gone, and the new one runs", func() error {
		all := e.list()
		if len(all) != 1 || all[0].Labels["io.flow-manager.id"] != again || all[0].State != "running" {
			return fmt.Errorf("%v", all)
		}
		return nil
	})
	admin.must(t, "delete_container", object{"container_id": again})
	admin.wait(t, "container_deleted", again)
}

// A step of a deletion that fails three times is told to who asked, with how far it has come. It is gone on with.
func TestDelete_TellsHowFarItHasCome(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "web")})
	folder := filepath.Join(m.dir, "run", id)
	if err := os.Mkdir(folder+"/busy", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", folder+"/busy", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder+"/busy", unix.MNT_DETACH) }) // where the test did not
	c.must(t, "delete_container", object{"container_id": id, "request_id": "delete"})
	failure, err := c.await("error", func(o object) bool { return o["request_id"] == "delete" })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", failure["message"])
	want := "map[code:pending container:done socket:failed volumes:done]"
	if got := fmt.Sprint(failure["details"].(object)["cleanup"]); failure["error_type"] != "socket_error" || got != want {
		t.Errorf("%v: got %s, want %s", failure["error_type"], got, want)
	}
	if err := unix.Unmount(folder+"/busy", 0); err != nil {
		t.Fatal(err)
	}
	m.clean(t, c)
}

// Delete wins over whatever is under way, and takes with it what that has made so far.
func TestDelete_WhateverIsUnderWay(t *testing.T) {
	g := newRegistry(t) // nobody answers there
	asked := make(chan struct{}, 100)
	g.will(func(http.ResponseWriter, *http.Request) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-g.ended
		return true
	})
	m := newManager(t)
	c := m.dial()
	long := object{"monitor_seconds": 600}
	tests := map[string]func(t *testing.T, name string) string{
		"a pull": func(t *testing.T, name string) string {
			id := c.must(t, "apply_container", object{"name": name, "image": g.host + "/flows/a:1"})["container_id"].(string)
			<-asked
			return id
		},
		"a pull for an update": func(t *testing.T, name string) string {
			id := c.run(t, object{"name": name})
			c.must(t, "update_container", object{"container_id": id, "spec": object{"image": g.host + "/flows/b:1"}})
			<-asked
			return id
		},
		"a trial": func(t *testing.T, name string) string {
			id := c.run(t, object{"name": name, "update_policy": quickly})
			m.stable(t, name)
			c.must(t, "update_container", object{"container_id": id, "spec": object{"environment": object{"N": "2"}, "update_policy": long}})
			m.eventually("it is on trial", func() error {
				if reason := condition(c.status(t, id), "Progressing")["reason"]; reason != "Monitoring" || len(ofFlow(t, id)) != 2 {
					return fmt.Errorf("%v, %d containers", reason, len(ofFlow(t, id)))
				}
				return nil
			})
			return id
		},
		"a crash loop": func(t *testing.T, name string) string {
			id := c.must(t, "apply_container", object{"name": name, "image": echoImage, "environment": object{"EXIT_CODE": "1"}})["container_id"].(string)
			m.eventually("it crashes", func() error {
				if st := c.status(t, id); st["crash_streak"].(float64) < 3 {
					return fmt.Errorf("%v", st)
				}
				return nil
			})
			return id
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			id := begin(t, named(t, "web"))
			c.must(t, "delete_container", object{"container_id": id})
			c.wait(t, "container_deleted", id)
			if left := ofFlow(t, id); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		})
	}
	m.clean(t, c)
}

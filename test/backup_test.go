package test

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// store runs a command of flow-manager store for m's folders.
func (m *manager) store(args ...string) (code int, said string) {
	m.t.Helper()
	return run(m.t, "flow-manager", append([]string{"store", "--data-dir", filepath.Join(m.dir, "data"), "--run-dir", filepath.Join(m.dir, "run")}, args...))
}

// stored is store for a command that must work.
func (m *manager) stored(args ...string) string {
	m.t.Helper()
	code, said := m.store(args...)
	if code != 0 {
		m.t.Fatalf("store %v: exit code %d: %s", args, code, said)
	}
	return said
}

// fails is store for one that must end with a code and say something.
func (m *manager) fails(code int, says string, args ...string) {
	m.t.Helper()
	if got, said := m.store(args...); got != code || !strings.Contains(said, says) || strings.Count(strings.TrimSpace(said), "\n") > 3 {
		m.t.Errorf("store %v: exit code %d: %s; want %d and %q", args, got, said, code, says)
	}
}

func TestBackup_OfARunningManager(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	for i := range 30 { // more than the sockets between two processes hold
		c.must(t, "create_container", bulky(t, fmt.Sprint("c", i)))
	}
	file := filepath.Join(t.TempDir(), "backup")
	said := m.stored("backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 || !strings.Contains(said, fmt.Sprintf("%s: %d bytes, 30 containers, revision ", file, info.Size())) {
		t.Errorf("%s: %v, %v", said, info, err)
	}
	m.stored("check", file)
	m.fails(2, "--force", "backup", file)
	m.stored("backup", "--force", file)
	m.fails(3, "backup", "check")
	m.fails(3, "stop the manager", "restore", file)
	m.fails(3, "stop the manager", "discard", "x")
	m.fails(3, "in use", "backup", "--force", filepath.Join(m.dir, "data", "flow-manager.db"))
	m.fails(3, "--run-dir", "backup", file+"2", "--run-dir", t.TempDir())
	m.fails(2, "FILE", "backup")
	m.fails(1, "no such file", "backup", filepath.Join(t.TempDir(), "absent", "file"))
	if info, err := os.Stat(filepath.Join(m.dir, "run", "admin.sock")); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("admin.sock: %v, %v", info, err)
	}
	m.stalls(t, c, file)
}

// bulky is a large declaration that the engine makes nothing of.
func bulky(t *testing.T, name string) object {
	return object{"name": named(t, name), "image": "example/none:1", "image_pull_policy": "never", "environment": object{"BIG": strings.Repeat("x", 100_000)}}
}

// stalls asks for a backup and takes none of it. Nobody waits for that but whoever wants another backup, and those not for long.
func (m *manager) stalls(t *testing.T, c *wsClient, file string) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(m.dir, "run", "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET /backup HTTP/1.1\r\nHost: admin\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	began := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, began); err != nil || !strings.HasSuffix(string(began), "200") {
		t.Fatalf("the backup begins with %q, %v", began, err)
	}
	m.fails(1, "another backup is under way", "backup", "--force", file)
	asked := time.Now()
	for i := range 20 {
		c.must(t, "create_container", bulky(t, fmt.Sprint("late", i)))
	}
	if took := time.Since(asked); took > 8*time.Second {
		t.Errorf("20 declarations took %s beside a backup that stalls", took)
	}
	m.eventually("the backup is cut off", func() error {
		if code, said := m.store("backup", "--force", file); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, said)
		}
		return nil
	})
	if !strings.Contains(m.log.tail(1<<20), "was not sent whole") {
		t.Error("nobody was told")
	}
}

// A manager that runs has its run directory for itself.
func TestBackup_TwoManagersDoNotShareARunDirectory(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	code, said := run(t, "flow-manager", []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--run-dir", filepath.Join(m.dir, "run")})
	if code != 2 || !strings.Contains(said, "belongs to another manager") {
		t.Errorf("exit code %d: %s", code, said)
	}
	other := t.TempDir()
	if code, said := m.store("backup", filepath.Join(other, "backup"), "--data-dir", other); code == 0 || !strings.Contains(said, other) {
		t.Errorf("a backup of one store through the manager of another: exit code %d: %s", code, said)
	}
	m.kill()
	m.start() // what a dead one has left is replaced
	m.stored("backup", filepath.Join(t.TempDir(), "backup"))
}

func TestRestore_LooksBeforeItActs(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	ids := map[string]string{}
	for _, name := range []string{"same", "gone", "stopped"} {
		ids[name] = c.run(t, object{"name": named(t, name)})
	}
	file := filepath.Join(t.TempDir(), "backup")
	m.stored("backup", file)
	version := c.must(t, "list_containers", object{})["resource_version"]
	c.must(t, "delete_container", object{"container_id": ids["gone"]})
	c.wait(t, "container_deleted", ids["gone"])
	c.must(t, "stop_container", object{"container_id": ids["stopped"]})
	c.wait(t, "container_stopped", ids["stopped"])
	ids["later"] = c.run(t, object{"name": named(t, "later")})
	before := map[string]container.InspectResponse{}
	for _, name := range []string{"same", "stopped", "later"} {
		before[name] = inspect(t, named(t, name))
	}
	m.stop()
	said := m.stored("restore", file)
	if kept, err := filepath.Glob(filepath.Join(m.dir, "data", "flow-manager.db.before-restore-*")); err != nil || len(kept) != 1 || !strings.Contains(said, kept[0]) {
		t.Errorf("kept: %v, %v; said: %s", kept, err, said)
	}

	m.launch()
	m.eventually("it is held back", func() error {
		err := m.probe("/readyz")
		if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "StoreRestored") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	for _, foretold := range []string{"make anew " + named(t, "gone"), "start " + named(t, "stopped"), "leave alone " + named(t, "later"), "--accept-restore"} {
		if err := m.probe("/readyz"); !strings.Contains(err.Error(), foretold) {
			t.Errorf("%q is not foretold: %v", foretold, err)
		}
	}
	if code, said := flowctl(t, "get", "--server", m.url()); code != 0 || !strings.Contains(said, named(t, "gone")) {
		t.Errorf("flowctl get: %d %s", code, said)
	}
	c = m.dial()
	if again := c.must(t, "list_containers", object{})["resource_version"]; strings.Split(again.(string), "-")[0] == strings.Split(version.(string), "-")[0] {
		t.Errorf("the resource version goes on from %v as %v", version, again)
	}
	c.refused(t, "subscribe", object{"resource_version": version}, "resource_expired_error")
	answer := c.must(t, "send_message", object{"container_id": named(t, "same"), "message": object{"type": "greeting"}, "expect_reply": true})
	if answer["reply"] == nil {
		t.Errorf("the flow does not answer: %v", answer)
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
	for _, name := range []string{"same", "gone", "stopped"} {
		c.running(t, ids[name])
	}
	for _, name := range []string{"same", "later"} {
		if err := untouched(t, name, before[name]); err != nil {
			t.Error(err)
		}
	}
	m.stop()
	m.args = nil
	m.start() // it was accepted once and for all
}

// untouched tells whether a container and its run are what they were.
func untouched(t *testing.T, name string, was container.InspectResponse) error {
	t.Helper()
	if now := inspect(t, named(t, name)); now.ID != was.ID || now.State.StartedAt != was.State.StartedAt || now.State.Running != was.State.Running {
		return fmt.Errorf("%s was touched: %+v, then %+v", name, was.State, now.State)
	}
	return nil
}

// spoil changes bytes of the closed store, where they lie.
func (m *manager) spoil(edit func(data []byte) []byte) {
	m.t.Helper()
	file := filepath.Join(m.dir, "data", "flow-manager.db")
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, edit(data), 0o600)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func TestRestore_AfterTheStoreWasDamaged(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "web")})
	before := inspect(t, named(t, "web"))
	file := filepath.Join(t.TempDir(), "backup")
	m.stored("backup", file)
	m.stop()
	m.spoil(func(data []byte) []byte { return data[:3*os.Getpagesize()] })
	for _, program := range [][]string{
		{"serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(m.dir, "data"), "--run-dir", filepath.Join(m.dir, "run")},
		{"store", "check", "--data-dir", filepath.Join(m.dir, "data")},
	} {
		code, said := run(t, "flow-manager", program)
		if code != 4 || !strings.Contains(said, filepath.Join(m.dir, "data", "flow-manager.db")) || !strings.Contains(said, "damaged") {
			t.Errorf("%v: exit code %d: %s", program, code, said)
		}
		if program[0] == "serve" && !strings.Contains(said, "flow-manager store restore FILE") {
			t.Errorf("it does not say what to do: %s", said)
		}
	}
	m.stored("restore", file)
	m.args = []string{"--accept-restore"}
	m.start()
	m.dial().running(t, id)
	if err := untouched(t, "web", before); err != nil {
		t.Error(err)
	}
}

func TestQuarantine_OfARunningContainer(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "web")})
	other := c.run(t, object{"name": named(t, "other")})
	before := inspect(t, named(t, "web"))
	m.stop()
	m.spoil(func(data []byte) []byte {
		return []byte(strings.ReplaceAll(string(data), `{"id":"`+id+`"`, `{"id";"`+id+`"`))
	})
	m.start()
	c = m.dial()
	c.running(t, other)
	refused := c.refused(t, "apply_container", object{"name": named(t, "web"), "image": echoImage}, "system_error")
	if details := refused["details"].(object); details["reason"] != "RecordQuarantined" || !strings.Contains(refused["message"].(string), "store discard") {
		t.Errorf("refused: %v", refused)
	}
	c.refused(t, "delete_container", object{"container_id": id}, "system_error")
	if text := string(m.metrics(t)); !strings.Contains(text, "flow_manager_quarantined_records 2") {
		t.Error("the metric does not tell of it")
	}
	if log := m.log.tail(1 << 20); !strings.Contains(log, `"operation":"quarantine"`) || !strings.Contains(log, named(t, "web")) {
		t.Error("the log does not tell of it")
	}
	m.stop()
	if err := untouched(t, "web", before); err != nil {
		t.Error(err)
	}
	m.fails(4, named(t, "web"), "check")
	m.stored("discard", named(t, "web"))
	m.stored("check")
	m.start()
	m.dial().must(t, "create_container", object{"name": named(t, "web"), "image": echoImage})
	if err := untouched(t, "web", before); err != nil {
		t.Error(err)
	}
}

package test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/rs/xid"
)

// echoImage is what hack/echo-image.sh makes.
const echoImage = "flow-manager/echo:latest"

// patience is how long anything may take that a real engine has to do.
const patience = 30 * time.Second

var (
	engine     *client.Client
	errNotYet  = errors.New("not yet")
	testPrefix = "t" + xid.New().String()[12:] + "-"
)

// atOnce is how many tests run in parallel, whatever the number of CPUs: what they do most is wait for engines.
const atOnce = "4"

func TestMain(m *testing.M) {
	err := flag.Set("test.parallel", atOnce) // the command line wins over it
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if engine, err = client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	removeAll()
	os.Exit(code)
}

// binaries is the folder of the programs under test, which are built once, the manager with failpoints. It is for the
// tests that need an engine, and makes sure of the image that they run.
func binaries(t *testing.T) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var build = sync.OnceValues(func() (string, error) {
	if _, err := engine.ImageInspect(context.Background(), echoImage); err != nil {
		return "", fmt.Errorf("the image %s is needed; hack/echo-image.sh makes it: %w", echoImage, err)
	}
	dir, err := filepath.Abs("../bin/test")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{{"-tags", "failpoint", "-o", dir + "/", "../cmd/flow-manager"}, {"-o", dir + "/", "../cmd/flowctl"}} {
		if out, err := exec.Command("go", append([]string{"build"}, args...)...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %v: %w\n%s", args, err, out)
		}
	}
	return dir, nil
})

// removeAll takes away every container of this run, whatever became of its test.
func removeAll() {
	list, _ := engine.ContainerList(context.Background(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", testPrefix))})
	for _, c := range list {
		_ = engine.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	}
}

// named makes a name unique to this run and test.
func named(t *testing.T, name string) string {
	sum := 0
	for _, r := range t.Name() {
		sum = (sum*31 + int(r)) % 99991
	}
	return fmt.Sprintf("%s%d-%s", testPrefix, sum, name)
}

// manager is one flow-manager with a data directory of its own, which survives its deaths.
type manager struct {
	t      *testing.T
	dir    string
	args   []string
	under  []string // a command to run it under
	scheme string   // http unless it is set
	base   string   // its --base-path
	web    http.Client
	addr   string
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan error
}

// newManager starts a manager that is stopped, by SIGTERM, when the test ends.
func newManager(t *testing.T, args ...string) *manager {
	t.Helper()
	m := &manager{t: t, dir: t.TempDir(), args: args}
	m.keep()
	return m
}

// keep starts m, and stops it when the test ends.
func (m *manager) keep() {
	t := m.t
	t.Helper()
	m.start()
	t.Cleanup(func() {
		if m.cmd != nil {
			m.stop()
		}
		if t.Failed() {
			t.Logf("the manager's log:\n%s", m.log.tail(8000))
		}
		removeNamed(t)
	})
}

// removeNamed takes away what a failed test left.
func removeNamed(t *testing.T) {
	list, err := engine.ContainerList(context.Background(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", named(t, "")))})
	if err != nil {
		t.Error(err)
	}
	for _, c := range list {
		err := engine.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) { // another manager of this test may still be at it
			t.Error(err)
		}
	}
}

// start runs the program, with more environment, and waits until it is ready or has died.
func (m *manager) start(env ...string) {
	m.t.Helper()
	m.launch(env...)
	m.eventually("ready", func() error {
		if !m.alive() {
			return nil // a failpoint may end it before it is ready
		}
		return m.probe("/readyz")
	})
}

// launch runs the program and waits until it serves.
func (m *manager) launch(env ...string) {
	m.t.Helper()
	args := append([]string{filepath.Join(binaries(m.t), "flow-manager"), "serve", "--listen", "127.0.0.1:0", "--log-level", "debug", "--log-format", "json",
		"--data-dir", filepath.Join(m.dir, "data"), "--run-dir", filepath.Join(m.dir, "run")}, m.args...)
	args = append(append([]string{}, m.under...), args...)
	m.cmd = exec.Command(args[0], args[1:]...)
	m.cmd.Env = append(os.Environ(), env...)
	read, write, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.cmd.Stderr = write
	m.log, m.exited = &logBuffer{serving: make(chan string, 1), from: read}, make(chan error, 1)
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	write.Close()
	go m.log.follow()
	cmd, exited := m.cmd, m.exited
	go func() { exited <- cmd.Wait() }()
	select {
	case m.addr = <-m.log.serving:
	case err := <-m.exited:
		m.t.Fatalf("the manager ended before it served: %v\n%s", err, m.log.tail(4000))
	case <-time.After(patience):
		m.t.Fatalf("the manager does not serve:\n%s", m.log.tail(4000))
	}
}

func (m *manager) url() string {
	if strings.HasPrefix(m.addr, "unix://") {
		return "http://localhost"
	}
	return cmp.Or(m.scheme, "http") + "://" + m.addr
}

func (m *manager) probe(path string) error {
	answer, err := m.web.Get(m.url() + m.base + path)
	if err != nil {
		if !m.alive() {
			return nil
		}
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s %s", path, answer.Status, text)
	}
	return nil
}

// alive tells whether the process has not ended.
func (m *manager) alive() bool {
	select {
	case err := <-m.exited:
		m.exited <- err
		return false
	default:
		return true
	}
}

// kill ends the process as a crash does.
func (m *manager) kill() {
	m.t.Helper()
	_ = m.cmd.Process.Signal(syscall.SIGKILL) // it may have died by itself already
	m.wait()
}

func (m *manager) wait() error {
	m.t.Helper()
	select {
	case err := <-m.exited:
		m.cmd = nil
		return err
	case <-time.After(patience):
		m.t.Fatal("the manager does not end")
		return nil
	}
}

// stop ends the process as an operator does; that must be clean.
func (m *manager) stop() {
	m.t.Helper()
	if err := syscall.Kill(m.pid(), syscall.SIGTERM); err != nil {
		m.t.Error(err)
	}
	if err := m.wait(); err != nil {
		m.t.Errorf("stopped by SIGTERM, the manager ended with %v", err)
	}
}

// pid is the manager's own, whatever it runs under.
func (m *manager) pid() int {
	m.t.Helper()
	pid := m.cmd.Process.Pid
	if len(m.under) == 0 {
		return pid
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(children), &pid); err != nil {
		m.t.Fatal(err)
	}
	return pid
}

// eventually polls what only the engine's or another process's work can bring about.
func (m *manager) eventually(what string, check func() error) {
	m.t.Helper()
	eventually(m.t, what, check)
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// logBuffer keeps the manager's log and finds the address that it serves on.
type logBuffer struct {
	serving chan string
	from    io.ReadCloser
	mu      sync.Mutex
	text    bytes.Buffer
}

func (l *logBuffer) follow() {
	defer l.from.Close()
	lines := bufio.NewScanner(l.from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line struct{ Message, Listen string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "serving" {
			l.serving <- line.Listen
		}
		if _, listen, found := strings.Cut(lines.Text(), "serving listen="); found { // on the console
			l.serving <- strings.Fields(listen)[0]
		}
		l.mu.Lock()
		l.text.Write(append(lines.Bytes(), '\n'))
		l.mu.Unlock()
	}
}

func (l *logBuffer) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.Bytes()
	return string(text[max(0, len(text)-n):])
}

// lines are the log's lines, decoded.
func (l *logBuffer) lines(t *testing.T) []object {
	t.Helper()
	var lines []object
	for _, text := range strings.Split(strings.TrimSpace(l.tail(64<<20)), "\n") {
		var line object
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("a line of the log is no JSON: %s", text)
		}
		lines = append(lines, line)
	}
	return lines
}

// inspect is the engine's own view of a container.
func inspect(t *testing.T, ref string) container.InspectResponse {
	t.Helper()
	c, err := engine.ContainerInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ofFlow are the engine's containers that bear a flow's id.
func ofFlow(t *testing.T, id string) []container.Summary {
	t.Helper()
	list, err := engine.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "io.flow-manager.id="+id))})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ofInstance are the engine's containers that one manager made.
func ofInstance(t *testing.T, instance string) []container.Summary {
	t.Helper()
	list, err := engine.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "io.flow-manager.instance="+instance))})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// instance is the manager's own name for itself.
func (m *manager) instance(t *testing.T, c *wsClient) string {
	t.Helper()
	if c.hello["instance"] == "" {
		t.Fatal("the connected event names no instance")
	}
	return c.hello["instance"].(string)
}

// socketFolders counts the folders of flows' sockets.
func (m *manager) socketFolders(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(m.dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.IsDir() {
			n++
		}
	}
	return n
}

package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// going is a run of flowctl that goes on.
type going struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  words
	errs words
}

// words are what was written so far.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// begins starts flowctl, and ends it with the test if it has not ended before.
func (c teller) begins(args ...string) *going {
	c.t.Helper()
	g := &going{t: c.t, cmd: c.command(args...)}
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.errs
	if err := g.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return g
}

// shows waits for a line.
func (g *going) shows(pattern string) {
	g.t.Helper()
	line := regexp.MustCompile("(?m)" + pattern)
	eventually(g.t, "flowctl shows "+pattern, func() error {
		if !line.MatchString(g.out.String()) {
			return fmt.Errorf("it shows %s%s", &g.out, &g.errs)
		}
		return nil
	})
}

func (g *going) ends() (code int) {
	g.t.Helper()
	err := g.cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode()
	}
	if err != nil {
		g.t.Error(err)
	}
	return 0
}

func (g *going) interrupted() {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGINT); err != nil {
		g.t.Error(err)
	}
	if code := g.ends(); code != 130 || strings.Contains(g.errs.String(), "error") {
		g.t.Errorf("interrupted, it ended with %d: %s", code, &g.errs)
	}
}

// stayingManager is one that can be found again when it was killed and started.
func stayingManager(t *testing.T) (*manager, teller) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fm.sock")
	m := &manager{t: t, dir: t.TempDir(), args: []string{"--listen", "unix://" + path}}
	m.web.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	m.keep()
	return m, teller{t, []string{"FLOWCTL_SERVER=unix://" + path}}
}

// declares applies a container of the echo image.
func (c teller) declares(name string) {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "flow.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "name: %s\nimage: %s\n", name, echoImage), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.says(name+" created (generation 1)\n", "apply", "-f", file)
}

// What is watched goes on when the manager was killed and has come back, with what happened and nothing twice.
func TestFlowctl_WatchesOverTheManagersDeath(t *testing.T) {
	t.Parallel()
	m, c := stayingManager(t)
	name := named(t, "watched")
	rows, events := c.begins("get", "--watch"), c.begins("events", "--type", "status_changed,activity_log")
	rows.shows("^NAME ")
	waits := c.begins("wait", name+"-not", "--for", "deleted")
	if code := waits.ends(); code != 0 || waits.out.String() != name+"-not is deleted\n" {
		t.Errorf("%d %s%s", code, &waits.out, &waits.errs)
	}
	c.declares(name)
	c.says(name+" is available\n", "wait", name)
	rows.shows("^" + name + " .* running +yes ")
	events.shows(name + " .*created -> running")
	subscribed := func() int { return strings.Count(m.log.tail(1<<20), `"operation":"subscribe"`) }
	before := subscribed()
	stops := c.begins("wait", name, "--for", "stopped")
	m.eventually("it has subscribed", func() error {
		if subscribed() == before {
			return errNotYet
		}
		return nil
	})
	m.kill()
	m.start()
	c.says(name+" stop accepted (generation 2)\n", "stop", name)
	if code := stops.ends(); code != 0 || stops.out.String() != name+" is stopped\n" {
		t.Errorf("%d %s%s", code, &stops.out, &stops.errs)
	}
	rows.shows("^" + name + " .* stopped ")
	c.says(name+" delete accepted (generation 3)\n", "delete", name)
	c.says(name+" is deleted\n", "wait", name, "--for", "deleted")
	rows.shows("^" + name + " .* deleted ")
	events.shows("container_deleted: " + name)
	for _, g := range []*going{rows, events} {
		g.interrupted()
		if strings.Count(g.errs.String(), "connecting again") != 1 {
			t.Errorf("it tells %s", &g.errs)
		}
	}
	var states []string
	for _, row := range regexp.MustCompile("(?m)^"+name+" +[0-9a-v]{20} +([a-z]+(?: \\(being deleted\\))?) ").FindAllStringSubmatch(rows.out.String(), -1) {
		states = append(states, row[1])
	}
	if got := strings.Join(states, " "); got != "created running running stopped stopped (being deleted) deleted" {
		t.Errorf("shown as %s:\n%s", got, &rows.out)
	}
	if n := strings.Count(events.out.String(), "container_declared: apply_container"); n != 1 {
		t.Errorf("the declaration is told %d times:\n%s", n, &events.out)
	}
}

// A log is followed over another run of the container and of the manager, up to its deletion; the activity is there after the manager's death.
func TestFlowctl_Logs(t *testing.T) {
	t.Parallel()
	m, c := stayingManager(t)
	name := named(t, "talks")
	c.declares(name)
	c.says(name+" is available\n", "wait", name)
	c.shows([]string{"send", name, `{"type":"log","line":"first \u001b[31m"}`, "--reply"}, "done")
	follow := c.begins("logs", "-f", name)
	follow.shows(`^first \\x1b\[31m$`)
	c.says(name+" restart accepted (generation 2)\n"+name+" is available\n", "restart", name, "--wait")
	c.shows([]string{"send", name, `{"type":"log","line":"second"}`, "--reply"}, "done")
	follow.shows("^second$")
	c.says("second\n", "logs", name, "--tail", "1", "--since", "1h")
	c.shows([]string{"logs", name, "--timestamps"}, "Z first", "Z second\n")
	c.says("", "logs", name, "--tail", "0")
	m.kill()
	m.start()
	c.shows([]string{"send", name, `{"type":"log","line":"third"}`, "--reply"}, "done")
	follow.shows("^third$")
	follow.interrupted()
	if text := follow.out.String(); strings.Count(text, "first") != 1 || strings.Count(text, "second") != 1 || strings.Count(follow.errs.String(), "connecting again") != 1 {
		t.Errorf("it shows %stells %s", text, &follow.errs)
	}
	c.shows([]string{"describe", name}, "container_declared", "restart_container of "+name+" by operator")
	follow = c.begins("logs", "-f", name, "-o", "json")
	follow.shows(`"line":"third","stream":"stdout"`)
	c.says(name+" delete accepted (generation 3)\n"+name+" is deleted\n", "delete", name, "--wait")
	if code := follow.ends(); code != 0 {
		t.Errorf("%d %s", code, &follow.errs)
	}
	c.fails(1, `there is no container "`+name, "logs", name)
}

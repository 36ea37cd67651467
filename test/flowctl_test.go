package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

// teller runs flowctl in an environment, and holds it to what it must say.
type teller struct {
	t   *testing.T
	env []string
}

// tells is flowctl for a manager.
func (m *manager) tells() teller { return teller{m.t, []string{"FLOWCTL_SERVER=" + m.url()}} }

func (c teller) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(binaries(c.t), "flowctl"), args...)
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

func (c teller) run(args ...string) (code int, said string) {
	c.t.Helper()
	out, err := c.command(args...).CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), string(out)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return 0, string(out)
}

// says fails unless flowctl does what it was asked for, and says what it must and nothing else.
func (c teller) says(want string, args ...string) {
	c.t.Helper()
	if code, said := c.run(args...); code != 0 || said != want {
		c.t.Fatalf("flowctl %q: %d %q, want %q", args, code, said, want)
	}
}

// shows fails unless flowctl does what it was asked for, and shows each of wants.
func (c teller) shows(args []string, wants ...string) {
	c.t.Helper()
	code, said := c.run(args...)
	for _, want := range wants {
		if code != 0 || !strings.Contains(said, want) {
			c.t.Errorf("flowctl %q: %d, and no %q in:\n%s", args, code, want, said)
		}
	}
}

func (c teller) fails(code int, want string, args ...string) {
	c.t.Helper()
	if got, said := c.run(args...); got != code || !strings.HasPrefix(said, "error: "+want) || strings.Count(said, "\n") != 1 {
		c.t.Errorf("flowctl %q: %d %q, want %d %q", args, got, said, code, want)
	}
}

func TestFlowctl_Life(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	name := named(t, "life")
	file := filepath.Join(t.TempDir(), "life.yaml")
	document := fmt.Sprintf("name: %s\nimage: %s\nlabels: {team: blue, since: 2026-12-01}\nenvironment: {MASK: 0022, VERSION: 1.10}\nupdate_policy: {monitor_seconds: 1}\n", name, echoImage)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	c := m.tells()
	c.says(name+" would be created (dry run)\n", "apply", "-f", file, "--dry-run")
	c.fails(1, `there is no container "`+name, "describe", name)
	c.says(name+" created (generation 1)\n"+name+" is available\n", "apply", "-f", file, "--wait")
	c.says(name+" would stay as it is (dry run)\n", "apply", "-f", file, "--dry-run")
	for _, print := range [][]string{{"get", name, "-o", "yaml"}, {"get", name, "-o", "json"}, {"get", name, "--export"}} {
		code, printed := c.run(print...)
		again := filepath.Join(t.TempDir(), "again")
		check(t, os.WriteFile(again, []byte(printed), 0o600))
		if c.says(name+" unchanged (generation 1)\n", "apply", "-f", again); code != 0 {
			t.Errorf("%q: %d", print, code)
		}
	}
	c.shows([]string{"describe", name}, "State:                running\n", "team=blue", "1 declared, 1 observed, 1 running", "\n  image: "+echoImage+"\n", "Ready         True", "Available     True", "Recent actions:\n", "Activity:\n")
	c.shows([]string{"explain", name}, "Next action:   none\n", "Why:           it is as declared\n", "start    declaration")
	c.shows([]string{"top"}, "PROCESSES\n", name+"   running")
	c.shows([]string{"__complete", "stop", ""}, name+"\n:4\n")

	before := inspect(t, name)
	c.says(name+" restart accepted (generation 2)\n"+name+" is available\n", "restart", name, "--wait")
	if after := inspect(t, name); after.ID != before.ID || after.State.StartedAt == before.State.StartedAt {
		t.Errorf("restarted: %s %s, then %s %s", before.ID, before.State.StartedAt, after.ID, after.State.StartedAt)
	}
	c.says(name+" pause accepted (generation 3)\n"+name+" is paused\n", "pause", name, "--wait")
	if !inspect(t, name).State.Paused {
		t.Error("the engine has it not paused")
	}
	c.says(name+" unpause accepted (generation 4)\n"+name+" is available\n", "unpause", name, "--wait")
	c.says(name+" unchanged (generation 4)\n", "start", name)
	c.says(name+" stop accepted (generation 5)\n"+name+" is stopped\n", "stop", name, "--wait")
	c.shows([]string{"start", name, "--wait", "-o", "json"}, `"generation": 6`, `"observed_generation": 6`, `"state": "running"`) // what came of it
	c.shows([]string{"stop", name, "--wait", "-o", "yaml"}, "state: stopped\n")
	c.fails(1, "container "+name+" is declared stopped", "pause", name)
}

// Updates are tried out, made, and taken back.
func TestFlowctl_Update(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	name := named(t, "update")
	m.dial().run(t, object{"name": name, "update_policy": quickly})
	m.stable(t, name)
	c := m.tells()
	patch := []string{"update", name, "--patch", "environment: {N: '2'}"}
	c.says(name+" would be made anew for environment (recreate), and lose the writable layer of the container (dry run)\n", append(patch, "--dry-run")...)
	c.says(name+" update accepted (generation 2)\n"+name+" is updated, and available\n", append(patch, "--wait")...)
	if env := fmt.Sprint(inspect(t, name).Config.Env); !strings.Contains(env, "N=2") {
		t.Errorf("it has %s", env)
	}
	c.says(name+" rollback accepted (generation 3)\n"+name+" is rolled back, and available\n", "rollback", name, "--wait")
	if env := fmt.Sprint(inspect(t, name).Config.Env); strings.Contains(env, "N=2") {
		t.Errorf("it has %s", env)
	}
	c.fails(1, "to_generation: 99 is not kept; these are: 1, 2, 3 (validation_error)", "rollback", name, "--to-generation", "99")
	c.says(name+" delete accepted (generation 4)\n"+name+" is deleted\n", "delete", name, "--remove-volumes", "--wait")
	c.fails(1, "", "rollback", name)
}

// A token comes from the context, and goes to nobody else; who may do less is told so.
func TestFlowctl_Token(t *testing.T) {
	t.Parallel()
	file := newTokens(t)
	token, _ := file.create("looker", api.Viewer)
	m := newManager(t, "--auth-file", file.path)
	c := teller{t, []string{"XDG_CONFIG_HOME=" + t.TempDir()}}
	c.says("context here set; it is in use\n", "context", "set", "here", "--server", m.url(), "--token", token)
	c.says("[]\n", "get", "-o", "json")
	c.fails(1, "stop_container takes the role operator", "stop", "x")
	c.fails(1, m.url()+" refused the session: ", "get", "--token", "other")
	elsewhere := strings.Replace(m.url(), "127.0.0.1", "localhost", 1)
	c.fails(1, elsewhere+" refused the session: ", "get", "--server", elsewhere)
}

// Code is taken from where it is by now, named as a path of the folder that flowctl is called in or whole.
func TestFlowctl_Code(t *testing.T) {
	t.Parallel()
	base := flowCode(t, "one")
	m := newManager(t, "--allow-host-path", base)
	name := named(t, "code")
	m.dial().run(t, merged(withFlowCode(base), object{"name": name}))
	m.stable(t, name)
	c := m.tells()
	putCode(t, base+"/code", "echo", "two")
	c.says(name+" update accepted (generation 2)\n"+name+" is updated, and available\n", "update", name, "--code", base+"/code", "--wait")
	if version := inside(t, name, "/app/version"); version != "two" {
		t.Errorf("it has %q", version)
	}
	c.shows([]string{"describe", name}, "Code revision:", "2 declared, 2 observed, 2 running")
	putCode(t, base+"/code", "echo", "three")
	relative := c.command("update", name, "--code", "code", "--wait")
	relative.Dir = base
	if out, err := relative.CombinedOutput(); err != nil || inside(t, name, "/app/version") != "three" {
		t.Errorf("%v: %s, it has %q", err, out, inside(t, name, "/app/version"))
	}
	c.fails(1, "", "update", name, "--code", "/no/such")
}

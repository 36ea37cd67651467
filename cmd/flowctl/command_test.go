package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

func wants(t *testing.T, got, want result) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func asked(t *testing.T, f *fake, want ...request) {
	t.Helper()
	if diff := cmp.Diff(want, f.seen(), cmp.AllowUnexported(request{})); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestUsage(t *testing.T) {
	t.Setenv("FLOWCTL_SERVER", "http://127.0.0.1:1")
	tests := map[string]struct {
		args string
		want string
	}{
		"unknown command":   {"aply", `there is no command "aply"; did you mean apply?`},
		"another tool's":    {"ps", `there is no command "ps"; did you mean get?`},
		"of three":          {"rm a", `there is no command "rm"; did you mean delete?`},
		"unknown, unlike":   {"xyzzy", `there is no command "xyzzy"; see: flowctl --help`},
		"escape":            {"x\x1b[2J", `there is no command "x\x1b[2J"`},
		"and its flag":      {"aply -x", `there is no command "aply"; did you mean apply?`},
		"and a long flag":   {"ps --all", `there is no command "ps"; did you mean get?`},
		"and flags of ours": {"--server http://127.0.0.1:1 xyzzy --nope=1", `there is no command "xyzzy"; see: flowctl --help`},
		"of a command":      {"context add --nope", `there is no command "add"; see: flowctl context --help`},
		"flag alone":        {"--nope", "unknown flag: --nope; see: flowctl --help"},
		"unknown flag":      {"get --nope", "unknown flag: --nope; see: flowctl get --help"},
		"output":            {"get -o xml", `--output must be table, json or yaml, not "xml"`},
		"timeout":           {"get --timeout -1s", "--timeout must not be negative"},
		"timeout's form":    {"get --timeout soon", `invalid argument "soon" for "--timeout" flag`},
		"server":            {"get --server 127.0.0.1:8000", "the server must be like http://127.0.0.1:8000"},
		"names and labels":  {"get a -l b=c", "give names or labels, not both"},
		"label":             {"get -l b", `invalid argument "b" for "-l, --label" flag: b must be formatted as key=value`},
		"no name":           {"stop", "requires at least 1 arg(s), only received 0; usage: flowctl stop NAME|ID..."},
		"two names":         {"logs a b", "accepts 1 arg(s), received 2"},
		"wait":              {"start a --wait --wait-timeout 0s", "--wait-timeout must be more than 0"},
		"apply wait":        {"apply -f x --wait-timeout 0s", "--wait-timeout must be more than 0"},
		"no file":           {"apply", "say what to apply: flowctl apply -f FILE"},
		"file alone":        {"apply -f a.yaml b.yaml", `give each file with -f: "b.yaml" stands alone`},
		"stdin twice":       {"apply -f - -f x -f -", "stdin can be read only once"},
		"message":           {"send a [1]", "the message must be a JSON object"},
		"message broken":    {"send a {", "the message is not valid JSON"},
		"send timeout":      {"send a {} --send-timeout 0s", "--send-timeout must be more than 0"},
		"dry run and wait":  {"stop a --dry-run --wait", "--dry-run declares nothing, so there is nothing to --wait for"},
		"wait for":          {"wait a --for happy", `--for must be one of available, ready, running, stopped, completed, deleted, not "happy"`},
		"wait level":        {"start a --wait-for happy", `--wait-for must be one of running, ready, available, not "happy"`},
		"no run":            {"stop a --wait-for ready", "unknown flag: --wait-for"},
		"wait timeout":      {"wait a --timeout 0s", "--timeout must be more than 0"},
		"tail":              {"logs a --tail -1", "--tail must not be negative; leave it out for all lines"},
		"since":             {"logs a --since then", "--since must be a duration like 10m or a time like "},
		"interval":          {"top --interval 0s", "--interval must be more than 0"},
		"generation":        {"rollback a --to-generation 0", "--to-generation must be 1 or more, not 0"},
		"token":             {"token create", `unknown command "create" for "flowctl token"`},
		"version":           {"version now", `unknown command "now" for "flowctl version"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := flowctl(t, "", strings.Fields(tt.args)...)
			if got.Code != exitUsage || got.Out != "" || !strings.HasPrefix(got.Err, "error: "+tt.want) || strings.Count(got.Err, "\n") != 1 {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	alone := flowctl(t, "")
	if alone.Code != exitOK || alone.Err != "" || !strings.Contains(alone.Out, "Exit codes: 0 done") {
		t.Errorf("got %+v", alone)
	}
	for _, command := range new(app).rootCommand().Commands() {
		got := flowctl(t, "", command.Name(), "--help")
		if got.Code != exitOK || !strings.Contains(got.Out, "Examples:\n  flowctl "+command.Name()) {
			t.Errorf("%s: got %+v", command.Name(), got)
		}
	}
}

func TestVersion(t *testing.T) {
	got := flowctl(t, "", "version")
	if got.Code != exitOK || !strings.HasPrefix(got.Out, "flowctl ") || !strings.Contains(got.Out, " go1.") {
		t.Errorf("got %+v", got)
	}
	got = flowctl(t, "", "version", "-o", "yaml")
	if got.Code != exitOK || !strings.HasPrefix(got.Out, "go: go1.") {
		t.Errorf("got %+v", got)
	}
}

func TestEnvironment(t *testing.T) {
	f := newFake(t)
	var connect string
	f.welcome = func(s *session, packet string) { connect = packet; s.send("40{}") }
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"containers":[]}`) }
	t.Setenv("FLOWCTL_TOKEN", "from-env")
	for want, args := range map[string][]string{"from-env": {"get"}, "from-flag": {"get", "--token", "from-flag"}} {
		if got := flowctl(t, "", args...); got.Code != exitOK || connect != `40{"token":"`+want+`"}` {
			t.Errorf("CONNECT %s, %+v; want %s", connect, got, want)
		}
	}
	t.Setenv("FLOWCTL_SERVER", "http://127.0.0.1:1")
	if got := flowctl(t, "", "get", "--server", f.url); got.Code != exitOK {
		t.Errorf("got %+v", got)
	}
	if help := flowctl(t, "", "get", "--help"); strings.Contains(help.Out, "from-env") {
		t.Error("the help shows the token")
	}
}

func TestConnect_Err(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	_ = listener.Close()
	for server, want := range map[string]string{
		"http://" + host:  "error: dial tcp " + host + ": connect: connection refused: is flow-manager running at http://" + host + "? start it with: flow-manager serve\n",
		"unix:///no/such": "error: dial unix /no/such: connect: no such file or directory: is flow-manager running at unix:///no/such? start it with: flow-manager serve\n",
	} {
		for command := range strings.SplitSeq("get|get a|status a|start a|send a {}", "|") {
			wants(t, flowctl(t, "", append(strings.Fields(command), "--server", server)...), result{Code: exitError, Err: want})
		}
	}
}

func TestConnect_ErrTimeout(t *testing.T) {
	f := newFake(t)
	f.welcome = func(*session, string) {}
	wants(t, flowctl(t, "", "get", "--timeout", "50ms"), result{Code: exitTimeout,
		Err: "error: no connection to " + f.url + " within 50ms (timeout_error)\n"})
}

// An interrupt ends flowctl at once: while it waits for an answer, and while it reads from a terminal.
func TestInterrupted(t *testing.T) {
	f := newFake(t)
	asking := make(chan struct{})
	f.on["list_containers"] = func(*session, request) { close(asking) }
	terminal, typing := io.Pipe()
	defer typing.Close()
	for _, args := range [][]string{{"get"}, {"apply", "-f", "-"}, {"send", "a", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		if args[0] == "get" {
			context.AfterFunc(t.Context(), cancel)
			go func() { <-asking; cancel() }()
		} else {
			cancel()
		}
		var errs strings.Builder
		if code := run(ctx, args, terminal, io.Discard, &errs); code != exitInterrupted || errs.String() != "error: interrupted\n" {
			t.Errorf("%s: %d %q", args, code, errs.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutput_ErrWrite(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"containers":[]}`) }
	f.on["stop_container"] = func(s *session, r request) { s.ack(r, declared("a", 1, 1, true)) }
	for command := range strings.SplitSeq("get|get -o json|stop a|version", "|") {
		var errs strings.Builder
		code := run(t.Context(), strings.Fields(command), strings.NewReader(""), full{}, &errs)
		if code != exitError || errs.String() != "error: write to stdout: no space left\n" {
			t.Errorf("%s: %d %q", command, code, errs.String())
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m",
		2 * time.Hour: "2h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestExitCode(t *testing.T) {
	timeout, refusal := &timeoutError{missed: "nothing", after: time.Second}, &Failure{Message: "no"}
	for want, errs := range map[int][]error{
		exitOK: nil, exitError: {timeout, refusal}, exitTimeout: {timeout, timeout}, exitUsage: {usagef("no")},
	} {
		if got := exitCode(several(errs).orNil()); got != want {
			t.Errorf("exitCode(%v) = %d, want %d", errs, got, want)
		}
	}
}

// What fails here is told with the names as they are, but neither with our token nor with a proxy's password.
func TestReport_TellsNoSecrets(t *testing.T) {
	var out strings.Builder
	secrets := api.NewRedactor(map[string]string{"token": "flow_0123456789"})
	report(&out, several{errors.New("auth-service: lost http://me:pw@proxy\nand flow_0123456789"), &Failure{Message: "token=kept", Type: api.PolicyError}}, secrets)
	want := "error: auth-service: lost http://[FILTERED]@proxy and [FILTERED]\nerror: token=kept (policy_error)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

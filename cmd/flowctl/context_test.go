package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inFile puts text where the contexts are.
func inFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	path, err := contextFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestContext_Commands(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	do := func(stdin, args, out string) {
		t.Helper()
		wants(t, flowctl(t, stdin, append([]string{"context"}, strings.Fields(args)...)...), result{Out: out})
	}
	do("", "list", "   NAME   SERVER   TOKEN   TLS-CA\n")
	do("fm_secret\n", "set prod --server https://flows.example.org --token - --tls-ca ca.pem", "context prod set; it is in use\n")
	do("", "set lab --server http://127.0.0.1:9", "context lab set; use it: flowctl context use lab\n")
	ca, err := filepath.Abs("ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := readContexts(); err != nil || kept.Contexts["prod"] != (target{"https://flows.example.org", "fm_secret", ca}) {
		t.Errorf("%v: %+v", err, kept)
	}
	do("", "set prod --tls-ca=", "context prod set; it is in use\n")
	do("", "list", "    NAME   SERVER                      TOKEN   TLS-CA\n"+
		"    lab    http://127.0.0.1:9          no      -\n*   prod   https://flows.example.org   yes     -\n")
	do("", "use lab", "context lab in use\n")
	do("", "list -o yaml", "name: lab\ncurrent: true\nserver: http://127.0.0.1:9\ntoken: false\n---\nname: prod\ncurrent: false\nserver: https://flows.example.org\ntoken: true\n")
	path, err := contextFile()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	text, _ := os.ReadFile(path)
	want := "current: lab\ncontexts:\n    lab:\n        server: http://127.0.0.1:9\n    prod:\n        server: https://flows.example.org\n        token: fm_secret\n"
	if err != nil || info.Mode().Perm() != 0o600 || string(text) != want {
		t.Errorf("%v, %v: %s", err, info.Mode(), text)
	}
	do("", "delete lab", "context lab deleted\n")
	do("", "list", "    NAME   SERVER                      TOKEN   TLS-CA\n    prod   https://flows.example.org   yes     -\n")
}

func TestContext_Err(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	fails := func(want, args string) {
		t.Helper()
		got := flowctl(t, "", strings.Fields(args)...)
		if got.Code != exitUsage || got.Out != "" || !strings.HasPrefix(got.Err, "error: "+want) || strings.Count(got.Err, "\n") != 1 {
			t.Errorf("%s: got %+v, want %s", args, got, want)
		}
	}
	fails(`there is no context "x", nor any other; make one: flowctl context set x --server URL`, "context use x")
	fails("a context needs a server", "context set x --token y")
	fails("the server must be like", "context set x --server y")
	fails("a context's name has letters", "context set -- -x")
	if got := flowctl(t, "", "context", "set", "a", "--server", "http://a"); got.Code != exitOK {
		t.Fatalf("%+v", got)
	}
	fails(`there is no context "x"; these are: a`, "context delete x")
	fails(`there is no context "x"; these are: a`, "get --context x")
	fails("--context and --server name two servers", "get --context a --server http://b")
	fails(`there is no command "lisst"; did you mean list?`, "context lisst")
	fails(`there is no command "xyzzy"; see: flowctl context --help`, "context xyzzy")
}

// A file that is not as it must be is said to be so, by its path, and nothing is sent; nor does its text come to light.
func TestContext_ErrFile(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"token that others can read":  {"contexts: {a: {server: 'http://a', token: fm_secret}}", 0o640, " holds tokens and has mode 0640, so that others can get at them: chmod 600 "},
		"token that others can write": {"contexts: {a: {server: 'http://a', token: fm_secret}}", 0o602, "chmod 600 "},
		"misspelt":                    {"contexts: {a: {server: 'http://a', tokn: fm_secret}}", 0o600, "field tokn not found"},
		"no mapping":                  {"- fm_secret", 0o600, "cannot unmarshal"},
		"no YAML":                     {"a: [", 0o600, "yaml: "},
		"huge":                        {strings.Repeat("#", maxContexts+1), 0o600, "more than 1048576 bytes"},
		"unknown one in use":          {"current: b\ncontexts: {a: {server: 'http://a'}}", 0o600, `there is no context "b"; these are: a`},
	} {
		t.Run(name, func(t *testing.T) {
			path := inFile(t, tt.text, tt.mode)
			got := flowctl(t, "", "get")
			if got.Code != exitUsage || !strings.Contains(got.Err, tt.want) || strings.Contains(got.Err, "fm_secret") || strings.Count(got.Err, "\n") != 1 {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
			if name != "unknown one in use" && !strings.Contains(got.Err, path) {
				t.Errorf("%s does not name the file", got.Err)
			}
		})
	}
	for name, text := range map[string]string{"empty": "", "no token": "contexts: {a: {server: 'http://a'}}"} {
		t.Run(name, func(t *testing.T) {
			inFile(t, text, 0o644)
			if got := flowctl(t, "", "context", "list"); got.Code != exitOK {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A file that cannot be written is left as it was, and a link stays one.
func TestContext_Write(t *testing.T) {
	path := inFile(t, "contexts: {a: {server: 'http://a'}}", 0o600)
	real := filepath.Join(t.TempDir(), "real.yaml")
	if err := os.Rename(path, real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	if got := flowctl(t, "", "context", "set", "b", "--server", "http://b"); got.Code != exitOK {
		t.Fatalf("got %+v", got)
	}
	text, err := os.ReadFile(real)
	if info, _ := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 || !strings.Contains(string(text), "http://b") {
		t.Errorf("%v %v: %s", info.Mode(), err, text)
	}
	folder := t.TempDir()
	if err := replaceFile(folder, []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(folder), ".config-*")); left != nil {
		t.Errorf("%s is left behind", left)
	}
}

func TestTarget(t *testing.T) {
	const file = `current: used
contexts:
  used: {server: 'http://used', token: used-token, tls_ca: used-ca}
  other: {server: 'http://other', token: other-token}
  bare: {server: 'http://bare'}`
	tests := map[string]struct {
		args, environment string // server token ca
		want              target
	}{
		"the one in use":                      {"", "", target{"http://used", "used-token", "used-ca"}},
		"another":                             {"--context other", "", target{"http://other", "other-token", ""}},
		"environment over the one in use":     {"", "http://env env-token", target{"http://env", "env-token", ""}},
		"another server: no token of others":  {"", "http://env", target{"http://env", "", ""}},
		"flag to another server":              {"--server http://flag", "", target{"http://flag", "", ""}},
		"flag to the same server":             {"--server http://used", "", target{"http://used", "used-token", "used-ca"}},
		"flag over environment":               {"--server http://flag --token t", "http://env env-token", target{"http://flag", "t", ""}},
		"token alone":                         {"--token t", "", target{"http://used", "t", "used-ca"}},
		"environment's token alone":           {"", "- env-token env-ca", target{"http://used", "env-token", "env-ca"}},
		"asked for by name: over environment": {"--context other", "http://env env-token env-ca", target{"http://other", "other-token", ""}},
		"asked for by name, without a token":  {"--context bare", "http://env env-token", target{"http://bare", "", ""}},
		"asked for by name, environment's":    {"--context bare", "- env-token env-ca", target{"http://bare", "env-token", "env-ca"}},
		"asked for by name, token given":      {"--context other --token t", "", target{"http://other", "t", ""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inFile(t, file, 0o600)
			values := append(strings.Fields(tt.environment), "", "", "")
			for i, key := range []string{"FLOWCTL_SERVER", "FLOWCTL_TOKEN", "FLOWCTL_TLS_CA"} {
				t.Setenv(key, strings.TrimPrefix(values[i], "-"))
			}
			a := &app{}
			if err := a.rootCommand().ParseFlags(strings.Fields(tt.args)); err != nil {
				t.Fatal(err)
			}
			if err := a.resolve(); err != nil || a.at != tt.want {
				t.Errorf("%v: %+v, want %+v", err, a.at, tt.want)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		for _, key := range []string{"FLOWCTL_SERVER", "FLOWCTL_TOKEN", "FLOWCTL_TLS_CA", "XDG_CONFIG_HOME", "HOME"} {
			t.Setenv(key, "")
		}
		a := &app{}
		if err := a.resolve(); err != nil || a.at != (target{Server: defaultServer}) {
			t.Errorf("%v: %+v", err, a.at)
		}
	})
}

package test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestExit_CodesAndSentences(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "flow-manager.db"), bytes.Repeat([]byte("x"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	here := func(dir string, args ...string) []string {
		return append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir, "--run-dir", t.TempDir()}, args...)
	}
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown flag", []string{"serve", "--lisen", "x"}, 2, "--lisen"},
		{"unknown command", []string{"server"}, 2, "server"},
		{"argument", []string{"serve", "now"}, 2, "now"},
		{"bad number", here(t.TempDir(), "--workers", "0"), 2, "--workers"},
		{"no pulls", here(t.TempDir(), "--pulls", "0"), 2, "--pulls"},
		{"no room for code", here(t.TempDir(), "--max-code-bytes", "0"), 2, "--max-code-bytes"},
		{"data directory of somebody else", here(nobodys(t)), 2, "belongs to nobody, and the manager runs as root: name another folder"},
		{"run directory of somebody else", here(t.TempDir(), "--run-dir", nobodys(t)), 2, "--run-dir"},
		{"data directory that is a file", here(os.Args[0]), 2, "is no folder"},
		{"restore of a folder", []string{"store", "restore", os.TempDir(), "--data-dir", t.TempDir()}, 1, "it is no regular file"},
		{"bad range", here(t.TempDir(), "--port-range", "5-1"), 2, "port range"},
		{"bad level", here(t.TempDir(), "--log-level", "loud"), 2, "loud"},
		{"root that others can write to", here(t.TempDir(), "--allow-host-path", os.TempDir()), 2, "can be written by others than root"},
		{"root that is not there", here(t.TempDir(), "--allow-host-path", "/no/such/folder"), 2, "make the folder"},
		{"root that is never mounted", here(t.TempDir(), "--allow-host-path", "/proc"), 2, "ever mounted"},
		{"publish address", here(t.TempDir(), "--publish-address", "localhost"), 2, "--publish-address"},
		{"privileged range", here(t.TempDir(), "--port-range", "80-90"), 2, "1024"},
		{"relative root", here(t.TempDir(), "--allow-host-path", "srv"), 2, "absolute"},
		{"remote engine", here(t.TempDir(), "--docker-host", "tcp://127.0.0.1:1"), 2, "Unix socket"},
		{"certificate without key", here(t.TempDir(), "--tls-cert", "cert.pem"), 2, "--tls-key"},
		{"key without certificate", here(t.TempDir(), "--tls-key", "key.pem"), 2, "--tls-cert"},
		{"no such certificate", here(t.TempDir(), "--tls-cert", "/no/such/cert", "--tls-key", "/no/such/key"), 2, "/no/such/cert"},
		{"relative socket", append(here(t.TempDir()), "--listen", "unix://fm.sock"), 2, "unix:///path"},
		{"token without a file", []string{"token", "list"}, 2, "--auth-file"},
		{"token without a role", []string{"token", "create", "ann", "--auth-file", filepath.Join(t.TempDir(), "f")}, 2, "viewer, operator or admin"},
		{"token without a name", []string{"token", "create", "--auth-file", filepath.Join(t.TempDir(), "f")}, 2, "NAME"},
		{"token of the past", []string{"token", "create", "ann", "--role", "viewer", "--expires-in", "-1h", "--auth-file", filepath.Join(t.TempDir(), "f")}, 2, "--expires-in"},
		{"unknown token", []string{"token", "revoke", "12345678", "--auth-file", filepath.Join(t.TempDir(), "f")}, 2, "12345678"},
		{"unknown token command", []string{"token", "make"}, 2, "make"},
		{"taken address", append(here(t.TempDir()), "--listen", m.addr), 2, "another address"},
		{"missing configuration", here(t.TempDir(), "--config", "/no/such/file"), 2, "/no/such/file"},
		{"data directory in use", here(filepath.Join(m.dir, "data")), 3, "in use"},
		{"damaged store", here(damaged), 4, damaged},
		{"version", []string{"version"}, 0, ""},
		{"help", []string{"--help"}, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, said := exit(t, tt.args...); code != tt.code || !strings.Contains(said, tt.says) {
				t.Errorf("code %d, want %d; it said %q", code, tt.code, said)
			}
		})
	}
}

// nobodys is a folder that belongs to another user.
func nobodys(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExit_SettingsFromFileAndEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := "max-containers: 1\nallow-host-path: [/srv, /opt]\nworkers: 0\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, dir: t.TempDir(), args: []string{"--config", file}}
	m.start("FLOW_MANAGER_WORKERS=2") // the variable wins over the file's bad number
	t.Cleanup(func() { m.stop() })
	c := m.dial()
	for _, want := range []string{"", "policy_error"} {
		body := object{"image": "example/none:1"}
		if want == "" {
			c.must(t, "create_container", body)
			continue
		}
		c.refused(t, "create_container", body, want)
	}
}

// exit runs flow-manager to its end.
func exit(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	return run(t, "flow-manager", args)
}

// run runs one of the programs to its end and gives its exit code and what it said.
func run(t *testing.T, program string, args []string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience) // one that should have refused to run might run for ever
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(binaries(t), program), args...).CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

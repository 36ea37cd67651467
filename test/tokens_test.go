package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

// cutOffWithin is how soon a session must be over whose token is no more.
const cutOffWithin = time.Second

func TestTokens_SessionsOfRemovedOnesAreCutOff(t *testing.T) {
	const many = 100
	file := newTokens(t)
	stays, _ := file.create("stays", api.Operator)
	goes, gone := file.create("goes", api.Operator)
	sinks, _ := file.create("sinks", api.Admin)
	m := newManager(t, "--auth-file", file.path)
	staying, sinking := m.login(stays), m.login(sinks)
	going := make([]*wsClient, many)
	for i := range going {
		going[i] = m.login(goes)
	}
	file.run("revoke", gone)
	file.replace("admin", "viewer")

	var all sync.WaitGroup
	took := make([]time.Duration, many)
	began := time.Now()
	m.hup()
	for i, c := range going {
		all.Go(func() { took[i] = expelled(t, c, began, "was revoked") })
	}
	all.Wait()
	longest := max(expelled(t, sinking, began, "is not what it was"), maxOf(took))
	t.Logf("from SIGHUP to the end of the last of %d sessions: %s", many+1, longest)
	if longest >= cutOffWithin {
		t.Errorf("the last one was over after %s", longest)
	}
	staying.must(t, "list_containers", object{})
	if _, err := m.join(goes); why(err) != "authentication_error unknown" {
		t.Errorf("the revoked token: %v", err)
	}
	if c := m.login(sinks); c.hello["role"] != "viewer" {
		t.Errorf("the demoted token: %v", c.hello)
	}
}

func maxOf(list []time.Duration) (most time.Duration) {
	for _, d := range list {
		most = max(most, d)
	}
	return most
}

// expelled waits for the error that says why, with nothing behind it but the end, and gives when that was.
func expelled(t *testing.T, c *wsClient, began time.Time, says string) time.Duration {
	data, err := c.await("error", func(object) bool { return true })
	if err != nil || data["error_type"] != "authentication_error" || !strings.Contains(fmt.Sprint(data["message"]), says) {
		t.Errorf("got %v, %v, want that it %s", data, err, says)
	}
	select {
	case e, more := <-c.events:
		if more {
			t.Errorf("behind the error came %v", e)
		}
	case <-time.After(patience):
		t.Error("the session goes on")
	}
	return time.Since(began)
}

func TestTokens_ExpiryCutsOffAsWell(t *testing.T) {
	file := newTokens(t)
	token, _ := file.run("create", "brief", "--role", "viewer", "--expires-in", "3s")
	var kept struct {
		Tokens []struct {
			ExpiresAt time.Time `json:"expires_at"`
		}
	}
	if err := json.Unmarshal([]byte(file.read()), &kept); err != nil {
		t.Fatal(err)
	}
	m := newManager(t, "--auth-file", file.path)
	late := expelled(t, m.login(token), kept.Tokens[0].ExpiresAt, "expired at")
	t.Logf("from the token's time to the end of its session: %s", late)
	if late < 0 || late >= cutOffWithin {
		t.Errorf("the session was over %s after the token's time", late)
	}
	if _, err := m.join(token); why(err) != "authentication_error expired" {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTokens_ABrokenFileAtSIGHUPChangesNothing(t *testing.T) {
	file := newTokens(t)
	token, _ := file.create("ann", api.Operator)
	m := newManager(t, "--auth-file", file.path)
	c := m.login(token)
	good := file.read()
	for _, tt := range []struct{ text, says string }{{good[:len(good)/2], "line "}, {`{"tokens":[],"extra":1}`, "extra: is not a known field"}, {"", "line 1"}} {
		file.write(tt.text)
		m.hup()
		m.eventually("the fault is told", func() error { return m.toldOnce(file.path, tt.says) })
		c.must(t, "list_containers", object{})
		m.login(token).close()
	}
	file.write(good)
	m.hup()
	m.eventually("the file is taken again", func() error {
		if !strings.Contains(m.log.tail(4000), "tokens read again") {
			return errNotYet
		}
		return nil
	})
	c.must(t, "list_containers", object{})
}

// toldOnce looks for the one line of the log that is an error about path and says so.
func (m *manager) toldOnce(path, says string) error {
	var found []object
	for _, line := range m.log.lines(m.t) {
		if text := fmt.Sprint(line["error"]); line["level"] == "error" && strings.Contains(text, path) && strings.Contains(text, says) {
			found = append(found, line)
		}
	}
	switch len(found) {
	case 0:
		return errNotYet
	case 1:
		return nil
	}
	return fmt.Errorf("told %d times: %v", len(found), found)
}

func TestTokens_FailedLoginsAreLimited(t *testing.T) {
	file := newTokens(t)
	token, _ := file.create("ann", api.Operator)
	m := newManager(t, "--auth-file", file.path)
	kinds := map[string]int{}
	var last *refusal
	for range 20 {
		_, err := m.join("fm_" + strings.Repeat("A", 43))
		if last, _ = errors.AsType[*refusal](err); last == nil {
			t.Fatal(err)
		}
		kinds[fmt.Sprint(last.Data["error_type"])]++
	}
	details, _ := last.Data["details"].(object)
	if after, _ := details["retry_after"].(float64); last.Data["error_type"] != "rate_limit_error" || after < 1 || after > 60 {
		t.Errorf("the last one: %v", last.Data)
	}
	if kinds["authentication_error"] < 5 || kinds["rate_limit_error"] < 5 {
		t.Errorf("got %v", kinds)
	}
	m.login(token) // whoever has a token comes in all the same
}

func TestTokens_AFileThatCannotBeTrustedIsRefused(t *testing.T) {
	file := newTokens(t)
	file.create("ann", api.Operator)
	good := file.read()
	for what, tt := range map[string]struct {
		spoil func() error
		says  []string
	}{
		"readable by others":  {func() error { return os.Chmod(file.path, 0o644) }, []string{file.path, "0644", "chmod 600"}},
		"writable by a group": {func() error { return os.Chmod(file.path, 0o620) }, []string{file.path, "0620", "chmod 600"}},
		"another user's":      {func() error { return os.Chown(file.path, 12345, 0) }, []string{file.path, "12345", "chown"}},
		"absent":              {func() error { return os.Remove(file.path) }, []string{file.path, "token create"}},
		"broken":              {func() error { file.write(good + "x"); return nil }, []string{file.path, "line "}},
		"of a later version":  {func() error { file.write(`{"tokens":[],"keys":[]}`); return nil }, []string{file.path, "keys: is not a known field"}},
	} {
		t.Run(what, func(t *testing.T) {
			file.write(good)
			if err := os.Chown(file.path, os.Geteuid(), os.Getegid()); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(); err != nil {
				t.Fatal(err)
			}
			code, said := exit(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--run-dir", t.TempDir(), "--auth-file", file.path)
			for _, want := range tt.says {
				if code != 2 || !strings.Contains(said, want) {
					t.Errorf("code %d; it said %q, without %q", code, said, want)
				}
			}
		})
	}
}

// read and write are an operator's editor.
func (f *tokens) read() string {
	f.t.Helper()
	data, err := os.ReadFile(f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

func (f *tokens) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chmod(f.path, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *tokens) replace(from, to string) {
	f.t.Helper()
	text := f.read()
	if strings.Count(text, from) != 1 {
		f.t.Fatalf("%q is not once in %s", from, text)
	}
	f.write(strings.Replace(text, from, to, 1))
}

// join is login that may be refused.
func (m *manager) join(token string) (*wsClient, error) {
	c, err := login(websocket.DefaultDialer, "ws://"+m.addr, token)
	if c != nil {
		m.t.Cleanup(c.close)
	}
	return c, err
}

func TestTokens_JavaScriptClient(t *testing.T) { officialClient(t, "node", "js/login.mjs") }

func TestTokens_PythonClient(t *testing.T) { officialClient(t, "/usr/bin/python3", "py/login.py") }

// officialClient logs in with a token, loses it, and tries another that is none; what the client saw is printed line by line.
func officialClient(t *testing.T, interpreter, program string) {
	t.Helper()
	file := newTokens(t)
	token, id := file.create("ann", api.Viewer)
	m := newManager(t, "--auth-file", file.path)
	lines := play(t, interpreter, program, m.url(), token)
	expect(t, lines, object{"event": "connected", "role": "viewer"})
	expect(t, lines, object{"event": "list_containers", "ok": true})
	expect(t, lines, object{"event": "error", "error_type": "permission_error"})
	file.run("revoke", id)
	m.hup()
	expect(t, lines, object{"event": "error", "error_type": "authentication_error", "reason": "revoked"})
	expect(t, lines, object{"event": "disconnect"})
	wrong := play(t, interpreter, program, m.url(), "fm_"+strings.Repeat("A", 43))
	expect(t, wrong, object{"event": "connect_error", "error_type": "authentication_error", "reason": "unknown"})
	none := play(t, interpreter, program, m.url(), "")
	expect(t, none, object{"event": "connect_error", "error_type": "authentication_error", "reason": "missing"})
}

// play runs a client's program and gives the lines of JSON that it prints.
func play(t *testing.T, interpreter string, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), interpreter, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return bufio.NewScanner(out)
}

// expect reads the next line, which has at least what is wanted.
func expect(t *testing.T, lines *bufio.Scanner, wanted object) {
	t.Helper()
	var got object
	if !lines.Scan() {
		t.Fatalf("the client ended, and %v did not come", wanted)
	}
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		t.Fatalf("%s: %v", lines.Text(), err)
	}
	for key, value := range wanted {
		if got[key] != value {
			t.Fatalf("got %v, want %v", got, wanted)
		}
	}
}

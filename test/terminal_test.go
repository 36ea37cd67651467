package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// evil does something to a terminal, or to whoever reads: it colours, sets the title, clears, goes back, turns the text's
// direction, hides, and begins a line of its own that looks like one of the log.
const evil = "\x1b[31mred\x1b]0;title\x07\x1b[2J\u009b1m\r\b\u202Eesrever\u2066\u200B\u2028\u0085\n" + `{"level":"error","message":"forged"}` + "\n12:00:00 ERR forged"

// haunt lets hostile texts reach the manager by every way that there is, and returns the ids of the containers declared.
func haunt(t *testing.T, m *manager) (broken, talker string) {
	t.Helper()
	c := m.dial()
	broken = c.must(t, "apply_container", object{"name": named(t, "broken"), "image": echoImage, "request_id": "broken", "environment": object{"A" + evil: evil},
		"labels": object{"l" + evil: evil}, "init": false, "entrypoint": []string{"/no/such" + evil}, "command": []string{evil}})["container_id"].(string)
	if _, err := c.await("error", func(o object) bool { return o["request_id"] == "broken" }); err != nil {
		t.Fatal(err)
	}
	for event, body := range map[string]object{
		"get_container":    {"container_id": evil + "\x00"},
		"create_container": {"image": evil, "name": evil, "labels": object{evil: "\x00"}, "environment": object{evil + "=": ""}, "volumes": object{"/" + evil: "/" + evil}},
		"send_message":     {"container_id": broken, "message": object{"type": "status", "x": evil}},
		"start_container":  {"container_id": broken, "request_id": evil, evil: evil},
	} {
		if answer, err := c.ask(event, body); err != nil || answer["error"] != true {
			t.Errorf("%q: %v, %v", event, answer, err)
		}
	}
	if answer, err := c.ask("create_container", object{"image": echoImage, "volumes": object{"/srv/" + evil: "/x"}}); err != nil || answer["error_type"] != "policy_error" {
		t.Errorf("%v, %v", answer, err)
	}
	talker = c.run(t, object{"name": named(t, "talker"), "working_dir": "/run"})
	for _, message := range []object{
		{"type": "actor", "actor": evil, "event": evil, "data": object{evil: evil}},
		{"type": evil, "text": evil},
		{"type": "log", "line": evil},
	} {
		c.must(t, "send_message", object{"container_id": talker, "message": message, "expect_reply": true})
	}
	c.must(t, "send_message", object{"container_id": talker, "message": object{"type": "exit", "code": 3}})
	c.wait(t, "container_crashed", talker)
	return broken, talker
}

// harmless is true of a text that does nothing to a terminal but end lines.
func harmless(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) })
}

func TestTerminal_TheLog(t *testing.T) {
	t.Parallel()
	console := regexp.MustCompile(`^\d\d:\d\d:\d\d (DBG|INF|WRN|ERR) \S`)
	for format, whole := range map[string]func(line string) bool{
		"json": func(line string) bool {
			var object struct{ Level, Operation, Message, Time string }
			return json.Unmarshal([]byte(line), &object) == nil && object.Time != "" && object.Operation != "" && object.Message != "forged"
		},
		"console": func(line string) bool { return console.MatchString(line) && strings.Contains(line, "operation=") },
	} {
		t.Run(format, func(t *testing.T) {
			m := newManager(t, "--log-format", format)
			haunt(t, m)
			m.stop()
			log := m.log.tail(64 << 20)
			if !harmless(log) {
				t.Error("the log does something to a terminal")
			}
			for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
				if !whole(line) {
					t.Errorf("%q is no line of the log", line)
				}
			}
			if n := strings.Count(log, "forged"); n < 8 {
				t.Errorf("only %d hostile texts are in the log; this test proves nothing", n)
			}
		})
	}
}

// What a process says that cannot start is read on a terminal as well.
func TestTerminal_LastWords(t *testing.T) {
	for _, args := range [][]string{{"serve", "--config", "/no/such" + evil}, {evil}, {"serve", "--" + evil}, {"serve", evil},
		{"serve", "--log-level", evil}, {"serve", "--publish-address", evil}, {"serve", "--docker-host", evil}} {
		out, err := exec.Command(filepath.Join(binaries(t), "flow-manager"), args...).CombinedOutput()
		if err == nil || !harmless(string(out)) || !bytes.Contains(out, []byte("forged")) {
			t.Errorf("%q: %v, %q", args, err, out)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
			if !strings.HasPrefix(line, "flow-manager: ") {
				t.Errorf("%q: a line of its own: %q", args, line)
			}
		}
	}
}

func TestTerminal_Flowctl(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	broken, talker := haunt(t, m)
	file := filepath.Join(t.TempDir(), "evil.json")
	body, err := json.Marshal(object{"name": named(t, "broken"), "image": evil, evil: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	flowctl := func(args ...string) (out []byte, said bool) {
		t.Helper()
		out, _ = exec.Command(filepath.Join(binaries(t), "flowctl"), append(args, "--server", m.url())...).CombinedOutput()
		if !harmless(string(out)) {
			t.Errorf("flowctl %q: %q", args, out)
		}
		return out, bytes.Contains(out, []byte("forged"))
	}
	for _, args := range [][]string{{"get", broken, "-o", "json"}, {"get", broken, "-o", "yaml"}, {"get", "-o", "json"}, {"get", "-o", "yaml"}, {"status", broken}, {"status", broken, "-o", "yaml"},
		{"describe", broken}, {"describe", broken, "-o", "yaml"}, {"explain", broken, "-o", "json"},
		{"get", evil}, {"get", broken, evil}, {"describe", evil}, {"rollback", evil}, {"wait", evil}, {"top", evil}, {"logs", broken, "--since", evil},
		{"update", broken, "--image", evil, "--dry-run"}, {"context", "set", evil}, {"context", "use", evil}, {"logs", talker}, {"logs", talker, "-o", "json"}, {"logs", evil}, {"events", evil}, {"status", evil}, {"stop", evil, "--wait"}, {"start", broken, "--wait"},
		{"send", talker, fmt.Sprintf(`{"type":"x","text":%q}`, "forged \u202e\u200b"), "--reply"}, {"send", talker, fmt.Sprintf(`{"type":"x","text":%q}`, "forged \u202e\u200b"), "--reply", "-o", "yaml"},
		{"apply", "-f", file}, {"apply", "-f", "/no/such" + evil}, {evil}, {"--" + evil}, {"get", "-o", evil}, {"get", "-l", evil}} {
		if out, said := flowctl(args...); !said {
			t.Errorf("flowctl %q says nothing hostile, so this proves nothing: %q", args, out)
		}
	}
	flowctl("get")
	flowctl("explain", broken)
	flowctl("update", broken, "--patch", evil)
	flowctl("get", "--context", evil)
	flowctl("send", talker, evil)
	flowctl("get", "--server", "http://127.0.0.1:1/"+evil)
}

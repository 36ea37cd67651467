package test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// lines reads a log up to the first event that ends it, or that has the last line.
func (c *wsClient) lines(t *testing.T, logID any, last string) []string {
	t.Helper()
	var all []string
	_, err := c.await("container_logs", func(o object) bool {
		if o["log_id"] != logID {
			return false
		}
		for _, line := range o["lines"].([]any) {
			all = append(all, fmt.Sprint(o["stream"], " ", line))
		}
		return o["eof"] == true || last != "" && slices.Contains(all, last)
	})
	if err != nil {
		t.Fatalf("%v; of the log came %q", err, all)
	}
	return all
}

// print has a flow write a line to its output.
func (c *wsClient) print(t *testing.T, id, line string, stderr bool) {
	t.Helper()
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "log", "line": line, "stderr": stderr}, "expect_reply": true})
}

// told leaves out what the flow says of its connection, which is none of these tests' business.
func told(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "the manager is gone") })
}

// Who follows a log reads each line of it once: over a restart, another container in the place of the first, and a stop.
func TestLogs_FollowTheContainerNotItsRun(t *testing.T) {
	t.Parallel()
	const secret = "first part\nsecond part"
	m := newManager(t)
	c, other := m.dial(), m.dial()
	spec := object{"name": named(t, "printer"), "environment": object{"DB_PASSWORD": secret}}
	id := c.run(t, spec)
	other.print(t, id, "one", false)
	m.eventually("the engine has the line", func() error {
		if lines := told(c.lines(t, c.must(t, "get_logs", object{"container_id": id})["log_id"], "")); len(lines) == 0 {
			return errNotYet
		}
		return nil
	})
	log := c.must(t, "get_logs", object{"container_id": id, "follow": true})["log_id"]
	var want, got []string
	say := func(line string, stderr bool) {
		t.Helper()
		other.print(t, id, line, stderr)
		want = append(want, map[bool]string{false: "stdout ", true: "stderr "}[stderr]+strings.ReplaceAll(strings.ReplaceAll(line, "first part", "[FILTERED]"), "second part", "[FILTERED]"))
		got = append(got, told(c.lines(t, log, want[len(want)-1]))...)
	}
	want = append(want, "stdout one")
	say("two", true)
	other.must(t, "restart_container", object{"container_id": id, "wait_seconds": 30})
	say("after a restart, with the second part of a secret", false)
	spec["environment"] = object{"DB_PASSWORD": secret, "N": "2"}
	other.must(t, "apply_container", object{"name": spec["name"], "image": echoImage, "environment": spec["environment"], "wait_seconds": 30})
	say("from another container, with the first part", true)
	other.must(t, "stop_container", object{"container_id": id, "wait_seconds": 30})
	other.must(t, "start_container", object{"container_id": id, "wait_seconds": 30})
	say("after a stop", false)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-), read (+):\n%s", diff)
	}
	if ack := c.must(t, "stop_logs", object{"log_id": log}); ack["log_id"] != log {
		t.Errorf("stop_logs: %v", ack)
	}
	if rest := told(c.lines(t, log, "")); len(rest) > 0 {
		t.Errorf("after stop_logs: %q", rest)
	}
	c.refused(t, "stop_logs", object{"log_id": log}, "validation_error")

	log = c.must(t, "get_logs", object{"container_id": id, "follow": true, "tail": 0})["log_id"]
	other.must(t, "restart_container", object{"container_id": id, "wait_seconds": 30})
	other.print(t, id, "the end", false)
	if rest := told(c.lines(t, log, "stdout the end")); len(rest) != 1 {
		t.Errorf("who asked for nothing of before was sent %q", rest)
	}
	other.must(t, "delete_container", object{"container_id": id})
	if rest := told(c.lines(t, log, "")); len(rest) > 0 {
		t.Errorf("of a container that was deleted: %q", rest)
	}
	c.refused(t, "get_logs", object{"container_id": id}, "container_not_found")
}

func TestLogs_TailSinceTimestamps(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "printer")})
	long := strings.Repeat("word ", 30_000) // longer than is kept together
	follow := c.must(t, "get_logs", object{"container_id": id, "follow": true})["log_id"]
	for _, line := range []string{"one", "two", "three"} {
		c.print(t, id, line, false)
	}
	c.lines(t, follow, "stdout three") // the engine has written it by now
	read := func(options object) []string {
		t.Helper()
		options["container_id"] = id
		return told(c.lines(t, c.must(t, "get_logs", options)["log_id"], ""))
	}
	if diff := cmp.Diff([]string{"stdout one", "stdout two", "stdout three"}, read(object{})); diff != "" {
		t.Errorf("everything: %s", diff)
	}
	if diff := cmp.Diff([]string{"stdout two", "stdout three"}, read(object{"tail": 2})); diff != "" {
		t.Errorf("the last two: %s", diff)
	}
	stamped := read(object{"timestamps": true})
	stamp, text, _ := strings.Cut(strings.TrimPrefix(stamped[1], "stdout "), " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || text != "two" {
		t.Errorf("with timestamps: %q", stamped)
	}
	if diff := cmp.Diff([]string{"stdout two", "stdout three"}, read(object{"since": stamp})); diff != "" {
		t.Errorf("since the second: %s", diff)
	}
	c.print(t, id, long+"\nthe end", true)
	c.lines(t, follow, "stderr the end")
	parts := read(object{"tail": 2})
	if whole := strings.ReplaceAll(strings.Join(parts, ""), "stderr ", ""); whole != long+"the end" || len(parts) != 4 {
		t.Errorf("a line of %d bytes came in %d parts with %d", len(long), len(parts), len(whole))
	}
}

// The last line of a run that has no newline is a line, on its stream and at its place, for who follows, reads and is told of a crash.
func TestLogs_ALastLineWithoutANewline(t *testing.T) {
	t.Parallel()
	const code = `
import os, sys, time
os.write(1, b"begin\n" + b"x" * 40000 + b"\n")
time.sleep(0.3) # the engine reads the two streams apart
os.write(2, b"oh no\n")
time.sleep(0.3)
os.write(1, b"half")
sys.exit(3)`
	m := newManager(t)
	c, other := m.dial(), m.dial()
	id := c.must(t, "create_container", object{"name": named(t, "half"), "image": flowsImage, "entrypoint": []string{"/usr/bin/python3", "-c", code},
		"restart_policy": object{"name": "never"}})["container_id"].(string)
	log := c.must(t, "get_logs", object{"container_id": id, "follow": true})["log_id"]
	var want, got []string
	for range 3 {
		other.must(t, "start_container", object{"container_id": id})
		crash, err := other.await("container_crashed", func(o object) bool { return o["container_id"] == id })
		if err != nil {
			t.Fatal(err)
		}
		lines := crash["crash_details"].(object)["logs"].([]any)
		if len(lines) < 2 || lines[len(lines)-1] != "half" || lines[len(lines)-2] != "oh no" {
			t.Errorf("the crash is told with %.100q", lines)
		}
		want = append(want, "stdout begin", "stdout "+strings.Repeat("x", 40_000), "stderr oh no", "stdout half")
		for len(got) < len(want) {
			got = append(got, c.lines(t, log, "stdout half")...)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("followed (-want +got):\n%.3000s", diff)
	}
	for tail := range len(want) + 1 {
		last := c.lines(t, c.must(t, "get_logs", object{"container_id": id, "tail": tail})["log_id"], "")
		if diff := cmp.Diff(want[len(want)-tail:], append([]string{}, last...)); diff != "" {
			t.Errorf("the last %d (-want +got):\n%.3000s", tail, diff)
		}
	}
}

// A flow that floods its log, followed by one who does not read, costs the manager nothing to speak of, and others nothing; once
// that one reads, all of it is there.
func TestLogs_AFloodIsPacedByItsReader(t *testing.T) {
	t.Parallel()
	const times, each = 44, 500 // 22 MB: the engine begins another file at 10, and keeps three
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "flooder")})
	reader, _, err := websocket.DefaultDialer.Dial("ws://"+m.addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, frame := range []string{"40", fmt.Sprintf(`42["subscribe",{"container_ids":[%q],"events":["status_changed"]}]`, id), fmt.Sprintf(`42["get_logs",{"container_id":%q,"follow":true}]`, id)} {
		if err := reader.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	c.print(t, id, "begin", false)
	quiet := m.resident(t)
	for i := range times {
		var text strings.Builder
		for n := range each {
			fmt.Fprintf(&text, "%01000d\n", i*each+n)
		}
		c.print(t, id, strings.TrimSuffix(text.String(), "\n"), false)
	}
	grown := m.resident(t) - quiet
	t.Logf("the manager grew by %d KiB while 22 MB were written for one who does not read", grown>>10)
	if grown > 64<<20 {
		t.Error("that is too much")
	}
	next := 0
	for next < times*each {
		_ = reader.SetReadDeadline(time.Now().Add(patience))
		_, frame, err := reader.ReadMessage()
		if err != nil {
			t.Fatalf("after line %d: %v", next, err)
		}
		if string(frame) == "2" {
			_ = reader.WriteMessage(websocket.TextMessage, []byte("3"))
		}
		for _, line := range linesIn(frame) {
			n, err := strconv.Atoi(line)
			if err != nil {
				continue
			}
			if n != next {
				t.Fatalf("line %d came where %d was next", n, next)
			}
			next++
		}
	}
}

// linesIn are those of a frame that is a container_logs.
func linesIn(frame []byte) []string {
	var parts []json.RawMessage
	var body struct{ Lines []string }
	if !strings.HasPrefix(string(frame), `42["container_logs"`) || json.Unmarshal(frame[2:], &parts) != nil || json.Unmarshal(parts[1], &body) != nil {
		return nil
	}
	return body.Lines
}

// resident is how much memory the manager has, in bytes.
func (m *manager) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(text)[0])
			return kib << 10
		}
	}
	t.Fatal("the kernel does not tell")
	return 0
}

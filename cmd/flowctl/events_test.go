package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const at = `"timestamp":"2026-01-02T03:04:05.678Z"`

func TestEvents_Lines(t *testing.T) {
	f := newFake(t)
	f.on["subscribe"] = func(s *session, r request) {
		s.emit("activity_log", `{`+at+`,"message":"of before"}`)
		s.ack(r, `{"ok":true,"resource_version":"v5"}`)
		s.emit("status_changed", `{`+at+`,"container_id":"id-a","name":"a","old_state":"running","new_state":"exited","reason":"Failed"}`)
		s.emit("subscribed", `{"resource_version":"v5"}`)
		s.emit("container_changed", `{`+at+`,"type":"modified","container":{"id":"id-a"}}`)
		s.emit("container_crashed", `{`+at+`,"container_id":"id-a","exit_code":3}`)
		s.emit("container_health_warning", `{`+at+`,"container_id":"id-b","health":"unhealthy","output":"no\nanswer\u001b[31m"}`)
		s.emit("activity_log", `{`+at+`,"container_id":"id-a","activity_type":"container_started","message":"a is running"}`)
		s.emit("image_pull_progress", `{`+at+`,"image":"alpine:3","layer":"l1","status":"Downloading","current":1,"total":2}`)
		s.emit("message_received", `{`+at+`,"container_id":"id-a","message":{"x":1}}`)
		s.emit("container_status_update", `{`+at+`,"container_id":"id-a","status":{"state":"running","resource_usage":{"cpu_percent":1.25,"memory_usage":2048}}}`)
		s.emit("engine_unavailable", `{`+at+`,"message":"gone"}`)
		s.emit("new_kind", `{`+at+`,"status":{"x":1}}`)
	}
	w := begin(t, "events", "a", "b", "-l", "x=y")
	w.shows("2026-01-02T03:04:05Z   status_changed   a   running -> exited (Failed)",
		"2026-01-02T03:04:05Z   container_crashed   a   ended with exit code 3",
		`2026-01-02T03:04:05Z   container_health_warning   id-b   unhealthy: no answer\x1b[31m`,
		"2026-01-02T03:04:05Z   activity_log               a      container_started: a is running",
		"2026-01-02T03:04:05Z   image_pull_progress        -      alpine:3 l1 Downloading",
		`2026-01-02T03:04:05Z   message_received           a      {"x":1}`,
		"2026-01-02T03:04:05Z   container_status_update    a      running, CPU 1.2%, memory 2KiB",
		"2026-01-02T03:04:05Z   engine_unavailable         -      gone",
		`2026-01-02T03:04:05Z   new_kind                   -      {"timestamp":"2026-01-02T03:04:05.678Z","status":{"x":1}}`)
	wants(t, w.interrupted(), result{Code: exitInterrupted})
	asked(t, f, request{Event: "subscribe", Body: map[string]any{"container_ids": []any{"a", "b"}, "labels": map[string]any{"x": "y"}}})
}

// A message as long as a flow may send widens nothing that comes behind it.
func TestEvents_LongLine(t *testing.T) {
	f := newFake(t)
	f.on["subscribe"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"resource_version":"v5"}`)
		s.emit("message_received", `{`+at+`,"container_id":"id-a","message":{"x":"`+strings.Repeat("x", 1<<20-100)+`"}}`)
		s.emit("engine_unavailable", `{`+at+`,"message":"gone"}`)
	}
	w := begin(t, "events")
	<-w.lines
	w.shows("2026-01-02T03:04:05Z   engine_unavailable   -      gone")
	wants(t, w.interrupted(), result{Code: exitInterrupted})
}

// Over a lost connection events go on behind the last one that was shown; where the server does not keep those, it says so.
func TestEvents_Resumes(t *testing.T) {
	f := newFake(t)
	sessions := 0
	f.on["subscribe"] = func(s *session, r request) {
		switch sessions++; sessions {
		case 1:
			s.ack(r, `{"ok":true,"resource_version":"v9"}`)
			s.emit("container_changed", `{"resource_version":"v3"}`)
			_ = s.conn.Close()
		case 2:
			s.refuse(r, "resource_expired_error", "list again", `{}`)
		case 3:
			s.ack(r, `{"ok":true,"resource_version":"v20"}`)
			_ = s.conn.Close()
		case 4:
			s.ack(r, `{"ok":true,"resource_version":"v21"}`)
			s.emit("container_changed", `{"resource_version":"v22"}`)
		}
	}
	w := begin(t, "events", "--type", "container_changed", "--type", "status_changed", "--since-version", "v2", "-o", "json")
	w.shows(`{"event":"container_changed","data":{"resource_version":"v3"}}`, `{"event":"container_changed","data":{"resource_version":"v22"}}`)
	got := w.interrupted()
	lost := "lost the connection to " + f.url + ": websocket: close 1006 (abnormal closure): unexpected EOF; connecting again\n"
	wants(t, got, result{Code: exitInterrupted, Err: lost + "some events were missed: the server does not keep them any more\n" + lost})
	from := func(version string) request {
		body := map[string]any{"events": []any{"container_changed", "status_changed"}}
		if version != "" {
			body["resource_version"] = version
		}
		return request{Event: "subscribe", Body: body}
	}
	asked(t, f, from("v2"), from("v3"), from(""), from("v20"))
}

func TestEvents_ErrExpired(t *testing.T) {
	f := newFake(t)
	f.on["subscribe"] = func(s *session, r request) { s.refuse(r, "resource_expired_error", "list again", `{}`) }
	wants(t, flowctl(t, "", "events", "--since-version", "v1"), result{Code: exitError,
		Err: "error: the server does not keep what follows --since-version v1: leave it out, or give a newer one (resource_expired_error)\n"})
}

// --since asks for what happened since then, once: over a lost connection it goes on behind what was shown. An event that says whose
// it is is shown by that name.
func TestEvents_Since(t *testing.T) {
	f := newFake(t)
	sessions := 0
	f.on["subscribe"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"resource_version":"v5"}`)
		if sessions++; sessions == 1 {
			s.emit("container_crashed", `{`+at+`,"container_id":"id-a","name":"a","exit_code":3,"resource_version":"v6"}`)
			_ = s.conn.Close()
			return
		}
		s.emit("container_crashed", `{`+at+`,"container_id":"id-a","exit_code":4,"resource_version":"v7"}`)
	}
	began := time.Now()
	w := begin(t, "events", "--since", "10m")
	w.shows("2026-01-02T03:04:05Z   container_crashed   a   ended with exit code 3", "2026-01-02T03:04:05Z   container_crashed   a   ended with exit code 4")
	w.interrupted()
	seen := f.seen()
	since, err := time.Parse(time.RFC3339Nano, fmt.Sprint(seen[0].Body["since"]))
	if err != nil || since.Sub(began.Add(-10*time.Minute)).Abs() > time.Minute {
		t.Errorf("asked for %v, %v", seen[0].Body, err)
	}
	if again := seen[1].Body; again["since"] != nil || again["resource_version"] != "v6" {
		t.Errorf("asked again for %v", again)
	}
	wants(t, flowctl(t, "", "events", "--since", "10m", "--since-version", "v1"), result{Code: exitUsage, Err: "error: give --since or --since-version, not both\n"})
}

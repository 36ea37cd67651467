package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// stands is a container as wait looks at it.
func stands(name, state, ready string, generation, observed int) string {
	return fmt.Sprintf(`{"id":"id-%s","name":%q,"generation":%d,"spec":{"image":"alpine:3"},"status":{"state":%q,"observed_generation":%d,
		"conditions":[{"type":"Ready","status":%q,"reason":"Because"},{"type":"Available","status":%[6]q,"reason":"Because"}]}}`, name, name, generation, state, observed, ready)
}

// serveStands answers get_container by what stands now; an empty string is nothing.
func serveStands(f *fake, now *atomic.Value) {
	f.on["get_container"] = func(s *session, r request) {
		if now.Load() == "" {
			s.refuse(r, "container_not_found", "there is no container a", `{}`)
			return
		}
		s.ack(r, fmt.Sprintf(`{"container":%s}`, now.Load()))
	}
	f.on["subscribe"] = func(s *session, r request) { s.ack(r, `{"ok":true}`) }
}

func TestWait_Already(t *testing.T) {
	tests := map[string]struct{ until, now string }{
		"available": {"available", stands("a", "running", "True", 3, 3)},
		"ready":     {"ready", stands("a", "running", "True", 3, 3)},
		"running":   {"running", stands("a", "running", "False", 1, 1)},
		"stopped":   {"stopped", stands("a", "stopped", "False", 1, 1)},
		"ended":     {"stopped", stands("a", "exited", "False", 1, 1)},
		"completed": {"completed", strings.Replace(stands("a", "exited", "False", 1, 1), "Because", "Completed", 1)},
		"deleted":   {"deleted", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var now atomic.Value
			now.Store(tt.now)
			serveStands(f, &now)
			wants(t, flowctl(t, "", "wait", "a", "--for", tt.until), result{Out: "a is " + tt.until + "\n"})
			if n := len(f.seen()); n != 1 {
				t.Errorf("%d requests, want one look", n)
			}
		})
	}
}

// An outcome of an older declaration does not count, what happens between the look and the subscription does, and so does
// what is told.
func TestWait_Comes(t *testing.T) {
	old := stands("a", "running", "True", 3, 2)
	tests := map[string]struct {
		until  string
		comes  func(s *session, now *atomic.Value)
		before bool // the subscription
	}{
		"told": {"ready", func(s *session, _ *atomic.Value) {
			s.emit("container_changed", `{"type":"modified","container":`+stands("b", "running", "True", 3, 3)+`}`)
			s.emit("container_changed", `{"type":"modified","container":`+stands("a", "running", "False", 3, 3)+`}`)
			s.emit("container_changed", `{"type":"modified","container":`+stands("a", "running", "True", 3, 3)+`}`)
		}, false},
		"in between": {"stopped", func(_ *session, now *atomic.Value) { now.Store(stands("a", "stopped", "", 3, 3)) }, true},
		"deleted": {"deleted", func(s *session, _ *atomic.Value) {
			s.emit("container_changed", `{"type":"deleted","container":`+old+`}`)
		}, false},
		"deleted in between": {"deleted", func(_ *session, now *atomic.Value) { now.Store("") }, true},
		"over a lost connection": {"ready", func(s *session, now *atomic.Value) {
			now.Store(stands("a", "running", "True", 3, 3))
			_ = s.conn.Close()
		}, false},
		"over dropped events": {"ready", func(s *session, now *atomic.Value) {
			now.Store(stands("a", "running", "True", 3, 3))
			s.emit("events_dropped", `{}`)
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var now atomic.Value
			now.Store(old)
			serveStands(f, &now)
			f.on["subscribe"] = func(s *session, r request) {
				if ids := fmt.Sprint(r.Body["container_ids"]); ids != "[id-a]" {
					t.Errorf("subscribed to %s", ids)
				}
				if tt.before {
					tt.comes(s, &now)
				}
				s.ack(r, `{"ok":true}`)
				if !tt.before {
					tt.comes(s, &now)
				}
			}
			got := flowctl(t, "", "wait", "a", "--for", tt.until)
			if got.Code != exitOK || got.Out != "a is "+tt.until+"\n" || len(f.seen()) < 2 { // a look and a subscription
				t.Errorf("got %+v after %d requests", got, len(f.seen()))
			}
		})
	}
}

func TestWait_Pull(t *testing.T) {
	f := newFake(t)
	var now atomic.Value
	now.Store(stands("a", "created", "False", 1, 1))
	serveStands(f, &now)
	f.on["subscribe"] = func(s *session, r request) {
		s.ack(r, `{"ok":true}`)
		s.emit("image_pull_progress", `{"image":"other:1"}`)
		s.emit("image_pull_progress", `{"image":"alpine:3"}`)
		s.emit("image_pull_progress", `{"image":"alpine:3"}`)
		s.emit("container_changed", `{"type":"modified","container":`+stands("a", "running", "True", 1, 1)+`}`)
	}
	wants(t, flowctl(t, "", "wait", "a"), result{Out: "a is available\n", Err: "pulling alpine:3\n"})
}

func TestWait_Several(t *testing.T) {
	f := newFake(t)
	b := "running"
	f.on["get_container"] = func(s *session, r request) {
		name := strings.TrimPrefix(fmt.Sprint(r.Body["container_id"]), "id-")
		state := map[string]string{"a": "stopped", "b": b}[name]
		s.ack(r, `{"container":`+stands(name, state, "True", 1, 1)+`}`)
	}
	f.on["subscribe"] = func(s *session, r request) {
		b = "stopped"
		s.ack(r, `{"ok":true}`)
	}
	wants(t, flowctl(t, "", "wait", "a", "b", "a", "--for", "stopped"), result{Out: "a is stopped\nb is stopped\n"})
	got := flowctl(t, "", "wait", "a", "b", "--for", "deleted", "--timeout", "50ms")
	wants(t, got, result{Code: exitTimeout, Err: "error: a is stopped (Because), and was not seen deleted within 50ms (timeout_error)\n" +
		"error: b is stopped (Because), and was not seen deleted within 50ms (timeout_error)\n"})
}

func TestWait_Err(t *testing.T) {
	f := newFake(t)
	var now atomic.Value
	now.Store("")
	serveStands(f, &now)
	wants(t, flowctl(t, "", "wait", "a"), result{Code: exitError, Err: "error: there is no container a (container_not_found)\n"})
	now.Store(stands("a", "exited", "False", 1, 1))
	f.on["subscribe"] = func(s *session, r request) {
		s.ack(r, `{"ok":true}`)
		s.emit("container_changed", `{"type":"deleted","container":{"id":"id-a"}}`)
	}
	wants(t, flowctl(t, "", "wait", "a"), result{Code: exitError, Err: "error: a was deleted, so it will not be available\n"})
	newFake(t) // answers nothing
	wants(t, flowctl(t, "", "wait", "a", "--timeout", "50ms"), result{Code: exitTimeout, Err: "error: a was not seen available within 50ms (timeout_error)\n"})
}

// ails is a container as wait looks at it, in trouble.
func ails(state, ended, trouble string, observed int) string {
	return fmt.Sprintf(`{"id":"id-a","name":"a","generation":2,"spec":{"image":"alpine:3"},"status":{"state":%q,"observed_generation":%d,
		"conditions":[{"type":"Ready","status":"False","reason":%q},{"type":"Available","status":"False","reason":%[3]q},
		{"type":"Degraded","status":"True","reason":%q,"message":"it exited with code 3"}]}}`, state, observed, ended, trouble)
}

// What will not come by itself is not waited for, and what may come is.
func TestWait_Hopeless(t *testing.T) {
	loops, gaveUp := ails("restarting", "BackOff", "CrashLoop", 2), ails("exited", "GaveUp", "GaveUp", 2)
	tests := map[string]struct{ until, now, reason string }{
		"available in a loop":  {"available", loops, "CrashLoop"},
		"ready in a loop":      {"condition=Ready", loops, "CrashLoop"},
		"running in a loop":    {"running", loops, ""},
		"completed in a loop":  {"completed", loops, ""},
		"of a generation past": {"available", ails("restarting", "BackOff", "CrashLoop", 1), ""},
		"given up":             {"running", gaveUp, "GaveUp"},
		"not completed":        {"completed", gaveUp, "GaveUp"},
		"completed":            {"ready", ails("exited", "Completed", "SocketLost", 2), "Completed"},
		"suspected":            {"available", ails("stopped", "BackOff", "EngineLost", 2), "EngineLost"},
		"missing":              {"available", ails("created", "Created", "ImageNotFound", 2), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var now atomic.Value
			now.Store(tt.now)
			serveStands(f, &now)
			f.on["explain_container"] = func(s *session, r request) {
				s.ack(r, `{"ok":true,"last_exit":{"exit_code":3,"message":"it exited with code 3","logs":["one","two"]}}`)
			}
			got := flowctl(t, "", "wait", "a", "--for", tt.until, "--timeout", "100ms")
			if tt.reason == "" {
				if got.Code != exitTimeout || !strings.Contains(got.Err, ": it exited with code 3), and was not seen ") {
					t.Errorf("got %+v", got)
				}
				return
			}
			until := strings.ToLower(strings.TrimPrefix(tt.until, "condition="))
			if got.Code != exitError || !strings.HasSuffix(got.Err, ", so it will not be "+until+"\n  reason: "+tt.reason+"\n  exit code: 3\n  last lines:\n    one\n    two\n") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// What stands may be available though something else is wrong: that is told.
func TestWait_Trouble(t *testing.T) {
	f := newFake(t)
	var now atomic.Value
	now.Store(strings.Replace(stands("a", "running", "True", 1, 1), `"conditions":[`, `"conditions":[{"type":"Degraded","status":"True","reason":"UpdateFailed"},`, 1))
	serveStands(f, &now)
	wants(t, flowctl(t, "", "wait", "a", "--for", "condition=available"), result{Out: "a is available (UpdateFailed)\n"})
}

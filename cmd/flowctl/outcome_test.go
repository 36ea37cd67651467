package main

import (
	"strings"
	"testing"
)

// serveUpdate accepts updates, which are observed at once.
func serveUpdate(f *fake, changed bool) {
	f.on["update_container"] = func(s *session, r request) {
		if r.Body["wait_seconds"] != nil {
			s.ack(r, `{"ok":true,"container_id":"x","generation":2,"changed":false,"status":"running"}`)
			return
		}
		s.ack(r, declared("a", 2, 1, changed))
		s.answer(r, "container_updated", `"status":"updated"`)
	}
}

// How far an update is to come is for whoever waits to say.
func TestOutcome_WaitFor(t *testing.T) {
	for args, want := range map[string]struct{ state, said, asked string }{
		"--wait":                    {"running", "is updated, and available", "available"},
		"--wait-for ready":          {"running", "is updated, and ready", "ready"},
		"--wait --wait-for running": {"running", "is updated", ""},
		"--wait --pull":             {"stopped", "is updated", "available"},
		"--wait --retry":            {"exited", "is updated, and has completed", "available"},
	} {
		f := newFake(t)
		serveUpdate(f, true)
		f.reaches(want.state)
		got := flowctl(t, "", append([]string{"update", "a", "--image", "x"}, strings.Fields(args)...)...)
		wants(t, got, result{Out: "a update accepted (generation 2)\na " + want.said + "\n"})
		seen := f.seen()[1:]
		if asked := len(seen) == 1 && seen[0].Event == "wait_container" && seen[0].Body["wait_for"] == want.asked; asked != (want.asked != "") {
			t.Errorf("%s: asked for %v", args, seen)
		}
	}
}

// What changed nothing is judged by how the container stands now, which its generation's outcome of long ago is not.
func TestOutcome_Unchanged(t *testing.T) {
	f := newFake(t)
	serveUpdate(f, false)
	wants(t, flowctl(t, "", "update", "a", "--image", "x", "--wait"), result{Out: "a unchanged (generation 2)\na is updated, and available\n"})
	spec := map[string]any{"image": "x"}
	asked(t, f, request{Event: "update_container", Body: map[string]any{"container_id": "a", "spec": spec}},
		request{Event: "update_container", Body: map[string]any{"container_id": "a", "spec": spec, "if_generation": 2.0, "wait_for": "available", "wait_seconds": 61.0}})
}

// A failure is told with its reason, its exit code and its last lines, masked by the server and safe for a terminal.
func TestOutcome_ErrFailed(t *testing.T) {
	f := newFake(t)
	serveUpdate(f, true)
	f.on["wait_container"] = func(s *session, r request) {
		s.refuse(r, "docker_api_error", "the container does not stay up", `{"reason":"CrashLoop","exit_code":3,"exit":"it exited with code 3","logs":["one","  t\u001b[2Jwo"],"generation":2}`)
	}
	wants(t, flowctl(t, "", "update", "a", "--image", "x", "--wait"), result{Code: exitError, Out: "a update accepted (generation 2)\n",
		Err: "error: a: the container does not stay up (docker_api_error)\n  reason: CrashLoop\n  exit code: 3\n  last lines:\n    one\n      t\\x1b[2Jwo\n"})
}

// The server waits for ten minutes at most: it is asked again until our own time is over. One that shuts down is not.
func TestOutcome_ErrTimeout(t *testing.T) {
	f := newFake(t)
	serveUpdate(f, true)
	asked := 0
	f.on["wait_container"] = func(s *session, r request) {
		if asked++; asked == 1 {
			s.refuse(r, "timeout_error", "its outcome was not seen within 10m", `{"generation":2}`)
			return
		}
		s.refuse(r, "timeout_error", "the manager is shutting down", `{"reason":"ShuttingDown"}`)
	}
	wants(t, flowctl(t, "", "update", "a", "--image", "x", "--wait"), result{Code: exitTimeout, Out: "a update accepted (generation 2)\n",
		Err: "error: a: the manager is shutting down (timeout_error)\n  reason: ShuttingDown\n"})
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

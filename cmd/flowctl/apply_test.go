package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// declared is the acknowledgement of a declaration.
func declared(name string, generation, observed int, changed bool) string {
	return fmt.Sprintf(`{"ok":true,"generation":%d,"changed":%t,"container":{"id":"id-%s","name":%q,"generation":%d,
		"status":{"observed_generation":%d}}}`, generation, changed, name, name, generation, observed)
}

func TestApply_OK(t *testing.T) {
	f := newFake(t)
	f.on["apply_container"] = func(s *session, r request) {
		if id, _ := r.Body["request_id"].(string); len(id) < 20 {
			t.Errorf("request_id %q is not unique", id)
		}
		s.ack(r, map[string]string{
			"new": declared("new", 1, 0, true), "labels": declared("labels", 1, 1, true),
			"old": declared("old", 7, 6, true), "same": declared("same", 2, 2, false),
			"early": declared("early", 2, 0, true),
		}[fmt.Sprint(r.Body["name"])])
	}
	file := filepath.Join(t.TempDir(), "two.yaml")
	if err := os.WriteFile(file, []byte("name: new\nimage: x\n---\nname: old\nimage: y\nports: {8080: 0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := flowctl(t, `{"name":"same","image":"x"} {"name":"labels","image":"x"} {"name":"early","image":"x"}`, "apply", "-f", file, "-f", "-")
	wants(t, got, result{Out: "new created (generation 1)\nold updated (generation 7)\nsame unchanged (generation 2)\nlabels updated (generation 1)\nearly updated (generation 2)\n"})
	asked(t, f,
		request{Event: "apply_container", Body: map[string]any{"name": "new", "image": "x"}},
		request{Event: "apply_container", Body: map[string]any{"name": "old", "image": "y", "ports": map[string]any{"8080": 0.0}}},
		request{Event: "apply_container", Body: map[string]any{"name": "same", "image": "x"}},
		request{Event: "apply_container", Body: map[string]any{"name": "labels", "image": "x"}},
		request{Event: "apply_container", Body: map[string]any{"name": "early", "image": "x"}})
}

func TestApply_Output(t *testing.T) {
	f := newFake(t)
	f.on["apply_container"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"generation":1,"changed":true,"container":{"name":"a","n":1}}`)
	}
	one, two := documents("aa"), documents("aa", "bb")
	wants(t, flowctl(t, one, "apply", "-f", "-", "-o", "json"), result{Out: "{\n  \"name\": \"a\",\n  \"n\": 1\n}\n"})
	wants(t, flowctl(t, two, "apply", "-f", "-", "-o", "yaml"), result{Out: "name: a\n\"n\": 1\n---\nname: a\n\"n\": 1\n"})
	wants(t, flowctl(t, two, "apply", "-f", "-", "-o", "json"),
		result{Out: "[\n  {\n    \"name\": \"a\",\n    \"n\": 1\n  },\n  {\n    \"name\": \"a\",\n    \"n\": 1\n  }\n]\n"})
}

// Answers may come before their acknowledgement, after it, and in any order.
func TestApply_Wait(t *testing.T) {
	f := newFake(t)
	f.reaches("running")
	var first request
	f.on["apply_container"] = func(s *session, r request) {
		if r.Body["name"] == "aa" {
			first = r
			s.ack(r, declared("aa", 1, 0, true))
			return
		}
		s.answer(r, "container_updated", `"status":"updated"`)
		s.ack(r, declared("bb", 2, 1, true))
		s.answer(first, "container_created", `"status":"running"`)
	}
	wants(t, flowctl(t, documents("aa", "bb"), "apply", "-f", "-", "--wait"), result{
		Out: "aa created (generation 1)\nbb updated (generation 2)\naa is available\nbb is updated, and available\n"})
}

func TestApply_WaitErr(t *testing.T) {
	f := newFake(t)
	f.reaches("running")
	f.on["get_container"] = func(s *session, r request) { s.ack(r, `{"container":`+stands("slow", "running", "True", 1, 1)+`}`) }
	f.on["apply_container"] = func(s *session, r request) {
		name, _ := r.Body["name"].(string)
		switch name {
		case "refused":
			s.refuse(r, "validation_error", "image: must be given", `{}`)
			return
		case "slow":
			s.ack(r, declared(name, 1, 0, true))
			return
		}
		s.ack(r, declared(name, 1, 0, true))
		if name == "failing" {
			s.answer(r, "error", `"error":true,"error_type":"image_not_found","message":"there is no image x"`)
		} else {
			s.answer(r, "container_created", `"status":"running"`)
		}
	}
	t.Run("failure", func(t *testing.T) {
		wants(t, flowctl(t, documents("failing", "refused", "good"), "apply", "-f", "-", "--wait"), result{
			Code: exitError,
			Out:  "failing created (generation 1)\ngood created (generation 1)\ngood is available\n",
			Err:  "error: stdin:3: image: must be given (validation_error)\nerror: failing: there is no image x (image_not_found)\n"})
	})
	t.Run("time-out", func(t *testing.T) {
		wants(t, flowctl(t, documents("slow", "good"), "apply", "-f", "-", "--wait", "--wait-timeout", "50ms"), result{
			Code: exitTimeout,
			Out:  "slow created (generation 1)\ngood created (generation 1)\ngood is available\n",
			Err:  "error: slow: declared, but not observed within 50ms; it is running (Because) (timeout_error)\n"})
	})
}

func TestApply_ErrFields(t *testing.T) {
	f := newFake(t)
	details := `{"fields":[{"field":"image","message":"must be given"}]}`
	f.on["apply_container"] = func(s *session, r request) {
		s.refuse(r, "validation_error", "bad\n\x1b[1mthings", details)
	}
	one := flowctl(t, documents("aa"), "apply", "-f", "-")
	wants(t, one, result{Code: exitError, Err: "error: stdin:1: bad \\x1b[1mthings (validation_error)\n"})
	details = `{"fields":[{"field":"image","message":"must be given"},{"field":"n\u001b[2J","message":"is not a\nknown field"}]}`
	two := flowctl(t, documents("aa"), "apply", "-f", "-")
	wants(t, two, result{Code: exitError,
		Err: "error: stdin:1: bad \\x1b[1mthings (validation_error)\n  image: must be given\n  n\\x1b[2J: is not a known field\n"})
}

// Nothing is sent when any document cannot be read.
func TestApply_ErrUnreadable(t *testing.T) {
	f := newFake(t)
	got := flowctl(t, "name: a\n---\nname: b\nname: c\n", "apply", "-f", "-")
	if got.Code != exitError || !strings.Contains(got.Err, `error: stdin: yaml: unmarshal errors: line 4: mapping key "name" already defined at line 3`) {
		t.Errorf("got %+v", got)
	}
	asked(t, f)
}

// A server that stops answering is asked no more.
func TestApply_ErrNoAnswer(t *testing.T) {
	f := newFake(t)
	wants(t, flowctl(t, documents("aa", "bb"), "apply", "-f", "-", "--timeout", "200ms"), result{
		Code: exitTimeout, Err: "error: stdin:1: no answer to apply_container from " + f.url + " within 200ms (timeout_error)\n"})
	asked(t, f, request{Event: "apply_container", Body: map[string]any{"name": "aa", "image": "x"}})
}

func TestByName_OK(t *testing.T) {
	for command, event := range map[string]struct{ asked, answered, status string }{
		"start":   {"start_container", "container_started", "running"},
		"stop":    {"stop_container", "container_stopped", "stopped"},
		"delete":  {"delete_container", "container_deleted", "deleted"},
		"restart": {"restart_container", "container_restarted", "running"},
		"pause":   {"pause_container", "container_paused", "paused"},
		"unpause": {"unpause_container", "container_unpaused", "running"},
	} {
		t.Run(command, func(t *testing.T) {
			f := newFake(t)
			f.reaches("running")
			f.on[event.asked] = func(s *session, r request) {
				name, _ := r.Body["container_id"].(string)
				s.ack(r, declared(name, 3, 2, name != "same"))
				s.answer(r, event.answered, fmt.Sprintf(`"status":%q`, event.status))
			}
			wants(t, flowctl(t, "", command, "a", "same"), result{
				Out: "a " + command + " accepted (generation 3)\nsame unchanged (generation 3)\n"})
			became, more := event.status, []request(nil)
			if became == "running" {
				became = "available"
				more = []request{{Event: "wait_container", Body: map[string]any{"container_id": "a", "generation": 3.0, "wait_for": "available", "wait_seconds": 61.0}}}
			}
			wants(t, flowctl(t, "", command, "a", "--wait"), result{
				Out: "a " + command + " accepted (generation 3)\na is " + became + "\n"})
			body := func(name string) request {
				return request{Event: event.asked, Body: map[string]any{"container_id": name}}
			}
			asked(t, f, append([]request{body("a"), body("same"), body("a")}, more...)...)
		})
	}
}

func TestByName_Err(t *testing.T) {
	f := newFake(t)
	f.on["stop_container"] = func(s *session, r request) {
		if r.Body["container_id"] == "b" {
			s.ack(r, declared("b", 1, 1, true))
			return
		}
		s.refuse(r, "container_not_found", "there is no such container", `{}`)
	}
	wants(t, flowctl(t, "", "stop", "a"), result{Code: exitError, Err: "error: there is no such container (container_not_found)\n"})
	wants(t, flowctl(t, "", "stop", "a", "b", "c"), result{Code: exitError, Out: "b stop accepted (generation 1)\n",
		Err: "error: a: there is no such container (container_not_found)\nerror: c: there is no such container (container_not_found)\n"})
}

// A server that goes away while its answer is waited for is an error, not a time-out.
func TestByName_ErrLost(t *testing.T) {
	f := newFake(t)
	f.on["stop_container"] = func(s *session, r request) {
		s.ack(r, declared("a", 1, 1, true))
		_ = s.conn.Close()
	}
	got := flowctl(t, "", "stop", "a", "--wait")
	if got.Code != exitError || !strings.HasPrefix(got.Err, "error: a: declared, but not observed: lost the connection to "+f.url) ||
		!strings.HasSuffix(got.Err, "; look what became of it: flowctl describe a\n") {
		t.Errorf("got %+v", got)
	}
}

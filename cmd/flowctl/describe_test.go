package main

import (
	"strings"
	"testing"
	"time"
)

const whole = `{"id":"id-web","name":"web","labels":{"b":"2","a":"1"},"created_at":"2026-01-01T00:00:00Z","created_by":"ci","deleted_at":"2026-01-02T00:00:00Z",
	"generation":3,"resource_version":"v7","spec":{"image":"alpine:3","environment":{"A":"b"}},
	"status":{"state":"restarting","health":"none","observed_generation":2,"running_generation":1,"exit_code":137,"oom_killed":true,"restart_count":4,
		"crash_streak":2,"next_restart_at":"2126-01-01T00:00:00Z","docker_id":"d1","ports":{"80":8080},"socket_connected":false,"uptime":"0:00:00",
		"conditions":[{"type":"Ready","status":"False","reason":"Crashed","message":"it \u001b[1mended","last_transition_at":"2026-01-01T00:00:00Z"}],
		"last_error":{"error_type":"docker_api_error","message":"no\nspace","at":"2026-01-01T00:00:00Z"},
		"last_action":{"action":"start","cause":"exit","detail":"again","at":"2026-01-01T00:00:00Z"}}}`

const entries = `[{"activity_type":"container_crash","message":"web ended","timestamp":"2026-01-01T00:00:00Z"},
	{"activity_type":"container_declared","message":"apply_container of web by ci","timestamp":"2025-12-31T00:00:00Z"}]`

// ages replaces what depends on the time of the test.
func ages(text string) string {
	days := age(time.Since(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	return strings.ReplaceAll(text, days, "AGE")
}

func TestDescribe(t *testing.T) {
	page, err := describePage([]byte(`{"container":`+whole+`,"explanation":`+explained+`,"activity":`+entries+`}`), time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC))
	want := `Name:            web
ID:              id-web
Labels:          a=1,b=2
Created:         2026-01-01T00:00:00Z (2d ago) by ci
Being deleted:   2026-01-02T00:00:00Z (24h ago)
Generation:      3 declared, 2 observed, 1 running
State:           restarting
Health:          none
Uptime:          0:00:00
Exit code:       137, out of memory
Restarts:        4, 2 in a row
Next restart:    2126-01-01T00:00:00Z (in 36522d)
Docker ID:       d1
Ports:           8080->80
Connected:       false
Last error:      2026-01-01T00:00:00Z (2d ago): no\nspace (docker_api_error)
Last action:     2026-01-01T00:00:00Z (2d ago): start for exit: again
Spec:
  image: alpine:3
  environment:
      A: b
Conditions:
  TYPE    STATUS   SINCE   REASON    MESSAGE
  Ready   False    2d      Crashed   it \x1b[1mended
Next:
  Action:   create
  Why:      what stands is\x1b[2J not what is declared
Failed update:
  Reason:      UpdateFailed
  Message:     it exited with code 3
  Exit code:   3
  Last lines:
    one
    t\x1b[2Jwo
Last exit:
  Message:   it was not healthy
Recent actions:
  AGE   ACTION   CAUSE         DETAIL
  2d    stop     declaration   -
Activity:
  AGE   TYPE                 MESSAGE
  3d    container_declared   apply_container of web by ci
  2d    container_crash      web ended
`
	if err != nil || string(page) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, page, want)
	}
}

// What the server does not tell of the activity does not keep the rest from being shown.
func TestDescribe_Command(t *testing.T) {
	f := newFake(t)
	f.on["get_container"] = func(s *session, r request) { s.ack(r, `{"container":`+whole+`}`) }
	f.on["explain_container"] = func(s *session, r request) { s.refuse(r, "docker_unavailable", "the engine is away", `{}`) }
	f.on["get_activity"] = func(s *session, r request) { s.refuse(r, "permission_error", "not you", `{}`) }
	got := flowctl(t, "", "describe", "web", "web")
	if got.Code != exitOK || strings.Count(got.Out, "Activity:\n  not told: not you (permission_error)\n") != 2 || !strings.Contains(got.Out, "\n\nName:") {
		t.Errorf("got %+v", got)
	}
	f.on["explain_container"] = func(s *session, r request) { s.ack(r, explained) }
	f.on["get_activity"] = func(s *session, r request) { s.ack(r, `{"ok":true,"entries":`+entries+`}`) }
	got = flowctl(t, "", "describe", "web", "-o", "yaml")
	if got.Code != exitOK || !strings.HasPrefix(got.Out, "container:\n    id: id-web\n") || !strings.Contains(got.Out, "\nexplanation:\n    next_action: create\n") || !strings.Contains(got.Out, "\nactivity:\n    - activity_type: container_crash\n") {
		t.Errorf("got %+v", got)
	}
	activity := request{Event: "get_activity", Body: map[string]any{"container_id": "id-web", "limit": 20.0}}
	look := request{Event: "get_container", Body: map[string]any{"container_id": "web"}}
	explain := request{Event: "explain_container", Body: map[string]any{"container_id": "id-web"}}
	asked(t, f, look, explain, activity, look, explain, activity, look, explain, activity)
}

const explained = `{"ok":true,"container_id":"id-web","name":"web","declared":{"generation":3,"spec":{"image":"alpine:3","desired_state":"running"}},
	"observed":{"state":"exited","observed_generation":2,"running_generation":1},"differences":[{"field":"image","cost":"recreate"},{"field":"resources","cost":"in-place"}],
	"next_action":"create","why":"what stands is\u001b[2J not what is declared","next_look_at":null,
	"recent_actions":[{"action":"stop","cause":"declaration","detail":"","at":"2026-01-01T00:00:00Z"}],
	"last_exit":{"exit_code":null,"oom_killed":false,"message":"it was not healthy","logs":[]},
	"failed_update":{"reason":"UpdateFailed","exit_code":3,"oom_killed":false,"message":"it exited with code 3","logs":["one","t\u001b[2Jwo"]}}`

func TestExplain(t *testing.T) {
	f := newFake(t)
	f.on["explain_container"] = func(s *session, r request) {
		if r.Body["container_id"] == "gone" {
			s.refuse(r, "container_not_found", "no gone", `{}`)
			return
		}
		s.ack(r, explained)
	}
	got := flowctl(t, "", "explain", "web", "gone")
	got.Out = ages(got.Out)
	wants(t, got, result{Code: exitError, Err: "error: gone: no gone (container_not_found)\n", Out: `Name:          web
ID:            id-web
Declared:      running, generation 3
Observed:      exited, generation 2; made from generation 1
Differences:   image (recreate), resources (in-place)
Next action:   create
Why:           what stands is\x1b[2J not what is declared
Failed update:
  Reason:      UpdateFailed
  Message:     it exited with code 3
  Exit code:   3
  Last lines:
    one
    t\x1b[2Jwo
Last exit:
  Message:   it was not healthy
Recent actions:
  AGE    ACTION   CAUSE         DETAIL
  AGE   stop     declaration   -
`})
	if got := flowctl(t, "", "explain", "web", "-o", "json"); got.Code != exitOK || !strings.Contains(got.Out, `"next_action": "create"`) {
		t.Errorf("got %+v", got)
	}
}

func TestTop(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"containers":[`+item("web", 0, "")+`,`+item("gone", 0, "")+`]}`)
	}
	f.on["get_container_status"] = func(s *session, r request) {
		if id := r.Body["container_id"]; id == "id-gone" || id == "gone" {
			s.refuse(r, "container_not_found", "no gone", `{}`)
			return
		}
		s.ack(r, statusAnswer)
	}
	header := "NAME   STATE     CPU     MEMORY   LIMIT   MEM    NET IN/OUT   DISK READ/WRITTEN   PROCESSES\n"
	row := "web    running   12.3%   1.5MiB   1GiB    0.1%   2KiB / 0B    0B / 1B             3\n"
	wants(t, flowctl(t, "", "top"), result{Out: header + row})
	wants(t, flowctl(t, "", "top", "gone"), result{Code: exitError, Err: "error: no gone (container_not_found)\n"})
	if got := flowctl(t, "", "top", "web", "-o", "json"); got.Code != exitOK || !strings.HasPrefix(got.Out, "[\n  {\n    \"ok\": true,\n    \"container_id\": \"id-web\",") {
		t.Errorf("got %+v", got)
	}
	if states := f.seen()[0].Body["states"]; len(states.([]any)) != 2 {
		t.Errorf("listed %v", states)
	}
	w := begin(t, "top", "--watch", "--interval", "1ms")
	again := strings.TrimSuffix(row, "\n")
	w.shows(strings.TrimSuffix(header, "\n"), again, strings.TrimSuffix(header, "\n"), again)
	w.cancel()
	w.drain()
	if code := <-w.done; code != exitInterrupted || w.said() != "" {
		t.Errorf("%d %q", code, w.said())
	}
}

// Where the server cannot tell what is next, it is said why, and the rest is shown.
func TestDescribe_WhileTheEngineIsAway(t *testing.T) {
	f := newFake(t)
	serveObjects(f)
	f.on["explain_container"] = func(s *session, r request) {
		s.refuse(r, "docker_unavailable", "what is next cannot be told while the engine is away: no answer; since 2026-01-02T03:04:05Z", `{}`)
	}
	f.on["get_activity"] = func(s *session, r request) { s.ack(r, `{"ok":true,"entries":[]}`) }
	got := flowctl(t, "", "describe", "a")
	if want := "Next:\n  not told: what is next cannot be told while the engine is away: no answer; since 2026-01-02T03:04:05Z (docker_unavailable)\n"; got.Code != 0 || !strings.Contains(got.Out, want) {
		t.Errorf("%+v", got)
	}
}

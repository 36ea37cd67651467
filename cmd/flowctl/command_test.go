package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// declared is the acknowledgement of a declaration.
func declared(name string, generation, observed int, changed bool) string {
	return fmt.Sprintf(`{"ok":true,"generation":%d,"changed":%t,"container":{"id":"id-%s","name":%q,"generation":%d,
		"status":{"observed_generation":%d}}}`, generation, changed, name, name, generation, observed)
}

func wants(t *testing.T, got, want result) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func asked(t *testing.T, f *fake, want ...request) {
	t.Helper()
	if diff := cmp.Diff(want, f.seen(), cmp.AllowUnexported(request{})); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
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
	got := flowctl(t, `{"name":"same"} {"name":"labels"} {"name":"early"}`, "apply", "-f", file, "-f", "-")
	wants(t, got, result{Out: "new created (generation 1)\nold updated (generation 7)\nsame unchanged (generation 2)\nlabels updated (generation 1)\nearly updated (generation 2)\n"})
	asked(t, f,
		request{Event: "apply_container", Body: map[string]any{"name": "new", "image": "x"}},
		request{Event: "apply_container", Body: map[string]any{"name": "old", "image": "y", "ports": map[string]any{"8080": 0.0}}},
		request{Event: "apply_container", Body: map[string]any{"name": "same"}},
		request{Event: "apply_container", Body: map[string]any{"name": "labels"}},
		request{Event: "apply_container", Body: map[string]any{"name": "early"}})
}

func TestApply_Output(t *testing.T) {
	f := newFake(t)
	f.on["apply_container"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"generation":1,"changed":true,"container":{"name":"a","n":1}}`)
	}
	one, two := "name: a", "name: a\n---\nname: b"
	wants(t, flowctl(t, one, "apply", "-f", "-", "-o", "json"), result{Out: "{\n  \"name\": \"a\",\n  \"n\": 1\n}\n"})
	wants(t, flowctl(t, two, "apply", "-f", "-", "-o", "yaml"), result{Out: "name: a\n\"n\": 1\n---\nname: a\n\"n\": 1\n"})
	wants(t, flowctl(t, two, "apply", "-f", "-", "-o", "json"),
		result{Out: "[\n  {\n    \"name\": \"a\",\n    \"n\": 1\n  },\n  {\n    \"name\": \"a\",\n    \"n\": 1\n  }\n]\n"})
}

// Answers may come before their acknowledgement, after it, and in any order.
func TestApply_Wait(t *testing.T) {
	f := newFake(t)
	var first request
	f.on["apply_container"] = func(s *session, r request) {
		if r.Body["name"] == "a" {
			first = r
			s.ack(r, declared("a", 1, 0, true))
			return
		}
		s.answer(r, "container_updated", `"status":"updated"`)
		s.ack(r, declared("b", 2, 1, true))
		s.answer(first, "container_created", `"status":"running"`)
	}
	wants(t, flowctl(t, "name: a\n---\nname: b", "apply", "-f", "-", "--wait"), result{
		Out: "a created (generation 1)\nb updated (generation 2)\na is running\nb is updated\n"})
}

func TestApply_WaitErr(t *testing.T) {
	f := newFake(t)
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
		wants(t, flowctl(t, "name: failing\n---\nname: refused\n---\nname: good", "apply", "-f", "-", "--wait"), result{
			Code: exitError,
			Out:  "failing created (generation 1)\ngood created (generation 1)\ngood is running\n",
			Err:  "error: stdin:3: image: must be given (validation_error)\nerror: failing: there is no image x (image_not_found)\n"})
	})
	t.Run("time-out", func(t *testing.T) {
		wants(t, flowctl(t, "name: slow\n---\nname: good", "apply", "-f", "-", "--wait", "--wait-timeout", "50ms"), result{
			Code: exitTimeout,
			Out:  "slow created (generation 1)\ngood created (generation 1)\ngood is running\n",
			Err:  "error: slow: declared, but not observed within 50ms (timeout_error)\n"})
	})
}

func TestApply_ErrFields(t *testing.T) {
	f := newFake(t)
	details := `{"fields":[{"field":"image","message":"must be given"}]}`
	f.on["apply_container"] = func(s *session, r request) {
		s.refuse(r, "validation_error", "bad\n\x1b[1mthings", details)
	}
	one := flowctl(t, "name: a", "apply", "-f", "-")
	wants(t, one, result{Code: exitError, Err: "error: stdin:1: bad \\x1b[1mthings (validation_error)\n"})
	details = `{"fields":[{"field":"image","message":"must be given"},{"field":"n\u001b[2J","message":"is not a\nknown field"}]}`
	two := flowctl(t, "name: a", "apply", "-f", "-")
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
	wants(t, flowctl(t, "name: a\n---\nname: b", "apply", "-f", "-", "--timeout", "200ms"), result{
		Code: exitTimeout, Err: "error: stdin:1: no answer to apply_container from " + f.url + " within 200ms (timeout_error)\n"})
	asked(t, f, request{Event: "apply_container", Body: map[string]any{"name": "a"}})
}

func TestByName_OK(t *testing.T) {
	for command, event := range map[string]struct{ asked, answered, status string }{
		"start":  {"start_container", "container_started", "running"},
		"stop":   {"stop_container", "container_stopped", "stopped"},
		"delete": {"delete_container", "container_deleted", "deleted"},
	} {
		t.Run(command, func(t *testing.T) {
			f := newFake(t)
			f.on[event.asked] = func(s *session, r request) {
				name, _ := r.Body["container_id"].(string)
				s.ack(r, declared(name, 3, 2, name != "same"))
				s.answer(r, event.answered, fmt.Sprintf(`"status":%q`, event.status))
			}
			wants(t, flowctl(t, "", command, "a", "same"), result{
				Out: "a " + command + " accepted (generation 3)\nsame unchanged (generation 3)\n"})
			wants(t, flowctl(t, "", command, "a", "--wait"), result{
				Out: "a " + command + " accepted (generation 3)\na is " + event.status + "\n"})
			body := func(name string) request {
				return request{Event: event.asked, Body: map[string]any{"container_id": name}}
			}
			asked(t, f, body("a"), body("same"), body("a"))
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
	if got.Code != exitError || !strings.HasPrefix(got.Err, "error: a: lost the connection to "+f.url) {
		t.Errorf("got %+v", got)
	}
}

func item(name string, age time.Duration, more string) string {
	created := time.Now().Add(-age).UTC().Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"id":%s,"name":%s,"image":"alpine:3","created":%q%s}`, quoted("id-"+name), quoted(name), created, more)
}

func TestGet_Table(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) {
		if r.Body["continue"] == nil {
			s.ack(r, `{"ok":true,"continue":"next","count":2,"containers":[`+item("web", 90*time.Minute+time.Second,
				`,"status":"running","health":"healthy","restart_count":3,"ports":{"8080":20000,"53/udp":"127.0.0.1:53"}`)+`]}`)
			return
		}
		s.ack(r, `{"ok":true,"containers":[`+item("b\x1b[31m", 50*time.Hour, `,"status":"exited","health":"","ports":{}`)+`]}`)
	}
	wants(t, flowctl(t, "", "get", "-l", "a=b", "-l", "c=d"), result{Out: `` +
		"NAME        ID             STATE     HEALTH    RESTARTS   AGE   IMAGE      PORTS\n" +
		"web         id-web         running   healthy   3          90m   alpine:3   127.0.0.1:53->53/udp,20000->8080\n" +
		`b\x1b[31m   id-b\x1b[31m   exited    -         0          2d    alpine:3   -` + "\n"})
	labels := map[string]any{"a": "b", "c": "d"}
	asked(t, f,
		request{Event: "list_containers", Body: map[string]any{"labels": labels}},
		request{Event: "list_containers", Body: map[string]any{"labels": labels, "continue": "next"}})
}

// object is a container whole, as get_container gives it.
func object(name string) string {
	return fmt.Sprintf(`{"id":"id-%s","name":%q,"created_at":%q,"spec":{"image":"alpine:3","big":9007199254740993},
		"status":{"state":"running","health":"none","restart_count":1,"ports":{"80":8080}}}`,
		name, name, time.Now().Add(-30*time.Second).UTC().Format(time.RFC3339Nano))
}

func serveObjects(f *fake) {
	f.on["get_container"] = func(s *session, r request) {
		switch id := strings.TrimPrefix(fmt.Sprint(r.Body["container_id"]), "id-"); id {
		case "gone":
			s.refuse(r, "container_not_found", "there is no container gone", `{}`)
		case "evil":
			s.ack(r, `{"ok":true,"container":{"name":"a`+"\u202e"+`","on":"yes","n":"1"}}`)
		case "halves":
			s.ack(r, `{"ok":true,"container":{"name":"\ud83d\ude00"}}`)
		case "plain":
			s.ack(r, `{"ok":true,"container":{"name":"plain: 漢","on":"yes","n":"1","up":"0:10:30","big":9007199254740993,"f":1.5,"none":null,"list":["a\nb",{}],"t":"true"}}`)
		default:
			s.ack(r, `{"ok":true,"container":`+object(id)+`}`)
		}
	}
}

func TestGet_Names(t *testing.T) {
	f := newFake(t)
	serveObjects(f)
	table := "NAME   ID     STATE     HEALTH   RESTARTS   AGE   IMAGE      PORTS\n" +
		"a      id-a   running   none     1          30s   alpine:3   8080->80\n"
	wants(t, flowctl(t, "", "get", "a"), result{Out: table})
	wants(t, flowctl(t, "", "get", "gone"), result{Code: exitError, Err: "error: there is no container gone (container_not_found)\n"})
	wants(t, flowctl(t, "", "get", "a", "gone"), result{Code: exitError, Out: table,
		Err: "error: gone: there is no container gone (container_not_found)\n"})
}

func TestGet_Output(t *testing.T) {
	f := newFake(t)
	serveObjects(f)
	f.on["list_containers"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"containers":[`+item("plain", 0, "")+`,`+item("gone", 0, "")+`,`+item("evil", 0, "")+`]}`)
	}
	evil := `{
  "name": "a\u202e",
  "on": "yes",
  "n": "1"
}
`
	plain := `name: "plain: 漢"
"on": "yes"
"n": "1"
up: "0:10:30"
big: 9007199254740993
f: 1.5
none: null
list:
    - |-
      a
      b
    - {}
t: "true"
`
	wants(t, flowctl(t, "", "get", "evil", "-o", "json"), result{Out: evil})
	wants(t, flowctl(t, "", "get", "evil", "-o", "yaml"), result{Out: evil})
	wants(t, flowctl(t, "", "get", "plain", "-o", "yaml"), result{Out: plain})
	wants(t, flowctl(t, "", "get", "halves", "-o", "yaml"), result{Out: "{\n  \"name\": \"\\ud83d\\ude00\"\n}\n"})
	wants(t, flowctl(t, "", "get", "-o", "yaml"), result{Out: plain + "---\n" + evil})
	list := flowctl(t, "", "get", "-o", "json")
	if list.Code != exitOK || !strings.HasPrefix(list.Out, "[\n  {\n") || !strings.HasSuffix(list.Out, "\n  }\n]\n") {
		t.Errorf("got %+v", list)
	}
}

func TestGet_Empty(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"ok":true,"containers":[],"count":0}`) }
	wants(t, flowctl(t, "", "get"), result{Out: "NAME   ID   STATE   HEALTH   RESTARTS   AGE   IMAGE   PORTS\n"})
	wants(t, flowctl(t, "", "get", "-o", "json"), result{Out: "[]\n"})
	wants(t, flowctl(t, "", "get", "-o", "yaml"), result{})
}

const statusAnswer = `{"ok":true,"container_id":"id-web","name":"web","state":"running","health":"healthy","uptime":"0:10:30",
	"uptime_seconds":630,"socket_connected":true,"last_communication":null,"restart_count":2,"next_restart_at":null,
	"conditions":[{"type":"Ready","status":"True","reason":"Running","message":"up \u001b[1m"},{"type":"Progressing","status":"False","reason":"","message":""}],
	"resource_usage":{"cpu_percent":12.34,"memory_usage":1572864,"memory_limit":1073741824,"memory_percent":0.14,
	"network_rx_bytes":2048,"network_tx_bytes":0,"disk_read_bytes":0,"disk_write_bytes":1,"pids":3,"timestamp":"2025-01-01T00:00:00Z"}}`

func TestStatus(t *testing.T) {
	f := newFake(t)
	f.on["get_container_status"] = func(s *session, r request) { s.ack(r, statusAnswer) }
	wants(t, flowctl(t, "", "status", "web"), result{Out: `Name                 web
ID                   id-web
State                running
Health               healthy
Uptime               0:10:30
Restarts             2
Next restart         -
Socket connected     true
Last communication   -
Ready                True Running up \x1b[1m
Progressing          False
CPU                  12.3%
Memory               1.5MiB of 1GiB (0.1%)
Network              2KiB in, 0B out
Disk                 0B read, 1B written
Processes            3
`})
	got := flowctl(t, "", "status", "web", "-o", "yaml")
	if got.Code != exitOK || !strings.Contains(got.Out, "\nuptime_seconds: 630\n") {
		t.Errorf("got %+v", got)
	}
	asked(t, f, request{Event: "get_container_status", Body: map[string]any{"container_id": "web"}},
		request{Event: "get_container_status", Body: map[string]any{"container_id": "web"}})
}

func TestSend(t *testing.T) {
	f := newFake(t)
	f.on["send_message"] = func(s *session, r request) {
		if r.Body["expect_reply"] == true {
			s.ack(r, `{"ok":true,"status":"sent","reply":{ "type" : "pong","x":"`+"\u202e"+`"}}`)
			return
		}
		s.ack(r, `{"ok":true,"status":"sent"}`)
	}
	wants(t, flowctl(t, "", "send", "web", `{"type":"hi"}`), result{Out: "sent to web\n"})
	wants(t, flowctl(t, ` {"type":"hi"} `, "send", "web", "-", "--reply", "--send-timeout", "1500ms"), result{Out: `{"type":"pong","x":"\u202e"}` + "\n"})
	wants(t, flowctl(t, "", "send", "web", `{}`, "--reply", "-o", "json"), result{Out: "{\n  \"type\": \"pong\",\n  \"x\": \"\\u202e\"\n}\n"})
	wants(t, flowctl(t, "", "send", "web", `{}`, "-o", "yaml"), result{Out: "ok: true\nstatus: sent\n"})
	hi := map[string]any{"type": "hi"}
	body := func(message map[string]any, reply bool, seconds float64) request {
		return request{Event: "send_message", Body: map[string]any{
			"container_id": "web", "message": message, "expect_reply": reply, "timeout_seconds": seconds}}
	}
	asked(t, f, body(hi, false, 30), body(hi, true, 1.5), body(map[string]any{}, true, 30), body(map[string]any{}, false, 30))
}

func TestSend_Err(t *testing.T) {
	f := newFake(t)
	f.on["send_message"] = func(s *session, r request) {
		if r.Body["expect_reply"] == true {
			s.ack(r, `{"ok":true}`)
			return
		}
		s.refuse(r, "socket_timeout_error", "web did not connect", `{}`)
	}
	wants(t, flowctl(t, "", "send", "web", "{}"), result{Code: exitTimeout, Err: "error: web did not connect (socket_timeout_error)\n"})
	wants(t, flowctl(t, "", "send", "web", "{}", "--reply"), result{Code: exitError,
		Err: "error: the server sent something that is not Socket.IO: no reply in the answer\n"})
	delete(f.on, "send_message")
	wants(t, flowctl(t, "", "send", "web", "{}", "--timeout", "50ms", "--send-timeout", "150ms"), result{Code: exitTimeout,
		Err: "error: no answer to send_message from " + f.url + " within 200ms (timeout_error)\n"})
}

func TestUsage(t *testing.T) {
	t.Setenv("FLOWCTL_SERVER", "http://127.0.0.1:1")
	tests := map[string]struct {
		args string
		want string
	}{
		"unknown command":  {"aply", `there is no command "aply"; did you mean apply?`},
		"unknown, unlike":  {"xyzzy", `there is no command "xyzzy"; see: flowctl --help`},
		"escape":           {"x\x1b[2J", `there is no command "x\x1b[2J"`},
		"unknown flag":     {"get --nope", "unknown flag: --nope; see: flowctl get --help"},
		"output":           {"get -o xml", `--output must be table, json or yaml, not "xml"`},
		"timeout":          {"get --timeout -1s", "--timeout must not be negative"},
		"timeout's form":   {"get --timeout soon", `invalid argument "soon" for "--timeout" flag`},
		"server":           {"get --server 127.0.0.1:8000", "the server must be like http://127.0.0.1:8000"},
		"names and labels": {"get a -l b=c", "give names or labels, not both"},
		"label":            {"get -l b", `invalid argument "b" for "-l, --label" flag: b must be formatted as key=value`},
		"no name":          {"stop", "requires at least 1 arg(s), only received 0; usage: flowctl stop NAME|ID..."},
		"two names":        {"logs a b", "accepts 1 arg(s), received 2"},
		"wait":             {"start a --wait --wait-timeout 0s", "--wait-timeout must be more than 0"},
		"apply wait":       {"apply -f x --wait-timeout 0s", "--wait-timeout must be more than 0"},
		"no file":          {"apply", "say what to apply: flowctl apply -f FILE"},
		"file alone":       {"apply -f a.yaml b.yaml", `give each file with -f: "b.yaml" stands alone`},
		"stdin twice":      {"apply -f - -f x -f -", "stdin can be read only once"},
		"message":          {"send a [1]", "the message must be a JSON object"},
		"message broken":   {"send a {", "the message is not valid JSON"},
		"send timeout":     {"send a {} --send-timeout 0s", "--send-timeout must be more than 0"},
		"version":          {"version now", `unknown command "now" for "flowctl version"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := flowctl(t, "", strings.Fields(tt.args)...)
			if got.Code != exitUsage || got.Out != "" || !strings.HasPrefix(got.Err, "error: "+tt.want) || strings.Count(got.Err, "\n") != 1 {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	alone := flowctl(t, "")
	if alone.Code != exitOK || alone.Err != "" || !strings.Contains(alone.Out, "Exit codes: 0 done") {
		t.Errorf("got %+v", alone)
	}
	for command := range strings.FieldsSeq("apply get status start stop delete send") {
		got := flowctl(t, "", command, "--help")
		if got.Code != exitOK || !strings.Contains(got.Out, "Examples:\n  flowctl "+command) {
			t.Errorf("%s: got %+v", command, got)
		}
	}
}

func TestVersion(t *testing.T) {
	got := flowctl(t, "", "version")
	if got.Code != exitOK || !strings.HasPrefix(got.Out, "flowctl ") || !strings.Contains(got.Out, " go1.") {
		t.Errorf("got %+v", got)
	}
	got = flowctl(t, "", "version", "-o", "yaml")
	if got.Code != exitOK || !strings.HasPrefix(got.Out, "go: go1.") {
		t.Errorf("got %+v", got)
	}
}

func TestEnvironment(t *testing.T) {
	f := newFake(t)
	var connect string
	f.welcome = func(s *session, packet string) { connect = packet; s.send("40{}") }
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"containers":[]}`) }
	t.Setenv("FLOWCTL_TOKEN", "from-env")
	for want, args := range map[string][]string{"from-env": {"get"}, "from-flag": {"get", "--token", "from-flag"}} {
		if got := flowctl(t, "", args...); got.Code != exitOK || connect != `40{"token":"`+want+`"}` {
			t.Errorf("CONNECT %s, %+v; want %s", connect, got, want)
		}
	}
	t.Setenv("FLOWCTL_SERVER", "http://127.0.0.1:1")
	if got := flowctl(t, "", "get", "--server", f.url); got.Code != exitOK {
		t.Errorf("got %+v", got)
	}
	if help := flowctl(t, "", "get", "--help"); strings.Contains(help.Out, "from-env") {
		t.Error("the help shows the token")
	}
}

func TestConnect_Err(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	_ = listener.Close()
	for server, want := range map[string]string{
		"http://" + host:  "error: dial tcp " + host + ": connect: connection refused: is flow-manager running at http://" + host + "? start it with: flow-manager serve\n",
		"unix:///no/such": "error: dial unix /no/such: connect: no such file or directory: is flow-manager running at unix:///no/such? start it with: flow-manager serve\n",
	} {
		for command := range strings.SplitSeq("get|get a|status a|start a|send a {}", "|") {
			wants(t, flowctl(t, "", append(strings.Fields(command), "--server", server)...), result{Code: exitError, Err: want})
		}
	}
}

func TestConnect_ErrTimeout(t *testing.T) {
	f := newFake(t)
	f.welcome = func(*session, string) {}
	wants(t, flowctl(t, "", "get", "--timeout", "50ms"), result{Code: exitTimeout,
		Err: "error: no connection to " + f.url + " within 50ms (timeout_error)\n"})
}

// An interrupt ends flowctl at once: while it waits for an answer, and while it reads from a terminal.
func TestInterrupted(t *testing.T) {
	f := newFake(t)
	asking := make(chan struct{})
	f.on["list_containers"] = func(*session, request) { close(asking) }
	terminal, typing := io.Pipe()
	defer typing.Close()
	for _, args := range [][]string{{"get"}, {"apply", "-f", "-"}, {"send", "a", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		if args[0] == "get" {
			context.AfterFunc(t.Context(), cancel)
			go func() { <-asking; cancel() }()
		} else {
			cancel()
		}
		var errs strings.Builder
		if code := run(ctx, args, terminal, io.Discard, &errs); code != exitInterrupted || errs.String() != "error: interrupted\n" {
			t.Errorf("%s: %d %q", args, code, errs.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutput_ErrWrite(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"containers":[]}`) }
	f.on["stop_container"] = func(s *session, r request) { s.ack(r, declared("a", 1, 1, true)) }
	for command := range strings.SplitSeq("get|get -o json|stop a|version", "|") {
		var errs strings.Builder
		code := run(t.Context(), strings.Fields(command), strings.NewReader(""), full{}, &errs)
		if code != exitError || errs.String() != "error: write to stdout: no space left\n" {
			t.Errorf("%s: %d %q", command, code, errs.String())
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m",
		2 * time.Hour: "2h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestExitCode(t *testing.T) {
	timeout, refusal := &timeoutError{"nothing", time.Second}, &Failure{Message: "no"}
	for want, errs := range map[int][]error{
		exitOK: nil, exitError: {timeout, refusal}, exitTimeout: {timeout, timeout}, exitUsage: {usagef("no")},
	} {
		if got := exitCode(several(errs).orNil()); got != want {
			t.Errorf("exitCode(%v) = %d, want %d", errs, got, want)
		}
	}
}

// What fails here is told with the names as they are, but neither with our token nor with a proxy's password.
func TestReport_TellsNoSecrets(t *testing.T) {
	var out strings.Builder
	secrets := api.NewRedactor(map[string]string{"token": "flow_0123456789"})
	report(&out, several{errors.New("auth-service: lost http://me:pw@proxy\nand flow_0123456789"), &Failure{Message: "token=kept", Type: api.PolicyError}}, secrets)
	want := "error: auth-service: lost http://[FILTERED]@proxy and [FILTERED]\nerror: token=kept (policy_error)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

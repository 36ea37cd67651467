package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func item(name string, age time.Duration, more string) string {
	created := time.Now().Add(-age).UTC().Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"id":%s,"name":%s,"image":"alpine:3","created":%q%s}`, quoted("id-"+name), quoted(name), created, more)
}

func TestGet_Table(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) {
		if r.Body["continue"] == nil {
			s.ack(r, `{"ok":true,"continue":"next","count":2,"containers":[`+item("web", 90*time.Minute+time.Second,
				`,"status":"running","available":true,"health":"healthy","restart_count":3,"ports":{"8080":20000,"53/udp":"127.0.0.1:53"}`)+`]}`)
			return
		}
		s.ack(r, `{"ok":true,"containers":[`+item("b\x1b[31m", 50*time.Hour, `,"status":"exited","reason":"GaveUp","health":"","ports":{}`)+`]}`)
	}
	wants(t, flowctl(t, "", "get", "-l", "a=b", "-l", "c=d"), result{Out: `` +
		"NAME        ID             STATE             AVAILABLE   HEALTH    RESTARTS   AGE   IMAGE      PORTS\n" +
		"web         id-web         running           yes         healthy   3          90m   alpine:3   127.0.0.1:53->53/udp,20000->8080\n" +
		`b\x1b[31m   id-b\x1b[31m   exited (GaveUp)   no          -         0          2d    alpine:3   -` + "\n"})
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
		case "ill":
			s.ack(r, `{"ok":true,"container":`+strings.Replace(object(id), `"health":"none"`,
				`"health":"none","conditions":[{"type":"Ready","status":"True"},{"type":"Degraded","status":"True","reason":"ImagePullFailed"},{"type":"Available","status":"True"}]`, 1)+`}`)
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
	table := "NAME   ID     STATE     AVAILABLE   HEALTH   RESTARTS   AGE   IMAGE      PORTS\n" +
		"a      id-a   running   no          none     1          30s   alpine:3   8080->80\n"
	wants(t, flowctl(t, "", "get", "a"), result{Out: table})
	wants(t, flowctl(t, "", "get", "ill"), result{Out: "NAME   ID       STATE                       AVAILABLE   HEALTH   RESTARTS   AGE   IMAGE      PORTS\n" +
		"ill    id-ill   running (ImagePullFailed)   yes         none     1          30s   alpine:3   8080->80\n"})
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
	wants(t, flowctl(t, "", "get"), result{Out: "NAME   ID   STATE   AVAILABLE   HEALTH   RESTARTS   AGE   IMAGE   PORTS\n"})
	wants(t, flowctl(t, "", "get", "-o", "json"), result{Out: "[]\n"})
	wants(t, flowctl(t, "", "get", "-o", "yaml"), result{})
}

// What is shown is not how things are now while the engine is away, or a restored store waits; who asks is told so, and since when,
// once. What is being deleted is marked.
func TestGet_WhileTheEngineIsAway(t *testing.T) {
	f := newFake(t)
	const told = "what is shown is what was seen last: EngineUnavailable: no answer; since 2026-01-02T03:04:05Z\n"
	f.on["list_containers"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"engine_away":{"message":"EngineUnavailable: no answer","since":"2026-01-02T03:04:05.6Z"},"containers":[`+
			item("a", time.Minute, `,"status":"running","deleted_at":"2026-01-02T03:04:05Z","health":"none","ports":{}`)+`]}`)
	}
	conditions := `"conditions":[{"type":"Ready","status":"Unknown","reason":"EngineUnavailable","message":"EngineUnavailable: no answer; since 2026-01-02T03:04:05Z"}]`
	f.on["get_container"] = func(s *session, r request) {
		whole := strings.Replace(object("a"), `"created_at"`, `"deleted_at":"2026-01-02T03:04:05Z","created_at"`, 1)
		s.ack(r, `{"ok":true,"container":`+strings.Replace(whole, `"health":"none"`, `"health":"none",`+conditions, 1)+`}`)
	}
	f.on["get_container_status"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"container_id":"id-a","name":"a","state":"running",`+conditions+`}`)
	}
	row := "a      id-a   running (being deleted)   no          none     %d          60s   alpine:3   -\n"
	table := "NAME   ID     STATE                     AVAILABLE   HEALTH   RESTARTS   AGE   IMAGE      PORTS\n" + fmt.Sprintf(row, 0)
	wants(t, flowctl(t, "", "get"), result{Out: table, Err: told})
	got := flowctl(t, "", "get", "a", "a")
	if !strings.Contains(got.Out, "running (being deleted)") || got.Err != told {
		t.Errorf("by name: %+v", got)
	}
	for _, args := range [][]string{{"top"}, {"top", "a"}} {
		if got := flowctl(t, "", args...); got.Code != 0 || got.Err != told {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// What the server advises is told in the words of flowctl.
func TestGet_HintsAreFlowctls(t *testing.T) {
	f := newFake(t)
	f.on["get_container"] = func(s *session, r request) {
		s.refuse(r, "container_not_found", `there is no container "x"; list_containers names all`, `{}`)
	}
	wants(t, flowctl(t, "", "get", "x"), result{Code: exitError, Err: "error: there is no container \"x\"; flowctl get lists all (container_not_found)\n"})
}

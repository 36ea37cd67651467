package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// changed is the body of container_changed, about a container that is old.
func changed(kind, name, state, version string) string {
	return fmt.Sprintf(`{"type":%q,"resource_version":%q,"container":{"id":"id-%s","name":%q,"created_at":%q,"generation":1,"resource_version":%[2]q,
		"spec":{"image":"alpine:3"},"status":{"state":%[6]q,"health":"none","observed_generation":1,"restart_count":0}}}`,
		kind, version, name, name, time.Now().Add(-old).UTC().Format(time.RFC3339Nano), state)
}

// serveList answers list_containers by items, at a version.
func serveList(f *fake, version string, items ...string) {
	f.on["list_containers"] = func(s *session, r request) {
		s.ack(r, fmt.Sprintf(`{"ok":true,"resource_version":%q,"containers":[%s]}`, version, strings.Join(items, ",")))
	}
}

const (
	watchHeader = "NAME               ID                     STATE        AVAILABLE   HEALTH      RESTARTS   AGE    IMAGE                      PORTS"
	watchRow    = "%-16s   id-%-17s   %-10s   no          none        0          4d     alpine:3                   -"
	old         = 100 * time.Hour // so that the age is the same in the end
)

func row(name, state string) string { return fmt.Sprintf(watchRow, name, name, state) }

func running1(name string) string { return item(name, old, `,"status":"running","health":"none"`) }

// A watch begins with a list and goes on from its version, over lost connections from where it was.
func TestGetWatch(t *testing.T) {
	f := newFake(t)
	serveList(f, "v5", running1("a"), running1("b"))
	sessions := 0
	f.on["subscribe"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"resource_version":"v5"}`)
		switch sessions++; sessions {
		case 1:
			s.emit("container_changed", changed("modified", "a", "running", "v6")) // nothing that is shown has changed
			s.emit("container_changed", changed("modified", "a", "stopped", "v7"))
			s.emit("status_changed", `{"resource_version":"v9","container_id":"id-a"}`)
			s.emit("container_changed", changed("added", "c", "created", "v8"))
			_ = s.conn.Close()
		case 2:
			s.emit("container_changed", changed("deleted", "never-seen", "running", "v9"))
			s.emit("container_changed", changed("deleted", "b", "running", "v10"))
		}
	}
	w := begin(t, "get", "--watch", "-l", "x=y")
	w.shows(watchHeader, row("a", "running"), row("b", "running"), row("a", "stopped"), row("c", "created"), row("b", "deleted"))
	got := w.interrupted()
	if got.Code != exitInterrupted || strings.Count(got.Err, "\n") != 1 || !strings.HasSuffix(got.Err, "; connecting again\n") {
		t.Errorf("got %+v", got)
	}
	labels := map[string]any{"x": "y"}
	subscription := func(version string) request {
		return request{Event: "subscribe", Body: map[string]any{"events": []any{"container_changed"}, "labels": labels, "resource_version": version}}
	}
	asked(t, f, request{Event: "list_containers", Body: map[string]any{"labels": labels}}, subscription("v5"), subscription("v8"))
}

// What the server does not know any more, and what it says it dropped, is made up for by a list and what differs from it.
func TestGetWatch_Anew(t *testing.T) {
	for name, tt := range map[string]struct {
		lose func(s *session)
		asks []any // from which versions
	}{
		"dropped": {func(s *session) { s.emit("events_dropped", `{"from":"v6","to":"v9"}`) }, []any{"v5", "v9"}},
		"expired": {func(s *session) { _ = s.conn.Close() }, []any{"v5", "v5", "v9"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			serveList(f, "v5", running1("a"), running1("b"))
			f.on["subscribe"] = func(s *session, r request) {
				switch r.Body["resource_version"] {
				case "v5":
					if len(f.seen()) > 2 {
						s.refuse(r, "resource_expired_error", "list again", `{}`)
						return
					}
					serveList(f, "v9", running1("b"), item("c", old, `,"status":"created","health":"none"`))
					s.ack(r, `{"ok":true,"resource_version":"v5"}`)
					tt.lose(s)
				case "v9":
					s.ack(r, `{"ok":true,"resource_version":"v9"}`)
					s.emit("container_changed", changed("modified", "c", "running", "v10"))
				default:
					t.Errorf("subscribed from %v", r.Body["resource_version"])
				}
			}
			w := begin(t, "get", "-w")
			w.shows(watchHeader, row("a", "running"), row("b", "running"), row("c", "created"), row("a", "deleted"), row("c", "running"))
			w.interrupted()
			var asks []any
			for _, r := range f.seen() {
				if r.Event == "subscribe" {
					asks = append(asks, r.Body["resource_version"])
				}
			}
			if diff := cmp.Diff(tt.asks, asks); diff != "" {
				t.Errorf("subscribed from (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGetWatch_NamesAsJSON(t *testing.T) {
	f := newFake(t)
	serveObjects(f)
	serveList(f, "v5")
	object := func(version string) string {
		return fmt.Sprintf(`{"id":"id-a","name":"a","resource_version":%q}`, version)
	}
	f.on["get_container"] = func(s *session, r request) { s.ack(r, `{"container":`+object("v3")+`}`) }
	f.on["subscribe"] = func(s *session, r request) {
		s.ack(r, `{"ok":true}`)
		for _, version := range []string{"v3", "v6"} { // what was shown is not shown again
			s.emit("container_changed", `{"type":"modified","resource_version":"`+version+`","container":`+object(version)+`}`)
		}
		s.emit("container_changed", `{"type":"deleted","resource_version":"v7","container":{"id":"id-a"}}`)
	}
	w := begin(t, "get", "a", "--watch", "-o", "json")
	w.shows(`{"type":"added","container":`+object("v3")+`}`, `{"type":"modified","container":`+object("v6")+`}`, `{"type":"deleted","container":{"id":"id-a"}}`)
	w.interrupted()
	asked(t, f, request{Event: "list_containers", Body: map[string]any{"limit": 1.0}}, request{Event: "get_container", Body: map[string]any{"container_id": "a"}},
		request{Event: "subscribe", Body: map[string]any{"events": []any{"container_changed"}, "container_ids": []any{"id-a"}, "resource_version": "v5"}})
}

// What is refused, what cannot be read and what nobody reads ends a watch; so does a server that was never there.
func TestGetWatch_Err(t *testing.T) {
	tests := map[string]struct {
		subscribe func(f *fake, s *session, r request)
		want      string
	}{
		"refused":        {func(f *fake, s *session, r request) { s.refuse(r, "permission_error", "not you", `{}`) }, "error: not you (permission_error)\n"},
		"unreadable":     {func(f *fake, s *session, r request) { s.ack(r, `{}`); s.emit("container_changed", `7`) }, "error: the server sent something that is not Socket.IO: container_changed \"7\"\n"},
		"no container":   {func(f *fake, s *session, r request) { s.ack(r, `{}`); s.emit("container_changed", `{"container":7}`) }, "error: the server sent something that is not Socket.IO: read the container: "},
		"refused, later": {func(f *fake, s *session, r request) { f.welcome = refuseToken; s.ack(r, `{}`); _ = s.conn.Close() }, "refused the session: no such token (authentication_error); give a token with --token or FLOWCTL_TOKEN\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			serveList(f, "v5")
			f.on["subscribe"] = func(s *session, r request) { tt.subscribe(f, s, r) }
			w := begin(t, "get", "--watch")
			w.shows(watchHeader)
			if got := w.ends(); got.Code != exitError || !strings.Contains(got.Err, tt.want) {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
	t.Run("never there", func(t *testing.T) {
		newFake(t)
		got := flowctl(t, "", "get", "--watch", "--server", "http://127.0.0.1:1")
		if got.Code != exitError || !strings.Contains(got.Err, "connection refused") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		f := newFake(t)
		serveList(f, "v5")
		var errs strings.Builder
		if code := run(soon(t), []string{"get", "-w"}, strings.NewReader(""), full{}, &errs); code != exitError || errs.String() != "error: write to stdout: no space left\n" {
			t.Errorf("%d %q", code, errs.String())
		}
	})
}

func refuseToken(s *session, _ string) {
	s.send(`44{"message":"no such token","data":{"error":true,"error_type":"authentication_error","message":"no such token"}}`)
}

// A listener hears what came before an acknowledgement before it, and what came behind it later, whoever is faster.
func TestClient_Listen_Order(t *testing.T) {
	const count = 200
	f := newFake(t)
	f.on["ask"] = func(s *session, r request) {
		for range count {
			s.emit("before", `{}`)
		}
		s.ack(r, `{}`)
		for range count {
			s.emit("after", `{}`)
		}
		s.send("41")
	}
	for range 20 {
		c := dialFake(t, f)
		heard := map[string]int{}
		c.Listen(func(e Event) error { heard[e.Name]++; return nil })
		if _, err := c.Request(soon(t), "ask", nil); err != nil {
			t.Fatal(err)
		}
		if heard["before"] != count || heard["after"] != 0 {
			t.Fatalf("with the acknowledgement %v are heard", heard)
		}
		if err := c.Attend(soon(t)); err == nil || !strings.Contains(err.Error(), "ended the session") || heard["after"] != count {
			t.Fatalf("%v, heard %v: not all that came before the end", err, heard)
		}
	}
}

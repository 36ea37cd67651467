package test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// A web page whose name was rebound to this host sends matching Host and Origin; neither is on the lists.
func TestFront_ARebindingPageIsRefused(t *testing.T) {
	m := newManager(t)
	_, port, err := net.SplitHostPort(m.addr)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, host, origin string
		want                     int
	}{
		{"rebound polling", "/socket.io/?EIO=4&transport=polling", "evil.example:" + port, "http://evil.example:" + port, http.StatusMisdirectedRequest},
		{"rebound health", "/healthz", "evil.example:" + port, "", http.StatusMisdirectedRequest},
		{"rebound readiness", "/readyz", "evil.example:" + port, "", http.StatusMisdirectedRequest},
		{"rebound description", "/asyncapi.yaml", "evil.example:" + port, "", http.StatusMisdirectedRequest},
		{"description", "/asyncapi.yaml", "", "", http.StatusOK},
		{"foreign origin", "/socket.io/?EIO=4&transport=polling", "", "http://evil.example", http.StatusForbidden},
		{"null origin", "/socket.io/?EIO=4&transport=polling", "", "null", http.StatusForbidden},
		{"another port of this host", "/socket.io/?EIO=4&transport=polling", "", "http://127.0.0.1:1", http.StatusForbidden},
		{"own origin", "/socket.io/?EIO=4&transport=polling", "", "http://" + m.addr, http.StatusOK},
		{"no origin", "/socket.io/?EIO=4&transport=polling", "", "", http.StatusOK},
		{"localhost", "/socket.io/?EIO=4&transport=polling", "localhost:" + port, "http://localhost:" + port, http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url()+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = tt.host
			if tt.origin != "" {
				request.Header.Set("Origin", tt.origin)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != tt.want {
				t.Errorf("got %s, want %d", answer.Status, tt.want)
			}
		})
	}
	for _, origin := range []string{"http://evil.example:" + port, "null"} {
		_, answer, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+m.addr+"/socket.io/?EIO=4&transport=websocket", http.Header{"Origin": {origin}})
		if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("WebSocket with origin %s: %v, %v", origin, answer, err)
		}
	}
}

func TestFront_MalformedRequests(t *testing.T) {
	m := newManager(t)
	other := m.dial()
	c := m.dial()
	id := c.must(t, "create_container", object{"name": named(t, "a"), "image": echoImage})["container_id"]
	keys := object{}
	for i := range 100_000 {
		keys[fmt.Sprintf("k%05d", i)] = i
	}
	fields := func(answer object) string {
		details, _ := answer["details"].(object)
		list, _ := details["fields"].([]any)
		var names []string
		for _, f := range list[:min(len(list), 3)] {
			names = append(names, f.(object)["field"].(string))
		}
		return strings.Join(names, " ")
	}
	tests := []struct {
		name   string
		event  string
		body   any
		fields string
	}{
		{"unknown field", "create_container", object{"image": echoImage, "imagee": "x"}, "imagee"},
		{"wrong types", "create_container", object{"image": 7, "environment": []any{}}, "environment image"},
		{"null for an object", "start_container", nil, "."},
		{"null for a field", "start_container", object{"container_id": nil}, "container_id"},
		{"a string", "start_container", "web", "."},
		{"an array", "list_containers", []any{}, "."},
		{"a number", "get_container", 7, "."},
		{"missing", "get_container", object{}, "container_id"},
		{"many bad fields", "create_container", object{"image": "", "name": "-", "desired_state": "up"}, "name image desired_state"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fields(c.refused(t, tt.event, tt.body, "validation_error")); got != tt.fields {
				t.Errorf("fields: got %q, want %q", got, tt.fields)
			}
		})
	}
	t.Run("unknown event", func(t *testing.T) { c.refused(t, "no_such_event", object{}, "validation_error") })
	t.Run("100,000 keys", func(t *testing.T) { refusedOrClosed(t, m, "create_container", keys) })
	t.Run("depth 10,000", func(t *testing.T) {
		refusedOrClosed(t, m, "create_container", object{"image": nested(10_000)})
	})
	if answer := other.must(t, "list_containers", object{"labels": object{}}); answer["count"] != 1.0 {
		t.Errorf("another client sees %v", answer)
	}
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
}

func nested(depth int) any {
	var v any = object{}
	for range depth {
		v = []any{v}
	}
	return v
}

// refusedOrClosed sends what a server may answer or hang up on, and proves that it lives.
func refusedOrClosed(t *testing.T, m *manager, event string, body any) {
	t.Helper()
	c := m.dial()
	answer, err := c.ask(event, body)
	if err == nil && answer["error_type"] != "validation_error" {
		t.Errorf("got %v", answer)
	}
	if err != nil {
		t.Logf("closed: %v", err)
	}
	if err := m.probe("/healthz"); err != nil || !m.alive() {
		t.Errorf("the manager: %v", err)
	}
}

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// A session that goes from everything to a part and back, while things happen all the time, is told each of them once.
func TestSubscribe_NothingIsLostOrDoubledAsItBegins(t *testing.T) {
	t.Parallel()
	w := watching(t, store.Options{})
	c := w.admit(api.Operator, 0)
	const total = 400
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range total {
			w.declare("web", fmt.Sprint("x", i), nil)
		}
	}()
	for i, asking := 0, true; asking; i++ {
		select {
		case <-done:
			asking = false
		default:
		}
		event, body := api.Subscribe, `{"events":["activity_log"]}`
		if i%2 == 1 {
			event, body = api.Unsubscribe, `{}`
		}
		c.tell(event, body)
	}
	generations := 0
	for generations < total {
		h := c.next(t)
		if h.name != api.ActivityLog {
			continue
		}
		generations++
		if got := h.body["details"].(map[string]any)["generation"]; got != float64(generations) {
			t.Fatalf("generation %v was told where %d was next", got, generations)
		}
	}
}

func TestSubscribe_Narrows(t *testing.T) {
	w := watching(t, store.Options{})
	w.declare("web", "x", map[string]string{"tier": "front"})
	db := w.declare("db", "x", map[string]string{"tier": "back"})
	from := w.Store.Version(w.Store.Revision())
	story := func() {
		w.declare("web", "y", map[string]string{"tier": "front"})
		w.declare("db", "x", map[string]string{"tier": "front"}) // comes to be one of the front
		w.declare("web", "y", map[string]string{"tier": "back"}) // and this one leaves it
		w.declare("web", "z", map[string]string{"tier": "back"})
		w.declare("new", "x", nil)
		w.bury(db)
	}
	tests := map[string]struct {
		body string
		want []string
	}{
		"containers":         {`{"container_ids":["` + db + `"],"events":["container_changed"]}`, []string{"modified db", "deleted db"}},
		"labels":             {`{"labels":{"tier":"front"},"events":["container_changed"]}`, []string{"modified web", "added db", "deleted web", "deleted db"}},
		"both":               {`{"container_ids":["web"],"labels":{"tier":"back"},"events":["container_changed"]}`, []string{"added web", "modified web"}},
		"events":             {`{"container_ids":["` + db + `"],"events":["activity_log"]}`, []string{api.ActivityLog}},
		"all events":         {`{"container_ids":["` + db + `"]}`, []string{"modified db", api.ActivityLog, "deleted db"}},
		"events by labels":   {`{"labels":{"tier":"back"},"events":["activity_log"]}`, []string{api.ActivityLog, api.ActivityLog}},
		"nothing of concern": {`{"labels":{"tier":"none"},"events":["activity_log","engine_available"]}`, nil},
	}
	live := map[string]*client{}
	for name, tt := range tests {
		live[name] = w.admit(api.Operator, 0)
		w.subscribe(live[name], tt.body)
	}
	story()
	for name, tt := range tests {
		body := strings.Replace(tt.body, "{", fmt.Sprintf(`{"resource_version":%q,`, from), 1)
		if diff := cmp.Diff(tt.want, w.subscribe(w.admit(api.Operator, 0), body)); diff != "" {
			t.Errorf("%s, told again (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(tt.want, w.subscribe(live[name], tt.body)); diff != "" {
			t.Errorf("%s, as it happened (-want +got):\n%s", name, diff)
		}
	}
}

// What is not kept is narrowed by the container that it is about, where it is about one.
func TestSubscribe_NarrowsWhatIsToldOnce(t *testing.T) {
	w := watching(t, store.Options{})
	web, db := w.declare("web", "x", map[string]string{"tier": "front"}), w.declare("db", "x", nil)
	for body, want := range map[string]string{
		`{"container_ids":["web"]}`:                            "from web, engine",
		`{"labels":{"tier":"front"}}`:                          "from web, engine",
		`{"events":["message_received"]}`:                      "from web, from db",
		`{"container_ids":["db"],"events":["status_changed"]}`: "",
		`{}`: "from web, from db, engine",
	} {
		c := w.admit(api.Operator, 0)
		w.subscribe(c, body)
		w.Broadcast(api.Received{ContainerID: web, Message: json.RawMessage(`{"from":"web"}`)}.Event())
		w.Broadcast(api.Received{ContainerID: db, Message: json.RawMessage(`{"from":"db"}`)}.Event())
		w.Broadcast(api.EngineNews(nil))
		c.Emit(api.ErrorEvent, marker)
		var told []string
		for _, h := range c.until(t, func(h heard) bool { return h.name == api.ErrorEvent }) {
			switch h.name {
			case api.MessageReceived:
				told = append(told, fmt.Sprint("from ", h.body["message"].(map[string]any)["from"]))
			case api.EngineAvailable:
				told = append(told, "engine")
			}
		}
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("%s: told %q, want %q", body, got, want)
		}
	}
}

func TestSubscribe_Refuses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := watching(t, store.Options{Now: func() time.Time { return now }, Retention: time.Hour})
	first := w.declare("web", "x", nil)
	old := w.Store.Version(0)
	now = now.Add(3 * time.Hour)
	for i := range moreThanInMemory {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	c := w.admit(api.Operator, 0)
	tests := []struct{ body, errorType, says string }{
		{`{"events":["status_changed","nonsense"]}`, "validation_error", `events[1]: there is no event "nonsense"`},
		{`{"events":["container_created"]}`, "validation_error", `events[0]: there is no event "container_created" to subscribe to`},
		{`{"container_ids":["web",""]}`, "validation_error", "container_ids[1]"},
		{`{"container_ids":["web","no-such"]}`, "container_not_found", `"no-such"`},
		{`{"container_ids":[` + strings.Repeat(`"web",`, 1000) + `"web"]}`, "validation_error", "container_ids: has 1001 entries"},
		{`{"events":[` + strings.Repeat(`"status_changed",`, 50) + `"status_changed"]}`, "validation_error", "events: has 51 entries"},
		{`{"labels":{"a":7}}`, "validation_error", "labels.a"},
		{`{"labels":{"a":"` + strings.Repeat("x", 4097) + `"}}`, "validation_error", "labels.a: is longer than a label can be"},
		{`{"labels":{` + labels(21) + `}}`, "validation_error", "labels: has 21 entries"},
		{`{"resource_version":"` + old + `"}`, "resource_expired_error", "list_containers, then subscribe from the resource_version of the list"},
		{`{"resource_version":"` + w.Store.Version(9999) + `"}`, "resource_expired_error", "list_containers"},
		{`{"since":"yesterday"}`, "validation_error", "since: must be a time"},
		{`{"since":"2026-01-02T03:04:05Z","resource_version":"x-1"}`, "validation_error", "since: does not go with resource_version"},
		{`{"resource_version":"other-1"}`, "resource_expired_error", "list_containers"},
		{`{"resource_version":"nonsense"}`, "resource_expired_error", "list_containers"},
		{`{"resource_version":"` + w.Store.Version(w.Store.Revision()+1) + `.1"}`, "resource_expired_error", "list_containers"},
		{`{"resource_version":"` + w.Store.Version(w.Store.Revision()) + `.2"}`, "validation_error", "resource_version: \""},
	}
	for _, tt := range tests {
		ack := c.ask(t, api.Subscribe, tt.body)
		if ack["error_type"] != tt.errorType || !strings.Contains(fmt.Sprint(ack["message"]), tt.says) {
			t.Errorf("%.100s: %v", tt.body, ack)
		}
		if f := w.currentFilter(c); f.narrowed {
			t.Errorf("%.100s: was refused, and narrowed the session to %v", tt.body, f.describe())
		}
	}
	for body, field := range map[string]string{`{"container_ids":["web"]}`: "container_ids", `{"events":["activity_log"]}`: "events"} {
		if ack := c.ask(t, api.Unsubscribe, body); !slices.Contains(fieldsOf(ack), field) {
			t.Errorf("unsubscribe %s: %v", body, ack)
		}
	}
	w.bury(first)
	if ack := c.ask(t, api.Subscribe, fmt.Sprintf(`{"container_ids":[%q]}`, first)); ack["ok"] != true {
		t.Errorf("a deleted one by its id: %v", ack)
	}
}

// labels are so many, in JSON.
func labels(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"l%d":"x"`, i)
	}
	return strings.Join(list, ",")
}

// What an acknowledgement calls its version can be resumed from, though nothing was read after it.
func TestSubscribe_AcknowledgesWhereItBegins(t *testing.T) {
	w := watching(t, store.Options{})
	w.declare("web", "x", nil)
	begin := w.Store.Version(w.Store.Revision())
	c := w.admit(api.Operator, 0)
	if ack := c.ask(t, api.Subscribe, `{}`); ack["resource_version"] != begin {
		t.Errorf("from now on: %v, not %s", ack, begin)
	}
	w.declare("web", "y", nil)
	for _, version := range []string{begin, w.Store.VersionOf(2, 1, 2)} {
		if ack := c.ask(t, api.Subscribe, fmt.Sprintf(`{"resource_version":%q}`, version)); ack["resource_version"] != version {
			t.Errorf("from %s: %v", version, ack)
		}
	}
}

// A viewer's containers are masked, now and when told again.
func TestSubscribe_AViewerSeesNoSecretPlace(t *testing.T) {
	w := watching(t, store.Options{})
	viewer, operator := w.admit(api.Viewer, 0), w.admit(api.Operator, 0)
	from := w.Store.Version(0)
	w.bury(w.declare("gone", "x", nil))
	w.declare("web", "x", nil)
	for c, wanted := range map[*client]bool{viewer: false, operator: true} {
		c.ask(t, api.Subscribe, fmt.Sprintf(`{"resource_version":%q}`, from))
		told := c.until(t, func(h heard) bool { return h.name == api.Subscribed })
		if text := string(api.Encode(bodies(told))); strings.Contains(text, planted) != wanted {
			t.Errorf("as %s: %s", c.Principal().Role, text)
		}
		if n := len(told); n < 4 {
			t.Errorf("as %s: only %d events", c.Principal().Role, n)
		}
	}
}

// Whoever cannot be told that all was sent, as there is no room, is told that another request came first.
func TestSubscribe_IsAnsweredOnce(t *testing.T) {
	w, _ := prints(t, func(ctx context.Context, _ api.LogOptions, each func(api.LogLine) error) error {
		for {
			if err := each(api.LogLine{Stream: api.Stdout, Text: "x"}); err != nil {
				return err
			}
		}
	})
	const room = 16
	c := w.admit(api.Operator, room)
	log := c.ask(t, api.GetLogs, `{"container_id":"web","follow":true}`)["log_id"]
	eventually(t, "its share is full", func() bool { return c.Paced() == room })
	c.tell(api.Subscribe, `{"request_id":"first"}`)
	c.tell(api.Subscribe, `{"request_id":"second"}`)
	c.tell(api.StopLogs, fmt.Sprintf(`{"log_id":%q}`, log))
	var answers []string
	for done := false; !done; {
		h := c.next(t)
		if id, ok := h.body["request_id"].(string); ok {
			answers = append(answers, id+" "+h.name)
		}
		done = h.name == api.Subscribed
	}
	if diff := cmp.Diff([]string{"first error", "second subscribed"}, answers); diff != "" {
		t.Error(diff)
	}
}

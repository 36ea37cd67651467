package test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Secrets of a container's environment, and what is one by its key or form, show in nothing that is said about the
// container: not in the log, in no event, not in its status.
func TestSecrets_AreSaidToNobody(t *testing.T) {
	const own, byKey, byForm = "hunter2/über geheim", "k-9f8e7d6c", "f-1a2b3c4d"
	m := newManager(t)
	watcher := m.dial()
	c := m.dial()
	environment := object{"DB_PASSWORD": own, "GREETING": "visible-value"}
	base64Own := base64.StdEncoding.EncodeToString([]byte(own))

	// By the engine's own words, which come with the error, as status and as activity.
	broken := c.must(t, "apply_container", object{"name": named(t, "broken"), "image": echoImage, "environment": environment, "request_id": "broken", "init": false,
		"entrypoint": []string{"/no/such/visible-value " + own + " " + url.PathEscape(own) + " token=" + byKey}})["container_id"].(string)
	refusal, err := c.await("error", func(o object) bool { return o["request_id"] == "broken" })
	if err != nil {
		t.Fatal(err)
	}
	// By refusals, which quote what was asked for.
	c.refused(t, "create_container", object{"image": "https://me:" + byForm + "@registry/app", "environment": environment}, "validation_error")
	c.refused(t, "create_container", object{"image": echoImage, "environment": environment, "volumes": object{"/srv/" + own: "/x"}}, "policy_error")
	c.refused(t, "get_container", object{"container_id": "password=" + byKey}, "container_not_found")
	// By the flow itself: what it raises, what it prints before it crashes, what its connection is refused for.
	id := c.run(t, object{"name": named(t, "teller"), "environment": environment})
	tell := func(message object) {
		t.Helper()
		c.must(t, "send_message", object{"container_id": id, "message": message, "expect_reply": true})
	}
	tell(object{"type": "actor", "actor": own, "event": "moved", "data": object{"apiKey": byKey, "text": []any{"Bearer " + byForm, base64Own}, "note": "visible-value"}})
	raised, err := watcher.await("activity_log", func(o object) bool { return o["activity_type"] == "actor_event" })
	if err != nil {
		t.Fatal(err)
	}
	tell(object{"type": "log", "line": "visible-value " + base64Own + "\n" + own + " " + url.QueryEscape(own) + " --password=" + byKey})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "exit", "code": 3}})
	crashed := watcher.wait(t, "container_crashed", id)
	status := []any{c.status(t, broken), c.must(t, "get_container_status", object{"container_id": broken})}
	m.stop()

	said := map[string]any{"the error": refusal, "the actor event": raised, "the crash": crashed, "the status": status, "the log": m.log.lines(t)}
	for where, what := range said {
		text, err := json.Marshal(what)
		if err != nil {
			t.Fatal(err)
		}
		tellsNothing(t, where, string(text), own, byKey, byForm)
		if where != "the log" && !strings.Contains(string(text), "visible-value") {
			t.Errorf("%s: %s: nothing was to be seen", where, text)
		}
	}
	for e := range drain(watcher) {
		if e.Name != "message_received" { // the message itself
			tellsNothing(t, e.Name, fmt.Sprint(e.Data), own, byKey, byForm)
		}
	}
}

// tellsNothing looks for each secret in every way of writing it.
func tellsNothing(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s))} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s tells %q: %.300s", where, form, text[max(0, at-100):])
			}
		}
	}
}

// drain gives the events that have come already and were not awaited.
func drain(c *wsClient) <-chan event {
	c.close()
	return c.events
}

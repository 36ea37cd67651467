package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// printer is a container's output as a test wants it.
type printer func(ctx context.Context, o api.LogOptions, each func(api.LogLine) error) error

func (p printer) Output(ctx context.Context, _ string, o api.LogOptions, each func(api.LogLine) error) error {
	return p(ctx, o, each)
}

func (p printer) Keep(string) (release func()) { return func() {} }

// prints is a server of one container that runs and whose output is p.
func prints(t *testing.T, p printer) (*quietServer, string) {
	t.Helper()
	w := watching(t, store.Options{})
	w.Logs = p
	id := w.declare("web", "x", nil)
	_, err := w.Store.Observe(t.Context(), id, func(c *store.Record) []api.Event {
		c.Status.State, c.Status.DockerID = api.StateRunning, strings.Repeat("a", 64)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, id
}

// A log that never ends, and whose reader does not read, is read no further than its session has room for.
func TestLogs_WaitForTheirReader(t *testing.T) {
	var written int
	w, _ := prints(t, func(ctx context.Context, _ api.LogOptions, each func(api.LogLine) error) error {
		for ; ; written++ {
			if err := each(api.LogLine{Stream: api.Stdout, Text: strings.Repeat("x", 100)}); err != nil {
				return err
			}
		}
	})
	const room = 16
	c := w.admit(api.Operator, room)
	log := c.ask(t, api.GetLogs, `{"container_id":"web","follow":true}`)["log_id"]
	eventually(t, "its share is full", func() bool { return c.Paced() == room })
	c.tell(api.StopLogs, fmt.Sprintf(`{"log_id":%q}`, log))
	lines := 0
	for _, h := range c.until(t, func(h heard) bool { return h.body["eof"] == true }) {
		if list, ok := h.body["lines"].([]any); ok {
			lines += len(list)
		}
	}
	if most := (room + 2) * tailBatchLines; lines == 0 || lines > most {
		t.Errorf("%d lines were read for one who does not read; at most %d fit", lines, most)
	}
}

// Lines of one stream that are there together are sent together, each secret in them masked, those of several lines line by line.
func TestLogs_AreMaskedAndInOrder(t *testing.T) {
	w, id := prints(t, func(_ context.Context, _ api.LogOptions, each func(api.LogLine) error) error {
		for _, l := range []api.LogLine{{Stream: "stdout", Text: "1"}, {Stream: "stderr", Text: "2 alpha-line"}, {Stream: "stdout", Text: "3 omega-line=x password=hunter2"}} {
			if err := each(l); err != nil {
				return err
			}
		}
		return api.Errorf(api.DockerUnavailable, "the engine said omega-line")
	})
	_, err := w.Store.Declare(t.Context(), store.Declaration{ContainerID: id, Change: func(wish *store.Wish) error {
		wish.Spec.Environment = map[string]string{"API_TOKEN": "alpha-line\nomega-line"}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := w.admit(api.Operator, 0)
	c.tell(api.GetLogs, `{"container_id":"web","request_id":"r"}`)
	var said []string
	for {
		h := c.next(t)
		if h.name == api.ErrorEvent {
			if text := string(api.Encode(h.body)); strings.Contains(text, "omega") || h.body["request_id"] != "r" || h.body["error_type"] != "docker_unavailable" {
				t.Errorf("the end: %s", text)
			}
			break
		}
		if list, ok := h.body["lines"].([]any); ok {
			said = append(said, fmt.Sprint(h.body["stream"], list))
		}
	}
	want := []string{"stdout[1]", "stderr[2 [FILTERED]]", "stdout[3 [FILTERED]=x password=[FILTERED]]"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

// A log bears the id that its client chose, so that its lines are known whenever the acknowledgement is handled. Each session has its
// own ids, and one that has ended can be used again.
func TestLogs_BearTheIDThatTheirClientChose(t *testing.T) {
	lines := make(chan api.LogLine)
	w, _ := prints(t, func(ctx context.Context, _ api.LogOptions, each func(api.LogLine) error) error {
		for {
			select {
			case l := <-lines:
				if err := each(l); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	const asked = `{"container_id":"web","log_id":"Mine_1.-","follow":true}`
	one, other := w.admit(api.Operator, 0), w.admit(api.Operator, 0)
	for _, c := range []*client{one, other} {
		if ack := c.ask(t, api.GetLogs, asked); ack["ok"] != true || ack["log_id"] != "Mine_1.-" {
			t.Fatalf("%v", ack)
		}
		if ack := c.ask(t, api.GetLogs, asked); ack["error_type"] != "conflict_error" {
			t.Errorf("the same again: %v", ack)
		}
		c.until(t, func(h heard) bool { return h.body["error_type"] == "conflict_error" })
	}
	for range 2 {
		lines <- api.LogLine{Stream: api.Stdout, Text: "x"}
	}
	one.tell(api.StopLogs, `{"log_id":"Mine_1.-"}`)
	for _, h := range one.until(t, func(h heard) bool { return h.body["eof"] == true }) {
		if h.name == api.ContainerLogs && h.body["log_id"] != "Mine_1.-" {
			t.Errorf("told %s", h.raw)
		}
	}
	eventually(t, "the id can be used again", func() bool { return one.ask(t, api.GetLogs, asked)["ok"] == true })
	if ack := other.ask(t, api.GetLogs, asked); ack["error_type"] != "conflict_error" {
		t.Errorf("the other's ended with it: %v", ack)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", 65), "ü"} {
		if ack := one.ask(t, api.GetLogs, fmt.Sprintf(`{"container_id":"web","log_id":%q}`, bad)); !slices.Contains(fieldsOf(ack), "log_id") {
			t.Errorf("%q: %v", bad, ack)
		}
	}
}

// Where a container was replaced before its last run was noticed, that is read first, to its end.
func TestLogs_FollowReadsWhatWasReplaced(t *testing.T) {
	ran := make(chan struct{})
	w, id := prints(t, func(ctx context.Context, o api.LogOptions, each func(api.LogLine) error) error {
		switch {
		case !o.Follow:
			return each(api.LogLine{Stream: api.Stdout, At: time.Unix(2, 0), Text: "the last run"})
		case o.Since.Unix() < 1:
			return each(api.LogLine{Stream: api.Stdout, At: time.Unix(1, 0), Text: "the first run"})
		}
		close(ran)
		<-ctx.Done()
		return nil
	})
	c := w.admit(api.Operator, 0)
	c.tell(api.GetLogs, `{"container_id":"web","follow":true,"since":"1970-01-01T00:00:00Z"}`)
	hears := func(line string) {
		t.Helper()
		c.until(t, func(h heard) bool {
			lines, _ := h.body["lines"].([]any)
			return len(lines) == 1 && lines[0] == line
		})
	}
	hears("the first run")
	_, err := w.Store.Observe(t.Context(), id, func(r *store.Record) []api.Event {
		r.Status.DockerID = strings.Repeat("b", 64)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	hears("the last run")
	<-ran
}

func TestLogs_AreRefused(t *testing.T) {
	w, _ := prints(t, func(ctx context.Context, _ api.LogOptions, _ func(api.LogLine) error) error {
		<-ctx.Done()
		return nil
	})
	viewer, c, other := w.admit(api.Viewer, 0), w.admit(api.Operator, 0), w.admit(api.Operator, 0)
	for _, event := range []string{api.GetLogs, api.StopLogs} {
		if ack := viewer.ask(t, event, `{"container_id":"web"}`); ack["error_type"] != "permission_error" {
			t.Errorf("%s of a viewer: %v", event, ack)
		}
	}
	var log any
	for range maxTailsOfOne {
		if log = c.ask(t, api.GetLogs, `{"container_id":"web","follow":true}`)["log_id"]; log == nil {
			t.Fatal("a log was refused")
		}
	}
	if ack := c.ask(t, api.GetLogs, `{"container_id":"web","follow":true}`); ack["error_type"] != "rate_limit_error" {
		t.Errorf("one more: %v", ack)
	}
	stop := fmt.Sprintf(`{"log_id":%q}`, log)
	if ack := other.ask(t, api.StopLogs, stop); ack["error_type"] != "validation_error" {
		t.Errorf("another's: %v", ack)
	}
	c.until(t, func(h heard) bool { return h.body["error_type"] == "rate_limit_error" })
	c.tell(api.StopLogs, stop) // its acknowledgement and the end may come in any order
	c.until(t, func(h heard) bool { return h.body["eof"] == true })
	eventually(t, "its place is free", func() bool {
		return c.ask(t, api.GetLogs, `{"container_id":"web"}`)["ok"] == true
	})
	c.Close()
	eventually(t, "nothing is read for a session that is gone", func() bool {
		w.tails.mu.Lock()
		defer w.tails.mu.Unlock()
		return len(w.tails.by) == 0
	})
}

// A viewer's activity is masked, in answers of what was, too.
func TestActivity_AViewerSeesNoSecretPlace(t *testing.T) {
	w := watching(t, store.Options{})
	id := w.declare("web", "x", nil)
	_, err := w.Store.Observe(t.Context(), id, func(*store.Record) []api.Event {
		return []api.Event{
			api.Activity{ActivityType: api.ActivityActor, ContainerID: id, Message: planted, Details: map[string]any{"data": planted}}.Event(),
			api.Activity{ActivityType: api.ActivityCrash, ContainerID: id, Message: planted}.Event(),
			api.HealthWarning{ContainerID: id}.Event(),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for role, wanted := range map[api.Role]bool{api.Viewer: false, api.Operator: true} {
		ack := w.admit(role, 0).ask(t, api.GetActivity, `{"container_id":"web"}`)
		entries := ack["entries"].([]any)
		if text := string(api.Encode(ack)); strings.Contains(text, planted) != wanted || len(entries) != 3 {
			t.Errorf("as %s: %s", role, text)
		}
		// Each entry is known by the version that its event had.
		if got, want := entries[1].(map[string]any)["resource_version"], w.Store.VersionOf(2, 2, 4); got != want {
			t.Errorf("as %s: the version %v, want %v", role, got, want)
		}
	}
}

// When the manager stops, what it still sends sessions ends by itself. A log does not say that it is whole, which it is not.
func TestServer_DrainEndsStreamsAndLogs(t *testing.T) {
	w, _ := prints(t, func(ctx context.Context, _ api.LogOptions, _ func(api.LogLine) error) error {
		<-ctx.Done()
		return api.Errorf(api.DockerUnavailable, "cut off")
	})
	c := w.admit(api.Operator, 0)
	c.ask(t, api.Subscribe, `{}`)
	c.ask(t, api.GetLogs, `{"container_id":"web","follow":true}`)
	w.Drain()
	w.tasks.Wait()
	c.Emit(api.ErrorEvent, marker)
	for _, h := range c.until(t, func(h heard) bool { return h.name == api.ErrorEvent }) {
		if h.body["eof"] == true || h.body["error_type"] == "docker_unavailable" {
			t.Errorf("the log ended by %v", h.body)
		}
	}
	if c.Context().Err() != nil {
		t.Error("the session ended, too")
	}
}

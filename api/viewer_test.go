package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hidden is in everything that a viewer may not see, visible in what it may.
const hidden, visible = "xyzzy-hidden", "plugh-visible"

func TestContainer_ForViewer(t *testing.T) {
	c := Container{
		ID: visible, Name: visible, Labels: map[string]string{visible: visible}, CreatedBy: visible,
		Spec: Spec{
			Image: visible, Environment: map[string]string{visible: hidden}, Command: []string{hidden, hidden}, Entrypoint: []string{hidden},
			Healthcheck: &Healthcheck{Test: []string{"CMD", hidden}, Retries: 3}, Volumes: map[string]string{visible: visible}, User: visible,
		},
		Status: Status{
			State: StateExited, Conditions: []Condition{{Type: Degraded, Status: True, Reason: visible, Message: hidden}, {Type: Ready, Reason: visible}},
			LastError: &LastError{ErrorType: DockerAPIError, Message: hidden}, LastAction: &LastAction{Action: visible, Detail: hidden},
		},
	}
	before := string(Encode(c))
	got := c.ForViewer()
	if text := string(Encode(got)); strings.Contains(text, hidden) || strings.Count(text, visible) != strings.Count(before, visible) {
		t.Errorf("a viewer sees %s", text)
	}
	if after := string(Encode(c)); after != before {
		t.Errorf("the original is changed: %s", after)
	}
	if diff := cmp.Diff(map[string]string{visible: Filtered}, got.Item().Environment); diff != "" {
		t.Error(diff)
	}
	if got.Spec.Healthcheck.Retries != 3 || got.Status.Conditions[1].Message != "" || got.Status.LastError.ErrorType != DockerAPIError {
		t.Errorf("more than the texts is changed: %+v", got)
	}
	if diff := cmp.Diff(Container{}.ForViewer().Spec.Command, []string(nil)); diff != "" {
		t.Error(diff)
	}
}

func TestExplanation_ForViewer(t *testing.T) {
	ending := Ending{OOMKilled: true, Message: hidden, Logs: []string{hidden, hidden}}
	e := Explanation{Name: visible, Why: hidden, LastExit: &ending, FailedUpdate: &FailedUpdate{visible, ending}}
	before := string(Encode(e))
	got := e.ForViewer()
	if text := string(Encode(got)); strings.Contains(text, hidden) || strings.Count(text, visible) != 2 || !got.LastExit.OOMKilled {
		t.Errorf("a viewer sees %s", text)
	}
	if after := string(Encode(e)); after != before {
		t.Errorf("the original is changed: %s", after)
	}
}

func TestEvent_ForViewer(t *testing.T) {
	object := json.RawMessage(`{"type":"` + hidden + `"}`)
	details := map[string]any{"name": visible, "error_type": visible}
	for name, tt := range map[string]struct {
		e    Event
		want string // "": not at all
	}{
		"status":      {StatusChange{ContainerID: visible, Reason: visible}.Event(), string(StatusChange{ContainerID: visible, Reason: visible}.Event().Data)},
		"pull":        {PullProgress{Image: visible}.Event(), string(PullProgress{Image: visible}.Event().Data)},
		"message":     {Received{visible, object}.Event(), `{"container_id":"plugh-visible","message":{"type":"[FILTERED]"}}`},
		"its members": {Event{MessageReceived, Encode(map[string]any{"container_id": visible, "message": hidden, "more": hidden})}, `{"container_id":"plugh-visible","message":{"type":"[FILTERED]"}}`},
		"crash": {Crash{ContainerID: visible, ExitCode: 3, Details: CrashDetails{Error: hidden, Logs: []string{hidden, hidden}}}.Event(),
			`{"container_id":"plugh-visible","exit_code":3,"oom_killed":false,"restart_count":0,"next_restart_at":null,"crash_details":{"error":"[FILTERED]","logs":["[FILTERED]"]}}`},
		"health": {HealthWarning{visible, HealthUnhealthy, 3, hidden}.Event(),
			`{"container_id":"plugh-visible","health":"unhealthy","failing_streak":3,"output":"[FILTERED]"}`},
		"started": {Activity{ActivityStarted, visible, visible, details}.Event(),
			`{"activity_type":"container_started","container_id":"plugh-visible","message":"plugh-visible","details":{"error_type":"plugh-visible","name":"plugh-visible"}}`},
		"error": {Activity{ActivityError, visible, hidden, details}.Event(),
			`{"activity_type":"container_error","container_id":"plugh-visible","message":"[FILTERED]","details":{"error_type":"plugh-visible","name":"plugh-visible"}}`},
		"actor": {Activity{ActivityActor, visible, hidden, map[string]any{"actor": hidden, "data": object}}.Event(),
			`{"activity_type":"actor_event","container_id":"plugh-visible","message":"[FILTERED]","details":{}}`},
		"new activity": {Activity{"brand_new", visible, hidden, map[string]any{"x": hidden}}.Event(),
			`{"activity_type":"brand_new","container_id":"plugh-visible","message":"[FILTERED]","details":{}}`},
		"new event":  {Event{"brand_new", object}, ""},
		"unreadable": {Event{MessageReceived, json.RawMessage(`[]`)}, ""},
	} {
		got, ok := tt.e.ForViewer()
		if ok != (tt.want != "") || string(got.Data) != tt.want || strings.Contains(string(got.Data), hidden) || ok && got.Name != tt.e.Name {
			t.Errorf("%s: got %v %s %s, want %s", name, ok, got.Name, got.Data, tt.want)
		}
	}
}

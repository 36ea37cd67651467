package server

import (
	"encoding/json"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

// A message that everybody is told is not worth more than the client's own answers.
func TestServer_EventsAreNews(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	for _, tt := range []struct{ name, data, subject string }{
		{api.StatusChanged, `{"container_id":"x"}`, "status_changed x  "},
		{api.ContainerStatusUpdate, `{"container_id":"x"}`, "container_status_update x  "},
		{api.ImagePullProgress, `{"image":"i","layer":"l"}`, "image_pull_progress  i l"},
		{api.ActivityLog, `{"container_id":"x"}`, ""},
		{api.MessageReceived, `{"container_id":"x"}`, ""},
		{api.StatusChanged, `[]`, ""},
	} {
		if got := subject(api.Event{Name: tt.name, Data: json.RawMessage(tt.data)}); got != tt.subject {
			t.Errorf("%s %s is about %q, want %q", tt.name, tt.data, got, tt.subject)
		}
	}
	s.server.caughtUp(t)
	p.Events()
	s.server.Broadcast(api.Event{Name: api.EngineAvailable, Data: json.RawMessage(`{"message":"x"}`)})
	if told := p.hear(); told.name != api.EngineAvailable || !told.news || told.body["resource_version"] != nil || told.body["timestamp"] == nil {
		t.Errorf("told: %+v", told)
	}
}

package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

func (s *served) joinAs(role api.Role) *peer {
	s.t.Helper()
	return s.joinBy(s.t, session.Principal{Name: "the-" + string(role), Role: role})
}

func TestServer_EveryRequestHasAHandlerAndARole(t *testing.T) {
	s := serve(t)
	handlers := slices.Sorted(maps.Keys(s.server.handlers))
	if diff := cmp.Diff(api.Requests(), handlers); diff != "" {
		t.Error(diff)
	}
}

func TestServer_WhatHasNoRoleIsDispatchedForNobody(t *testing.T) {
	s := serve(t)
	delete(s.server.roles, api.StopContainer)
	delete(s.server.handlers, api.GetStatus)
	for _, role := range api.Roles() {
		p := s.joinAs(role)
		for _, event := range []string{api.StopContainer, api.GetStatus} {
			if got := p.ask(event, `{"container_id":"web"}`); got["error_type"] != "validation_error" || !strings.Contains(fmt.Sprint(got["message"]), "there is no event") {
				t.Errorf("%s as %s: %v", event, role, got)
			}
		}
	}
}

func TestServer_SaysWhichEventWasMeant(t *testing.T) {
	p := serve(t).joinAs(api.Viewer)
	for event, want := range map[string]string{
		"create":         `there is no event "create"; did you mean create_container?`,
		"listContainers": `there is no event "listContainers"; did you mean list_containers?`,
		"frobnicate":     `there is no event "frobnicate"; these are: apply_container, `,
	} {
		if got := fmt.Sprint(p.ask(event, `{}`)["message"]); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", event, got, want)
		}
	}
}

func TestServer_ARoleIsLookedAtBeforeTheRequest(t *testing.T) {
	s := serve(t)
	p := s.joinAs(api.Viewer)
	for _, body := range []string{`{"container_id":"web","request_id":"r"}`, `7`, `{"nonsense":1}`, `{},{}`} {
		got := p.ask(api.StopContainer, body)
		details, _ := got["details"].(map[string]any)
		if got["error_type"] != "permission_error" || details["required_role"] != "operator" || details["role"] != "viewer" || !strings.Contains(fmt.Sprint(got["message"]), "takes the role operator") {
			t.Errorf("%s: %v", body, got)
		}
		if e := p.event(api.ErrorEvent); e["error_type"] != "permission_error" {
			t.Errorf("%s: the event is %v", body, e)
		}
	}
	s.joinAs(api.Admin).ask(api.CreateContainer, webSpec)
	if r, err := s.store.Resolve("web"); err != nil || r.CreatedBy != "the-admin" || r.DeclaredBy != "the-admin" {
		t.Errorf("%+v, %v", r, err)
	}
}

const (
	planted    = "xyzzy-planted"
	secretSpec = `{"name":"web","image":"app","environment":{"GREETING":"xyzzy-planted"},"command":["xyzzy-planted","-x"],"entrypoint":["/xyzzy-planted"],
		"healthcheck":{"test":["CMD","xyzzy-planted"]},"desired_state":"running"}`
)

// happens makes the server tell all that it can about a container whose every secret place holds the same word, and asks as p.
func (s *served) happens(p, operator *peer) {
	s.t.Helper()
	operator.ask(api.CreateContainer, secretSpec)
	r, err := s.store.Resolve("web")
	if err != nil {
		s.t.Fatal(err)
	}
	events := []api.Event{
		api.Crash{ContainerID: r.ID, Details: api.CrashDetails{Error: planted, Logs: []string{planted}}}.Event(),
		api.Activity{ActivityType: api.ActivityCrash, ContainerID: r.ID, Message: planted}.Event(),
		api.Activity{ActivityType: api.ActivityActor, ContainerID: r.ID, Message: planted, Details: map[string]any{"data": planted}}.Event(),
	}
	_, err = s.store.Observe(s.t.Context(), r.ID, func(c *store.Record) []api.Event {
		c.Status.State, c.Status.ObservedGeneration = api.StateExited, c.Generation
		c.Status.LastError = &api.LastError{ErrorType: api.DockerAPIError, Message: planted}
		c.Status.Conditions = []api.Condition{{Type: api.Degraded, Status: api.True, Reason: "Failed", Message: planted}}
		return events
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.server.Broadcast(api.Received{ContainerID: r.ID, Message: json.RawMessage(`{"text":"xyzzy-planted"}`)}.Event())
	for _, event := range []string{api.GetContainer, api.GetContainerStatus, api.GetStatus, api.ListContainers} {
		body := `{"container_id":"web"}`
		if event == api.ListContainers {
			body = `{}`
		}
		p.kept = append(p.kept, heard{name: event, body: p.ask(event, body)})
	}
}

// seen is how often the word is in each kind of thing that p has been sent.
func (p *peer) seen() map[string]int {
	p.t.Helper()
	p.server.caughtUp(p.t)
	p.Emit(api.ErrorEvent, marker) // behind everything else
	counts := map[string]int{}
	for {
		h := p.next(p.t)
		if h.name == api.ErrorEvent {
			return counts
		}
		counts[h.name] += strings.Count(string(h.raw), planted)
	}
}

func TestServer_AViewerSeesNoSecretPlace(t *testing.T) {
	s := serve(t)
	viewer, operator := s.joinAs(api.Viewer), s.joinAs(api.Operator)
	watched, watcher := s.joinAs(api.Viewer), s.joinAs(api.Admin)
	s.happens(viewer, operator)
	viewer.event(api.ContainerList) // the last of what was asked for
	for _, k := range viewer.kept {
		if text := string(api.Encode(k.body)); strings.Contains(text, planted) {
			t.Errorf("%s: %s", k.name, text)
		}
	}
	masked, whole := watched.seen(), watcher.seen()
	for name, n := range masked {
		if n > 0 {
			t.Errorf("a viewer is sent %s with the word in it %d times", name, n)
		}
	}
	for _, name := range []string{api.ContainerCrashed, api.ActivityLog, api.MessageReceived} {
		if whole[name] == 0 {
			t.Errorf("the test proves nothing: an admin's %s does not have the word", name)
		}
		if _, sent := masked[name]; !sent {
			t.Errorf("a viewer gets no %s", name)
		}
	}
	for event, body := range map[string]string{api.GetContainer: `{"container_id":"web"}`, api.GetContainerStatus: `{"container_id":"web"}`, api.ListContainers: `{}`} {
		if text := string(api.Encode(watcher.ask(event, body))); !strings.Contains(text, planted) {
			t.Errorf("the test proves nothing: an admin's %s does not have the word: %s", event, text)
		}
	}
}

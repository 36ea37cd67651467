package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// byRole logs everybody in as the role that their token names.
func byRole(_ context.Context, auth json.RawMessage, _ string) (Principal, context.Context, error) {
	var given struct{ Token api.Role }
	if err := json.Unmarshal(auth, &given); err != nil || !given.Token.Valid() {
		return Principal{}, nil, api.Errorf(api.AuthenticationError, "that is no role")
	}
	return Principal{Name: "the-" + string(given.Token), Role: given.Token}, context.Background(), nil
}

func (s *served) joinAs(role api.Role) *peer {
	s.t.Helper()
	c := open(s.t, s.addr)
	c.send(`40{"token":"` + string(role) + `"}`)
	if got := c.read(); !strings.HasPrefix(got, `40{"sid"`) {
		s.t.Fatalf("CONNECT answered %q", got)
	}
	p := newPeer(c)
	if hello := p.event(api.Connected); hello["role"] != string(role) {
		s.t.Fatalf("connected as %v, not %s", hello["role"], role)
	}
	return p
}

func TestServer_EveryRequestHasAHandlerAndARole(t *testing.T) {
	s := serve(t)
	handlers := slices.Sorted(maps.Keys(s.server.handlers))
	if diff := cmp.Diff(api.Requests(), handlers); diff != "" {
		t.Error(diff)
	}
}

func TestServer_WhatHasNoRoleIsDispatchedForNobody(t *testing.T) {
	s := serveGuarded(t, byRole)
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
	p := serveGuarded(t, byRole).joinAs(api.Viewer)
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
	s := serveGuarded(t, byRole)
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
		p.kept = append(p.kept, heard{event, p.ask(event, body)})
	}
}

// seen is how often the word is in each kind of frame that p has been sent.
func (p *peer) seen() map[string]int {
	p.t.Helper()
	p.send(`42999["` + api.ListContainers + `",7]`) // its answer is behind everything else
	counts := map[string]int{}
	for {
		frame := p.read()
		if strings.HasPrefix(frame, "43999") {
			return counts
		}
		name := "ack"
		if at := strings.IndexByte(frame, '"'); strings.HasPrefix(frame, "42") {
			name, _, _ = strings.Cut(frame[at+1:], `"`)
		}
		counts[name] += strings.Count(frame, planted)
	}
}

func TestServer_AViewerSeesNoSecretPlace(t *testing.T) {
	s := serveGuarded(t, byRole)
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

func TestSession_IsCutOffWhenItsLoginEnds(t *testing.T) {
	life, end := context.WithCancelCause(context.Background())
	begun, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	auth := func(_ context.Context, auth json.RawMessage, _ string) (Principal, context.Context, error) {
		if len(auth) == 0 {
			return Principal{Name: "other", Role: api.Viewer}, context.Background(), nil
		}
		return Principal{Name: "ann", Role: api.Viewer, Token: "id"}, life, nil
	}
	e := start(t, Config{Authenticate: auth}, app{handle: echo, begin: func(*Session) error { begun <- struct{}{}; return nil }, end: func(*Session) { ended <- struct{}{} }})
	bystander := join(t, e.addr)
	p, c := poll(t, e.addr), open(t, e.addr)
	c.send(`40{"token":"x"}`)
	c.read()
	c.mustEcho()
	p.post(`40{"token":"x"}`)
	for range 3 {
		<-begun
	}
	p.get() // the answer to CONNECT
	end(api.Errorf(api.AuthenticationError, "the token was revoked"))
	if frames := c.mustClose(); len(frames) != 1 || !strings.HasPrefix(frames[0], `42["error",{`) || !strings.Contains(frames[0], `"authentication_error"`) || !strings.Contains(frames[0], "was revoked") {
		t.Errorf("before the end came %q", frames)
	}
	if got := p.get(); !strings.Contains(got, "was revoked") {
		t.Errorf("by polling came %q", got)
	}
	for range 2 {
		<-ended
	}
	bystander.mustEcho()
	eventually(t, "both are counted", func() bool { return e.Counts()[endedUnauthorized] == 2 })
}

// A token may be gone by the time that its session has begun.
func TestSession_LoginThatEndedMeanwhile(t *testing.T) {
	life, end := context.WithCancelCause(context.Background())
	end(errors.New("disk on fire"))
	auth := func(context.Context, json.RawMessage, string) (Principal, context.Context, error) {
		return Principal{Name: "ann", Role: api.Admin}, life, nil
	}
	e := start(t, Config{Authenticate: auth, Log: zerolog.Nop()}, app{handle: echo})
	c := open(t, e.addr)
	c.send("40")
	if got := c.read(); !strings.HasPrefix(got, "44{") || strings.Contains(got, "fire") || !strings.Contains(got, `"system_error"`) {
		t.Errorf("got %s", got)
	}
}

// A client that does not read cannot stay by that.
func TestSession_IsCutOffThoughItDoesNotRead(t *testing.T) {
	life, end := context.WithCancelCause(context.Background())
	auth := func(context.Context, json.RawMessage, string) (Principal, context.Context, error) {
		return Principal{Name: "ann", Role: api.Viewer}, life, nil
	}
	stuffed, ended := make(chan struct{}), make(chan struct{})
	e := start(t, Config{Authenticate: auth, Limits: Limits{DrainTimeout: patience, WriteTimeout: patience, OutBytes: 64 << 20}}, app{
		handle: func(s *Session, _ *Request) {
			page := json.RawMessage(`"` + strings.Repeat("x", 32<<10) + `"`)
			for range 1000 { // more than the kernel's buffers take, less than the queue
				s.Emit("page", page)
			}
			close(stuffed)
		},
		end: func(*Session) { close(ended) },
	})
	c := join(t, e.addr)
	c.send(`42["echo",{}]`)
	<-stuffed
	began := time.Now()
	end(api.Errorf(api.AuthenticationError, "the token was revoked"))
	<-ended
	eventually(t, "its connection is gone", func() bool { return e.Counts()[endedUnauthorized] == 1 })
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
}

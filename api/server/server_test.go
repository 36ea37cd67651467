package server

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// patience bounds every wait of these tests; none of them waits that long when it passes.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits for a condition that the server reaches on its own.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

// caughtUp waits until all that was committed is told.
func (s *Server) caughtUp(t testing.TB) {
	t.Helper()
	eventually(t, "all is told", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.broadcastRevision == s.Store.Revision()
	})
}

// served is a Server on a real store; tests play the controller.
type served struct {
	t      *testing.T
	store  *store.Store
	parts  *servertest.Parts
	server *Server
}

func serve(t *testing.T) *served {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &servertest.Parts{}
	b := backed(s, p)
	b.Version = "test"
	server := New(b)
	end := servertest.Run(server, s)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return &served{t, s, p, server}
}

func backed(s *store.Store, p *servertest.Parts) Backend {
	return Backend{Store: s, Messenger: p, Stats: p, Logs: p, Engine: p, Policy: p, Planner: p, Log: zerolog.Nop()}
}

// peer is a client that keeps what it passes over, and holds all that it hears against the document.
type peer struct {
	*client
	server *Server
	t      testing.TB
	kept   []heard
	came   map[string]bool // messages of the document that came
}

func (s *served) join() *peer {
	s.t.Helper()
	return s.joinFor(s.t)
}

// joinFor joins for a test that is a part of the server's.
func (s *served) joinFor(t *testing.T) *peer {
	t.Helper()
	return s.joinBy(t, session.Principal{Name: "operator", Role: api.Operator})
}

func (s *served) joinBy(t *testing.T, as session.Principal) *peer {
	t.Helper()
	p := &peer{client: admitted(t, s.server, as), server: s.server, t: t, came: map[string]bool{}}
	t.Cleanup(p.Close)
	if hello := p.event(api.Connected); hello["role"] != string(as.Role) {
		t.Fatalf("connected as %v, not %s", hello["role"], as.Role)
	}
	return p
}

func (p *peer) hear() heard {
	p.t.Helper()
	h := p.next(p.t)
	p.judge(h)
	return h
}

// event takes packets until one has the name; what it passes over is kept for later calls.
func (p *peer) event(name string) map[string]any {
	p.t.Helper()
	for i, k := range p.kept {
		if k.name == name {
			p.kept = slices.Delete(p.kept, i, i+1)
			return k.body
		}
	}
	for {
		k := p.hear()
		if k.name == name {
			return k.body
		}
		p.kept = append(p.kept, k)
	}
}

// request sends a request that wants an acknowledgement.
func (p *peer) request(event, body string) {
	p.t.Helper()
	p.Ask(event, arguments(p.t, body)...)
}

// ask sends a request and returns its acknowledgement.
func (p *peer) ask(event, body string) map[string]any {
	p.t.Helper()
	p.request(event, body)
	return p.event("ack")
}

// quiet proves that no event of the name has come, by what a later request is answered.
func (p *peer) quiet(name string) {
	p.t.Helper()
	p.server.caughtUp(p.t)
	p.ask(api.ListContainers, `{}`)
	p.event(api.ContainerList)
	for _, k := range p.kept {
		if k.name == name {
			p.t.Errorf("unexpected %s: %v", name, k.body)
		}
	}
}

// observe plays the controller: the newest generation has led to a state.
func (s *served) observe(name, state string, edit func(*store.Record)) {
	s.t.Helper()
	r, err := s.store.Resolve(name)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.store.Observe(s.t.Context(), r.ID, func(c *store.Record) []api.Event {
		c.Status.State, c.Status.DockerID, c.Status.ObservedGeneration = state, strings.Repeat("a", 64), c.Generation
		c.Current = store.Placement{Token: "t1", DockerID: c.Status.DockerID, TemplateHash: api.TemplateHash(&c.Spec), AskedBy: c.Code, Generation: c.TemplateGeneration, Resources: c.Spec.Resources}
		c.Done, c.AtRest = c.Asked, true
		started := time.Now()
		c.Status.StartedAt = &started
		runs := map[bool]string{true: api.True, false: api.False}[state == api.StateRunning]
		for _, kind := range []string{api.Ready, api.Available} {
			c.Status.SetCondition(api.Condition{Type: kind, Status: runs, Reason: api.ReasonRunning, ObservedGeneration: c.Generation})
		}
		if edit != nil {
			edit(c)
		}
		for _, request := range c.Accepted { // as the loop does: what it came to stands, whatever is asked for next
			if became := plan.Judge(c, request); became != nil {
				c.Conclude(*became)
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

const webSpec = `{"name":"web","image":"app","request_id":"r"}`

func TestServer_AnswersWhenTheResultWasObserved(t *testing.T) {
	s := serve(t)
	asker, other := s.join(), s.join()
	ack := asker.ask(api.CreateContainer, webSpec)
	if ack["ok"] != true || ack["generation"] != 1.0 || ack["changed"] != true || ack["request_id"] != "r" {
		t.Errorf("ack: %v", ack)
	}
	asker.quiet(api.ContainerCreated)
	s.observe("web", api.StateCreated, nil)
	created := asker.event(api.ContainerCreated)
	id := created["container_id"].(string)
	if created["name"] != "web" || created["status"] != "created" || created["request_id"] != "r" || created["socket_path"] != "/run/x/"+id+".sock" || created["docker_id"] == "" {
		t.Errorf("created: %v", created)
	}
	asker.ask(api.StartContainer, `{"container_id":"web"}`)
	s.observe("web", api.StateRunning, nil)
	if started := asker.event(api.ContainerStarted); started["status"] != "running" {
		t.Errorf("started: %v", started)
	}
	if again := asker.ask(api.StartContainer, `{"container_id":"web"}`); again["changed"] != false || again["generation"] != 2.0 {
		t.Errorf("again: %v", again)
	}
	asker.event(api.ContainerStarted)
	if told := other.event(api.StatusChanged); told["container_id"] != id || told["resource_version"] == nil || told["timestamp"] == nil {
		t.Errorf("told: %v", told)
	}
	for _, name := range []string{api.ContainerCreated, api.ContainerStarted} {
		other.quiet(name)
	}
}

func TestServer_AnOvertakenRequestIsToldSo(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	s.observe("web", api.StateCreated, nil)
	p.event(api.ContainerCreated)
	p.ask(api.StartContainer, `{"container_id":"web","request_id":"one"}`)
	p.ask(api.StartContainer, `{"container_id":"web","request_id":"two"}`)
	p.ask(api.StopContainer, `{"container_id":"web","request_id":"three"}`)
	for _, want := range []string{"one", "two"} {
		e := p.event(api.ErrorEvent)
		if e["error_type"] != "conflict_error" || e["request_id"] != want || e["details"].(map[string]any)["superseded_by"] != 4.0 {
			t.Errorf("overtaken: %v", e)
		}
	}
	p.ask(api.StartContainer, `{"container_id":"web","request_id":"four"}`)
	p.event(api.ErrorEvent) // of the stop
	p.ask(api.StartContainer, `{"container_id":"web","request_id":"five"}`)
	s.observe("web", api.StateRunning, nil)
	for _, want := range []string{"four", "five"} {
		if e := p.event(api.ContainerStarted); e["request_id"] != want {
			t.Errorf("both starts are one wish: %v", e)
		}
	}
}

func TestServer_AFailureEndsTheRequestOnce(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, webSpec)
	fail := func(c *store.Record) {
		c.Current = store.Placement{}
		c.Tracks.Update.Failure = &store.Failure{ErrorType: api.ImageNotFound, Reason: "ImageNotFound", Message: "no such image"}
	}
	s.observe("web", api.StateCreated, fail)
	if e := p.event(api.ErrorEvent); e["error_type"] != "image_not_found" || e["request_id"] != "r" || e["details"].(map[string]any)["operation"] != api.ApplyContainer {
		t.Errorf("error: %v", e)
	}
	s.observe("web", api.StateRestarting, fail)
	p.quiet(api.ErrorEvent)
}

func TestServer_WhatBecomesOfAStart(t *testing.T) {
	tests := []struct {
		name  string
		state string
		edit  func(*store.Record)
		event string
	}{
		{"runs", api.StateRunning, nil, api.ContainerStarted},
		{"completed at once", api.StateExited, func(c *store.Record) { c.Run.Ended = "Completed" }, api.ContainerStarted},
		{"failed at once", api.StateExited, func(c *store.Record) { c.Run.Ended = "Failed" }, api.ErrorEvent},
		{"crashes again and again", api.StateRestarting, func(c *store.Record) { c.Run.Streak = 2 }, api.ErrorEvent},
		{"is deleted", api.StateRemoving, func(c *store.Record) { now := time.Now(); c.DeletedAt = &now }, api.ErrorEvent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t)
			p := s.join()
			p.ask(api.CreateContainer, webSpec)
			s.observe("web", api.StateCreated, nil)
			p.event(api.ContainerCreated)
			p.ask(api.StartContainer, `{"container_id":"web","request_id":"start"}`)
			s.observe("web", tt.state, tt.edit)
			if e := p.event(tt.event); e["request_id"] != "start" {
				t.Errorf("got %v", e)
			}
		})
	}
}

func TestServer_Delete(t *testing.T) {
	s := serve(t)
	p := s.join()
	id := p.ask(api.CreateContainer, webSpec)["container_id"].(string)
	first := p.ask(api.DeleteContainer, `{"container_id":"web","request_id":"one"}`)
	second := p.ask(api.DeleteContainer, `{"container_id":"web","request_id":"two"}`)
	if first["changed"] != true || second["changed"] != false || second["ok"] != true {
		t.Errorf("first %v, second %v", first, second)
	}
	for _, event := range []string{api.StartContainer, api.StopContainer} {
		if refused := p.ask(event, `{"container_id":"web"}`); refused["error_type"] != "conflict_error" {
			t.Errorf("%s while it is being deleted: %v", event, refused)
		}
	}
	if refused := p.ask(api.ApplyContainer, webSpec); refused["error_type"] != "conflict_error" {
		t.Errorf("apply while it is being deleted: %v", refused)
	}
	if err := s.store.Bury(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if e := p.event(api.ContainerDeleted); e["status"] != "deleted" || e["request_id"] != want || e["name"] != "web" {
			t.Errorf("deleted: %v", e)
		}
	}
	gone := p.ask(api.GetContainer, fmt.Sprintf(`{"container_id":%q}`, id))
	if details := gone["details"].(map[string]any); gone["error_type"] != "container_not_found" || details["deleted_by"] != "operator" {
		t.Errorf("of the tombstone: %v", gone)
	}
}

func TestServer_ApplyReplacesTheWholeSpecButNotTheDesiredState(t *testing.T) {
	s := serve(t)
	p := s.join()
	spec := func(ack map[string]any) map[string]any {
		return ack["container"].(map[string]any)["spec"].(map[string]any)
	}
	first := spec(p.ask(api.ApplyContainer, `{"name":"web","image":"app","environment":{"A":"b"},"user":"1"}`))
	if first["desired_state"] != "running" {
		t.Errorf("a new one is %v", first["desired_state"])
	}
	p.ask(api.StopContainer, `{"container_id":"web"}`)
	second := spec(p.ask(api.ApplyContainer, `{"name":"web","image":"app","environment":{"A":"b"}}`))
	if second["desired_state"] != "stopped" || second["user"] != nil {
		t.Errorf("applied again: %v", second)
	}
	if same := p.ask(api.ApplyContainer, `{"name":"web","image":"app","environment":{"A":"b"}}`); same["changed"] != false {
		t.Errorf("unchanged: %v", same)
	}
	if stale := p.ask(api.ApplyContainer, `{"name":"web","image":"b","if_generation":1}`); stale["error_type"] != "conflict_error" {
		t.Errorf("stale: %v", stale)
	}
	if taken := p.ask(api.CreateContainer, webSpec); taken["error_type"] != "conflict_error" {
		t.Errorf("taken: %v", taken)
	}
}

func TestServer_ARepeatedRequestHasOneEffect(t *testing.T) {
	s := serve(t)
	p := s.join()
	body := `{"image":"app","idempotency_key":"0123456789abcdef","request_id":"%d"}`
	first := p.ask(api.CreateContainer, fmt.Sprintf(body, 1))
	s.parts.Forbid() // what was accepted stays so
	second := p.ask(api.CreateContainer, fmt.Sprintf(body, 2))
	if first["container_id"] != second["container_id"] || second["changed"] != true {
		t.Errorf("first %v, second %v", first, second)
	}
	other := p.ask(api.CreateContainer, `{"image":"other","idempotency_key":"0123456789abcdef"}`)
	if other["error_type"] != "conflict_error" {
		t.Errorf("another body: %v", other)
	}
	if records, _ := s.store.List(); len(records) != 1 {
		t.Errorf("%d containers", len(records))
	}
}

func TestServer_RefusalsNameTheirFieldsAndStoreNothing(t *testing.T) {
	s := serve(t)
	p := s.join()
	tests := []struct{ event, body, kind, field string }{
		{api.CreateContainer, `{"image":"app","code":{"path":"x"}}`, "validation_error", "code.path"},
		{api.UpdateContainer, `{"container_id":"web","code_path":"../x"}`, "validation_error", "code_path"},
		{api.CreateContainer, `{"image":"app","dry_run":"yes"}`, "validation_error", "dry_run"},
		{api.CreateContainer, `{"image":"forbidden"}`, "policy_error", ""},
		{api.CreateContainer, `{"image":"app","idempotency_key":"short"}`, "validation_error", "idempotency_key"},
		{api.CreateContainer, `{"image":"app","labels":{"io.flow-manager.id":"x"}}`, "validation_error", "labels.io.flow-manager.id"},
		{api.ApplyContainer, `{"image":"app"}`, "validation_error", "name"},
		{api.StartContainer, `{"container_id":"nobody"}`, "container_not_found", ""},
		{api.StartContainer, `{"if_generation":1}`, "validation_error", "container_id"},
		{api.ListContainers, `{"limit":501}`, "validation_error", "limit"},
		{api.SendMessage, `{"container_id":"web"}`, "validation_error", "message"},
		{api.SendMessage, `{"container_id":"web","message":{},"timeout_seconds":0}`, "validation_error", "timeout_seconds"},
	}
	for _, tt := range tests {
		ack := p.ask(tt.event, strings.Replace(tt.body, "{", `{"request_id":"mine",`, 1))
		event := p.event(api.ErrorEvent)
		for _, got := range []map[string]any{ack, event} {
			details := got["details"].(map[string]any)
			field := ""
			if fields, ok := details["fields"].([]any); ok {
				field = fields[0].(map[string]any)["field"].(string)
			}
			if got["error_type"] != tt.kind || field != tt.field || got["request_id"] != "mine" || details["operation"] != tt.event {
				t.Errorf("%s %s: %v", tt.event, tt.body, got)
			}
		}
	}
	if records, revision := s.store.List(); len(records) != 0 || revision != 0 {
		t.Errorf("%d containers at revision %d", len(records), revision)
	}
}

func TestServer_ListPages(t *testing.T) {
	s := serve(t)
	p := s.join()
	var want []string
	for i := range 7 {
		name := fmt.Sprint("c", i)
		p.ask(api.CreateContainer, fmt.Sprintf(`{"name":%q,"image":"app","labels":{"odd":"%d"}}`, name, i%2))
		want = append(want, name)
	}
	var got []string
	next := ""
	for {
		page := p.ask(api.ListContainers, fmt.Sprintf(`{"limit":3,"continue":%q}`, next))
		for _, item := range page["containers"].([]any) {
			got = append(got, item.(map[string]any)["name"].(string))
		}
		if page["count"] != 7.0 {
			t.Errorf("count: %v", page["count"])
		}
		if next, _ = page["continue"].(string); next == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if odd := p.ask(api.ListContainers, `{"labels":{"odd":"1"},"states":["created"]}`); odd["count"] != 3.0 {
		t.Errorf("odd ones: %v", odd)
	}
	if none := p.ask(api.ListContainers, `{"states":["running"]}`); none["count"] != 0.0 || len(none["containers"].([]any)) != 0 {
		t.Errorf("running ones: %v", none)
	}
}

func TestServer_StatusAndMessages(t *testing.T) {
	s := serve(t)
	p, other := s.join(), s.join()
	p.ask(api.CreateContainer, webSpec)
	began := time.Now().Add(-10*time.Minute - 30*time.Second)
	s.observe("web", api.StateRunning, func(c *store.Record) { c.Status.StartedAt = &began })
	for _, event := range []string{api.GetContainerStatus, api.GetStatus} {
		status := p.ask(event, `{"container_id":"web"}`)
		if status["uptime"] != "0:10:30" || status["socket_connected"] != true || status["resource_usage"].(map[string]any)["pids"] != 7.0 {
			t.Errorf("%s: %v", event, status)
		}
	}
	for i := range 50 {
		p.tell(api.SendMessage, fmt.Sprintf(`{"container_id":"web","message":{"n":%d}}`, i))
	}
	for range 50 {
		p.event(api.MessageSent)
	}
	for i, message := range s.parts.Messages() {
		if message != fmt.Sprintf(`{"n":%d}`, i) {
			t.Fatalf("message %d is %s", i, message)
		}
	}
	if ack := p.ask(api.SendMessage, `{"container_id":"web","message":{},"expect_reply":true}`); ack["reply"].(map[string]any)["reply_to"] != "x" {
		t.Errorf("reply: %v", ack)
	}
	p.event(api.MessageReceived)
	other.quiet(api.MessageReceived)
	if ack := p.ask(api.SendMessage, `{"container_id":"web","message":{"refused":1}}`); ack["error_type"] != "rate_limit_error" {
		t.Errorf("refused: %v", ack)
	}
	if ack := p.ask(api.SendMessage, `{"container_id":"web","message":{"lost":1}}`); ack["error_type"] != "socket_connection_error" {
		t.Errorf("lost: %v", ack)
	}
}

// Messages that wait for their flow cost no goroutines, however many they are.
func TestServer_MessagesThatWaitHaveNoGoroutines(t *testing.T) {
	const many = 200
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	before := runtime.NumGoroutine()
	for range many {
		p.tell(api.SendMessage, `{"container_id":"web","message":{"late":1}}`)
	}
	p.ask(api.ListContainers, `{}`) // the messages are queued
	if more := runtime.NumGoroutine() - before; more > 10 {
		t.Errorf("%d messages have %d goroutines", many, more)
	}
	s.server.Drain()
	for range many {
		p.event(api.ErrorEvent)
	}
}

func TestServer_AMessageThatWaitsHoldsUpNobodyAndIsAnsweredAtTheEnd(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	p.tell(api.SendMessage, `{"container_id":"web","message":{"late":1},"request_id":"late"}`)
	p.ask(api.ListContainers, `{}`)
	p.sent(api.StartContainer, "start", `{"container_id":"web","wait_seconds":60}`)
	p.ask(api.ListContainers, `{}`)
	s.server.Drain()
	got := map[any]any{}
	for range 3 {
		e := p.event(api.ErrorEvent)
		got[e["request_id"]] = e["error_type"]
	}
	if diff := cmp.Diff(map[any]any{"late": "socket_timeout_error", "r": "conflict_error", "start": "timeout_error"}, got); diff != "" {
		t.Error(diff)
	}
	if ack := p.acked("start"); ack["ok"] != false || ack["error_type"] != "timeout_error" || ack["generation"] != nil {
		t.Errorf("waiting at the end: %v", ack)
	}
	// Requests that were under way go on; what they are owed is told at once.
	if ack := p.ask(api.StopContainer, `{"container_id":"web","request_id":"stop"}`); ack["ok"] != true {
		t.Errorf("after Drain: %v", ack)
	}
	if e := p.event(api.ErrorEvent); e["request_id"] != "stop" || e["details"].(map[string]any)["reason"] != "ShuttingDown" {
		t.Errorf("after Drain: %v", e)
	}
}

func TestServer_RestartPauseUnpause(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	s.observe("web", api.StateCreated, nil)
	for _, event := range []string{api.PauseContainer, api.UnpauseContainer} {
		if refused := p.ask(event, `{"container_id":"web"}`); refused["error_type"] != "conflict_error" {
			t.Errorf("%s of what is not declared running: %v", event, refused)
		}
	}
	steps := []struct{ request, state, answer string }{
		{api.RestartContainer, api.StateRunning, api.ContainerRestart},
		{api.PauseContainer, api.StatePaused, api.ContainerPaused},
		{api.UnpauseContainer, api.StateRunning, api.ContainerUnpaused},
		{api.RestartContainer, api.StateRunning, api.ContainerRestart},
	}
	for _, step := range steps {
		if ack := p.ask(step.request, `{"container_id":"web"}`); ack["changed"] != true {
			t.Errorf("%s: %v", step.request, ack)
		}
		p.quiet(step.answer)
		s.observe("web", step.state, nil)
		if e := p.event(step.answer); e["status"] != step.state {
			t.Errorf("%s: %v", step.answer, e)
		}
	}
}

func TestServer_WhileTheEngineIsAwayNobodyKnows(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	s.observe("web", api.StateRunning, nil)
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.parts.Away = &api.EngineAway{Message: "no answer", Since: since}
	const said = "no answer; since 2026-01-02T03:04:05Z"
	p.ask(api.DeleteContainer, `{"container_id":"web"}`)
	list := p.ask(api.ListContainers, `{}`)
	away, _ := list["engine_away"].(map[string]any)
	item := list["containers"].([]any)[0].(map[string]any)
	if away["message"] != "no answer" || away["since"] != "2026-01-02T03:04:05Z" || item["deleted_at"] == nil {
		t.Errorf("list: %v", list)
	}
	waited := p.ask(api.WaitContainer, `{"container_id":"web","generation":2,"wait_seconds":1}`)
	if details, _ := waited["details"].(map[string]any); waited["error_type"] != "timeout_error" || !strings.Contains(fmt.Sprint(waited["message"]), said) || details["engine_away"] == nil {
		t.Errorf("waited: %v", waited)
	}
	status := p.ask(api.GetContainerStatus, `{"container_id":"web"}`)
	unknown := 0
	for _, one := range status["conditions"].([]any) {
		c := one.(map[string]any)
		if about := c["type"] == api.Ready || c["type"] == api.Available; about && c["status"] == api.Unknown && c["reason"] == api.ReasonEngineUnavailable && c["message"] == said && c["last_transition_at"] == "2026-01-02T03:04:05Z" {
			unknown++
		}
	}
	if status["state"] != "running" || unknown != 2 {
		t.Errorf("status: %v", status)
	}
}

// sent sends a request; acked takes its acknowledgement, which may come after those of later ones.
func (p *peer) sent(event, requestID, body string) {
	p.t.Helper()
	p.request(event, strings.Replace(body, "{", fmt.Sprintf(`{"request_id":%q,`, requestID), 1))
}

func (p *peer) acked(requestID string) map[string]any {
	p.t.Helper()
	for {
		for i, k := range p.kept {
			if k.name == "ack" && k.body["request_id"] == requestID {
				p.kept = slices.Delete(p.kept, i, i+1)
				return k.body
			}
		}
		p.kept = append(p.kept, p.hear())
	}
}

func TestServer_WaitingForTheOutcome(t *testing.T) {
	s := serve(t)
	p := s.join()
	declared := func(generation int64) {
		t.Helper()
		eventually(t, "it is declared", func() bool {
			r, err := s.store.Resolve("web")
			return err == nil && r.Generation == generation
		})
	}
	ready := func(status string) func(*store.Record) {
		return func(c *store.Record) {
			for _, kind := range []string{api.Ready, api.Available} {
				c.Status.SetCondition(api.Condition{Type: kind, Status: status, Reason: api.ReasonMonitoringRun, ObservedGeneration: c.Generation})
			}
			if o := plan.JudgeNow(c, store.Accepted{Generation: c.Generation, Intent: c.IntentOf(c.Generation)}); o != nil {
				c.Conclude(*o)
			}
		}
	}
	p.sent(api.ApplyContainer, "one", `{"name":"web","image":"app","wait_seconds":60}`)
	declared(1)
	s.observe("web", api.StateRunning, ready(api.False)) // it runs, but is not ready
	p.event(api.ContainerCreated)
	s.observe("web", api.StateRunning, ready(api.True))
	if ack := p.acked("one"); ack["ok"] != true || ack["status"] != "running" || ack["generation"] != 1.0 {
		t.Errorf("ready: %v", ack)
	}
	p.sent(api.RestartContainer, "two", `{"container_id":"web","wait_seconds":60}`)
	declared(2)
	p.sent(api.StopContainer, "stop", `{"container_id":"web"}`)
	if ack := p.acked("two"); ack["ok"] != false || ack["error_type"] != "conflict_error" || ack["generation"] != nil {
		t.Errorf("superseded: %v", ack)
	}
	p.sent(api.StartContainer, "three", `{"container_id":"web","wait_seconds":1}`)
	if ack := p.acked("three"); ack["ok"] != false || ack["error_type"] != "timeout_error" {
		t.Errorf("timed out: %v", ack)
	}
	s.observe("web", api.StateRunning, ready(api.True))
	p.sent(api.StopContainer, "again", `{"container_id":"web"}`)
	declared(5)
	for generation, want := range map[int]any{4: nil, 1: nil, 2: "conflict_error", 6: "validation_error"} {
		name := fmt.Sprint("wait", generation)
		p.sent(api.WaitContainer, name, fmt.Sprintf(`{"container_id":"web","generation":%d,"wait_seconds":5}`, generation))
		if ack := p.acked(name); ack["error_type"] != want {
			t.Errorf("generation %d: %v", generation, ack)
		}
	}
	p.sent(api.WaitContainer, "newest", `{"container_id":"web","generation":5,"wait_seconds":60}`)
	s.observe("web", api.StateStopped, nil)
	if ack := p.acked("newest"); ack["ok"] != true || ack["status"] != "stopped" {
		t.Errorf("newest: %v", ack)
	}
}

func TestServer_APauseOvertakesARestart(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, webSpec)
	s.observe("web", api.StateRunning, nil)
	p.ask(api.RestartContainer, `{"container_id":"web","request_id":"restart"}`)
	p.ask(api.PauseContainer, `{"container_id":"web","request_id":"pause"}`)
	if e := p.event(api.ErrorEvent); e["request_id"] != "restart" || e["error_type"] != "conflict_error" {
		t.Errorf("restart: %v", e)
	}
	s.observe("web", api.StatePaused, nil)
	if e := p.event(api.ContainerPaused); e["request_id"] != "pause" {
		t.Errorf("pause: %v", e)
	}
}

func TestServer_OwesASessionSoMuchAndNoMore(t *testing.T) {
	s := serve(t)
	p := s.join()
	id := p.ask(api.CreateContainer, webSpec)["container_id"].(string)
	refused := 0
	for range maxPendingAnswers + 10 {
		if p.ask(api.DeleteContainer, `{"container_id":"web"}`)["error_type"] == "rate_limit_error" {
			refused++
		}
	}
	if refused < 10 || refused > 12 {
		t.Errorf("%d of %d were refused", refused, maxPendingAnswers+10)
	}
	if err := s.store.Bury(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.event(api.ContainerDeleted)
	eventually(t, "all is paid", func() bool { return s.server.answers.hasRoom(nil) && len(s.server.answers.containers()) == 0 })
	if ack := p.ask(api.CreateContainer, webSpec); ack["ok"] != true {
		t.Errorf("after all was paid: %v", ack)
	}
}

func TestServer_ADeletionThatFailsIsTold(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.CreateContainer, webSpec)
	s.observe("web", api.StateCreated, nil)
	p.event(api.ContainerCreated)
	p.ask(api.DeleteContainer, `{"container_id":"web","request_id":"delete"}`)
	for attempt := range 4 {
		s.observe("web", api.StateRemoving, func(c *store.Record) {
			c.Tracks.Removal.Failure = &store.Failure{Attempts: attempt + 1, ErrorType: api.DockerAPIError, Message: "it is stuck"}
		})
	}
	if e := p.event(api.ErrorEvent); e["request_id"] != "delete" || e["details"].(map[string]any)["cleanup"] == nil {
		t.Errorf("got %v", e)
	}
	p.quiet(api.ErrorEvent)
}

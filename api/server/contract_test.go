package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
	"github.com/flow-manager/flow-manager/test/asyncapi"
)

// document is api/asyncapi.yaml; compiling it takes longer than most tests here.
var document = sync.OnceValues(asyncapi.Load)

func loaded(t testing.TB) *asyncapi.Document {
	t.Helper()
	d, err := document()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// judge holds everything that a peer hears against the document.
func (p *peer) judge(h heard) {
	p.t.Helper()
	d, name := loaded(p.t), h.name
	if name == "ack" {
		if name = d.Ack(h.of); name == "" {
			return // of a request that does not exist
		}
	}
	p.came[name] = true
	if err := d.Judge(name, h.raw); err != nil {
		p.t.Error(err)
	}
}

// tells is ask for a request that the document allows.
func (p *peer) tells(event, body string) map[string]any {
	p.t.Helper()
	p.came[event] = true
	if err := loaded(p.t).Judge(event, []byte(body)); err != nil {
		p.t.Error(err)
	}
	return p.ask(event, body)
}

const everything = `{"name":"web","labels":{"tier":"front"},"image":"app:1","environment":{"A":"1","API_KEY":"secret"},"volumes":{"data":"/data","/srv/x":"/x:ro"},
	"ports":{"80":8080,"53/udp":"127.0.0.1:0","54/udp":"[::1]:54"},"command":["a","b"],"entrypoint":["/bin/sh"],"working_dir":"/w","user":"1000","hostname":"h","init":false,
	"desired_state":"running","restart_policy":{"name":"on-failure","max_attempts":3,"on_unhealthy":"report"},"stop_signal":"SIGINT","stop_grace_seconds":0,
	"code":{"path":"/srv/code","target":"/app"},"resources":{"memory_bytes":6291456,"nano_cpus":10000000,"pids_limit":1},"healthcheck":{"test":["CMD","x"],"interval_seconds":1,"timeout_seconds":1,"retries":1,"start_period_seconds":1},
	"readiness":"socket","liveness":{"heartbeat_seconds":5},"image_pull_policy":"never","network":"bridge","update_policy":{"monitor_seconds":1,"deadline_seconds":9,"on_failure":"pause","max_attempts":2},
	"request_id":"r","idempotency_key":"0123456789abcdef","if_generation":0}`

// Every request, acknowledgement and event that the document has is sent here, and each is as it says.
func TestContract_EveryMessage(t *testing.T) {
	s := serve(t)
	p := s.join()
	id := p.driveRequests(s)
	p.driveNews(s, id)
	p.tells(api.DeleteContainer, `{"container_id":"web","remove_volumes":true}`)
	p.quiet("")
	if err := s.store.Bury(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.event(api.ContainerDeleted)
	gone := p.tells(api.GetContainer, `{"container_id":"web"}`)
	if gone["error_type"] != "container_not_found" {
		t.Errorf("gone: %v", gone)
	}
	p.event(api.ErrorEvent)
	for p.event(api.ContainerChanged)["type"] != "deleted" { // the last of its stream
	}
	if diff := cmp.Diff(loaded(t).Messages(), slices.Sorted(maps.Keys(p.came))); diff != "" {
		t.Errorf("documented (-), heard (+):\n%s", diff)
	}
}

// driveRequests has each request answered, and returns the id of the container that stays.
func (p *peer) driveRequests(s *served) string {
	p.t.Helper()
	id := p.tells(api.CreateContainer, everything)["container_id"].(string)
	for _, step := range []struct{ request, body, state, answer string }{
		{"", "", "running", api.ContainerCreated},
		{api.ApplyContainer, `{"name":"web","image":"app:2","request_id":"r"}`, "running", api.ContainerUpdated},
		{api.StopContainer, `{"container_id":"web"}`, "stopped", api.ContainerStopped},
		{api.StartContainer, `{"container_id":"web","request_id":"r"}`, "running", api.ContainerStarted},
		{api.RestartContainer, `{"container_id":"web"}`, "running", api.ContainerRestart},
		{api.PauseContainer, `{"container_id":"web"}`, "paused", api.ContainerPaused},
		{api.UnpauseContainer, `{"container_id":"web"}`, "running", api.ContainerUnpaused},
		{api.UpdateContainer, `{"container_id":"web","pull":true,"spec":{"image":"app:3","environment":{"A":null},"healthcheck":null}}`, "running", api.ContainerUpdated},
		{api.RollbackContainer, `{"container_id":"web","to_generation":1}`, "running", api.ContainerUpdated},
		{api.GetContainer, `{"container_id":"web","request_id":"r"}`, "", api.ContainerObject},
		{api.ExplainContainer, `{"container_id":"web"}`, "", api.ContainerExplained},
		{api.RestartContainer, `{"container_id":"web","dry_run":true,"request_id":"r"}`, "", ""},
		{api.GetContainerStatus, `{"container_id":"web"}`, "", api.ContainerStatus},
		{api.GetStatus, `{"container_id":"web","request_id":"r"}`, "", api.ContainerStatus},
		{api.ListContainers, `{"labels":{"tier":"front"},"states":["running"],"limit":1}`, "", api.ContainerList},
		{api.SendMessage, `{"container_id":"web","message":{"type":"hi"},"timeout_seconds":0.5,"expect_reply":true}`, "", api.MessageSent},
		{api.WaitContainer, `{"container_id":"web","generation":9,"wait_seconds":5}`, "", ""},
		{api.Subscribe, `{"container_ids":["web"],"labels":{"tier":"front"},"events":["status_changed"],"resource_version":"","request_id":"r"}`, "", api.Subscribed},
		{api.Unsubscribe, `{"request_id":"r","events":["container_changed"],"container_ids":["web"]}`, "", api.Subscribed},
		{api.Unsubscribe, `{}`, "", api.Subscribed},
		{api.GetActivity, `{"container_id":"web","since":"2026-01-02T03:04:05Z","limit":1,"request_id":"r"}`, "", api.PastActivity},
		{api.GetLogs, `{"container_id":"web","log_id":"mine","tail":1,"since":"2026-01-02T03:04:05.5+01:00","timestamps":true,"request_id":"r"}`, "", api.ContainerLogs},
		{api.Subscribe, fmt.Sprintf(`{"events":%s}`, api.Encode(api.WatchableEvents())), "", api.Subscribed},
	} {
		if step.request != "" {
			if ack := p.tells(step.request, step.body); ack["ok"] != true {
				p.t.Errorf("%s: %v", step.request, ack)
			}
		}
		if step.state != "" {
			s.observe("web", step.state, full)
		}
		if step.answer != "" {
			p.event(step.answer)
		}
	}
	log := p.tells(api.GetLogs, `{"container_id":"web","follow":true}`)["log_id"]
	if ack := p.tells(api.StopLogs, fmt.Sprintf(`{"log_id":%q,"request_id":"r"}`, log)); ack["ok"] != true {
		p.t.Errorf("stop_logs: %v", ack)
	}
	return id
}

// full fills what a status may have.
func full(r *store.Record) {
	now, code := time.Now(), 1
	r.Status.StartedAt, r.Status.FinishedAt, r.Status.NextRestartAt, r.Status.ExitCode, r.Status.OOMKilled = &now, &now, &now, &code, true
	r.Status.ImageID, r.Status.ImageDigest, r.Status.CodeRevision, r.Status.Ports = "sha256:1", "app@sha256:1", "1", r.Spec.Ports
	r.Status.RunningGeneration, r.Status.CrashStreak = r.Generation, 1
	r.Status.LastAction = &api.LastAction{Action: "start", Cause: api.CauseExit, Detail: "x", At: now}
	r.Status.SetCondition(api.Condition{Type: api.Ready, Status: api.True, Reason: "Running", Message: "it runs", ObservedGeneration: r.Generation, LastTransitionAt: now})
}

// driveNews has the server send what the other parts of the manager tell.
func (p *peer) driveNews(s *served, id string) {
	p.t.Helper()
	now := time.Now()
	_, err := s.store.Observe(p.t.(*testing.T).Context(), id, func(*store.Record) []api.Event {
		return []api.Event{
			api.Crash{ContainerID: id, ExitCode: 1, NextRestartAt: &now, Details: api.CrashDetails{Error: "x", Logs: []string{"y"}}}.Event(),
			api.HealthWarning{ContainerID: id, Health: api.HealthUnhealthy, FailingStreak: 3, Output: "x"}.Event(),
			api.Activity{ActivityType: api.ActivityActor, ContainerID: id, Message: "a: b"}.Event(),
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range []api.Event{
		api.Received{ContainerID: id, Message: json.RawMessage(`{"n":1}`)}.Event(),
		api.Fault{ContainerID: id, ErrorType: api.SocketError, Message: "x"}.Event(),
		api.Fault{ContainerID: id, ErrorType: api.MessageFormatError, Message: "x"}.Event(),
		api.StatusUpdate{ContainerID: id, Status: s.server.status(mustGet(p.t, s.store, id), api.Usage{Timestamp: now})}.Event(),
		api.ReachNews(id, false), api.ReachNews(id, true),
		api.Traffic{Count: 2, Bytes: 9, LastType: "x"}.Activity(api.ActivitySent, id).Event(),
		api.PullProgress{Image: "app", Layer: "1", Status: "Downloading", Current: 1, Total: 2}.Event(),
		api.EngineNews(errors.New("away")), api.EngineNews(nil), api.LogLoss{Message: "full", Dropped: 1, Since: now}.Event(),
	} {
		s.server.Broadcast(e)
	}
	p.event(api.EngineAvailable)
	missed := api.Missed{From: "a", To: "b", Events: 2}.Event() // is sent by the transport, and by a stream that is overtaken
	p.judge(heard{name: missed.Name, raw: missed.Stamped(now, "")})
}

func mustGet(t testing.TB, s *store.Store, id string) *store.Record {
	t.Helper()
	r, ok := s.Get(id)
	if !ok {
		t.Fatalf("there is no %s", id)
	}
	return r
}

func TestContract_HasWhatTheCodeHas(t *testing.T) {
	d := loaded(t)
	roles := map[string]api.Role{}
	for _, o := range d.Operations() {
		roles[o.Name] = api.Role(o.Role)
	}
	if diff := cmp.Diff(api.RequestRoles(), roles); diff != "" {
		t.Errorf("requests in the code (-), in the document (+):\n%s", diff)
	}
	isActivity := func(name string) bool { return strings.HasPrefix(name, "Activity") && name != "ActivityLog" }
	events := constants(t, "../event.go", func(name string) bool { return !isActivity(name) })
	for _, e := range d.News() {
		if !slices.Contains(append(api.WatchableEvents(), api.Connected, api.EventsDropped), e) {
			t.Errorf("nobody can subscribe to %s", e)
		}
	}
	documented := slices.DeleteFunc(d.Messages(), func(m string) bool { return strings.HasPrefix(m, "ack_") })
	if diff := cmp.Diff(events, documented); diff != "" {
		t.Errorf("events in the code (-), in the document (+):\n%s", diff)
	}
	for _, set := range []struct {
		what   string
		code   []string
		schema any
	}{
		{"error types", constants(t, "../errors.go", func(string) bool { return true }), d.Schema("ErrorType")},
		{"events to subscribe to", slices.Sorted(slices.Values(api.WatchableEvents())), d.Schema("Watchable")},
		{"states", slices.Sorted(slices.Values(api.States())), d.Schema("State")},
		{"activities", constants(t, "../event.go", isActivity), d.Schema("Activity")["properties"].(map[string]any)["activity_type"]},
	} {
		if diff := cmp.Diff(set.code, words(set.schema)); diff != "" {
			t.Errorf("%s in the code (-), in the document (+):\n%s", set.what, diff)
		}
	}
}

// Each word of the wire is in the document, with the sentence that explains it.
func TestContract_ExplainsTheWords(t *testing.T) {
	for name, table := range map[string][]api.Word{"Reason": api.Reasons(), "Cause": api.Causes(), "Action": api.Actions()} {
		enum, sentences := []any{}, ""
		for _, w := range table {
			enum, sentences = append(enum, w.Word), sentences+fmt.Sprintf("- `%s`: %s\n", w.Word, w.Means)
		}
		want := map[string]any{"type": "string", "enum": enum, "description": sentences}
		if diff := cmp.Diff(want, loaded(t).Schema(name)); diff != "" {
			t.Errorf("%s in the code (-), in the document (+):\n%s", name, diff)
		}
	}
}

func words(schema any) []string {
	var list []string
	for _, w := range schema.(map[string]any)["enum"].([]any) {
		list = append(list, w.(string))
	}
	slices.Sort(list)
	return list
}

// constants are the values of a file's string constants, sorted.
func constants(t *testing.T, file string, wanted func(name string) bool) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !wanted(spec.Names[0].Name) {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, _ := strconv.Unquote(literal.Value)
			values = append(values, value)
		}
		return true
	})
	slices.Sort(values)
	return values
}

// The fields of each request are those of its struct.
func TestContract_HasTheFieldsOfRequests(t *testing.T) {
	change, read := &api.ContainerRequest{}, &api.ReadRequest{}
	structs := map[string]any{
		api.CreateContainer: &api.DeclareRequest{}, api.ApplyContainer: &api.DeclareRequest{}, api.UpdateContainer: &api.UpdateRequest{},
		api.StartContainer: change, api.StopContainer: change, api.RestartContainer: change, api.PauseContainer: change, api.UnpauseContainer: change,
		api.RollbackContainer: &api.RollbackRequest{}, api.DeleteContainer: &api.DeleteRequest{}, api.WaitContainer: &api.WaitRequest{},
		api.GetContainer: read, api.ExplainContainer: read, api.GetContainerStatus: read, api.GetStatus: read, api.ListContainers: &api.ListRequest{}, api.SendMessage: &api.MessageRequest{},
		api.GetActivity: &api.ActivityRequest{}, api.GetLogs: &api.LogsRequest{}, api.StopLogs: &api.StopLogsRequest{},
		api.Subscribe: &api.SubscribeRequest{}, api.Unsubscribe: &api.UnsubscribeRequest{},
	}
	d := loaded(t)
	for _, o := range d.Operations() {
		sameFields(t, d, o.Name, reflect.TypeOf(structs[o.Name]).Elem(), o.Schema)
	}
	sameFields(t, d, "patch", reflect.TypeFor[api.Spec](), d.Schema("Patch"))
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fieldNames(f.Type)...)
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func sameFields(t *testing.T, d *asyncapi.Document, path string, of reflect.Type, schema map[string]any) {
	t.Helper()
	properties := schema["properties"].(map[string]any)
	if diff := cmp.Diff(fieldNames(of), slices.Sorted(maps.Keys(properties))); diff != "" {
		t.Errorf("%s: fields in the code (-), in the document (+):\n%s", path, diff)
	}
	for i := range of.NumField() {
		f := of.Field(i)
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if property := properties[name]; kind.Kind() == reflect.Struct && property != nil {
			sameFields(t, d, fmt.Sprint(path, ".", name), kind, d.Resolve(property))
		}
	}
}

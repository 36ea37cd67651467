package server

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/test/asyncapi"
)

// requests makes an empty request of each kind.
func requests() map[string]validated {
	return map[string]validated{
		api.CreateContainer: &api.DeclareRequest{}, api.StartContainer: &api.ContainerRequest{}, api.UpdateContainer: &api.UpdateRequest{},
		api.RollbackContainer: &api.RollbackRequest{}, api.DeleteContainer: &api.DeleteRequest{}, api.WaitContainer: &api.WaitRequest{},
		api.GetActivity: &api.ActivityRequest{}, api.GetLogs: &api.LogsRequest{}, api.StopLogs: &api.StopLogsRequest{},
		api.Subscribe: &api.SubscribeRequest{}, api.Unsubscribe: &api.UnsubscribeRequest{},
		api.GetContainer: &api.ReadRequest{}, api.ListContainers: &api.ListRequest{}, api.SendMessage: &api.MessageRequest{},
	}
}

type validated interface{ Validate() []api.FieldError }

// fuzzable is what the transport hands to a handler at all; code is not documented yet.
func fuzzable(data []byte) bool {
	return json.Valid(data) && utf8.Valid(data) && !bytes.Contains(data, []byte(`code`)) && !bytes.Contains(data, []byte(`\u`))
}

// No bytes make a decoder panic, and what the decoders let through is what the document allows.
func FuzzRequests(f *testing.F) {
	d := loaded(f)
	for _, o := range d.Operations() {
		example, _ := json.Marshal(o.Example)
		f.Add(example)
	}
	for _, seed := range []string{everything, `{`, `[]`, `{"container_id":"web","generation":1,"wait_seconds":1}`, `{"labels":{"a":"b"},"states":["running"],"limit":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !fuzzable(data) {
			return
		}
		for name, in := range requests() {
			if decode(&session.Request{Data: data}, in) == nil {
				mustAllow(t, d, name, data)
			}
		}
	})
}

func mustAllow(t *testing.T, d *asyncapi.Document, name string, data []byte) {
	t.Helper()
	if u := new(api.UpdateRequest); name == api.UpdateContainer && json.Unmarshal(data, u) == nil && len(u.Spec) > 0 {
		return // its patch has not been judged: FuzzPatch does
	}
	if err := d.Judge(name, data); err != nil {
		t.Errorf("the server takes what the document forbids: %v", err)
	}
}

// The same of merge patches: what makes a valid spec of a valid one is what the document allows.
func FuzzPatch(f *testing.F) {
	d := loaded(f)
	in := &api.DeclareRequest{}
	if err := decode(&session.Request{Data: []byte(everything)}, in); err != nil {
		f.Fatal(err)
	}
	in.Spec.Default("web")
	for _, seed := range []string{`{}`, `{"image":"b","environment":{"A":null,"B":"2"},"ports":{"80":null}}`, `{"healthcheck":{"retries":3},"liveness":null,"resources":{"pids_limit":null}}`, `{"command":["x"],"volumes":{"data":"/d:ro"}}`, `{"ports":{"":null},"environment":{"=":null}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		if !fuzzable(patch) {
			return
		}
		before := api.Encode(in.Spec)
		if next, err := applyPatch(&in.Spec, "web", &api.UpdateRequest{Spec: patch}); err == nil {
			if err := d.Judge(api.UpdateContainer, append(append([]byte(`{"container_id":"web","spec":`), patch...), '}')); err != nil {
				t.Errorf("the server takes what the document forbids: %v", err)
			}
			if bad := next.Validate(); len(bad) > 0 {
				t.Errorf("%s makes %v", patch, bad)
			}
		}
		if !bytes.Equal(before, api.Encode(in.Spec)) {
			t.Fatalf("%s changed what it was merged into", patch)
		}
	})
}

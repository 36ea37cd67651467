package server

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/test/asyncapi"
)

// What the document forbids is refused by the name of its field and leaves no trace; what it allows at its bounds is not
// refused as invalid. Operations are tried side by side, which leaves as little trace.
func TestContract_BadRequests(t *testing.T) {
	s := serve(t)
	other := s.join()
	other.ask(api.ApplyContainer, everything)
	operations := loaded(t).Operations()
	allowed := make([][]mutant, len(operations))
	var total atomic.Int64
	t.Run("refused", func(t *testing.T) {
		for i, o := range operations {
			t.Run(o.Name, func(t *testing.T) {
				t.Parallel()
				p := s.joinFor(t)
				for _, m := range mutants(loaded(t), o.Schema, baseOf(t, o)) {
					if loaded(t).Judge(o.Name, []byte(m.body)) == nil {
						allowed[i] = append(allowed[i], m)
						continue
					}
					total.Add(1)
					p.mustRefuse(s, o.Name, m.body, m.field, m.whole)
				}
				p.ask(api.ListContainers, `{}`)
			})
		}
	})
	edges := 0
	for i, o := range operations {
		for _, m := range allowed[i] {
			if m.edge && !judgedByState(m.field) {
				edges++
				other.mustNotCallInvalid(o.Name, m.body)
			}
		}
	}
	t.Logf("%d requests were refused, %d at the bounds were not", total.Load(), edges)
	if total.Load() < 4000 || edges < 150 {
		t.Errorf("only %d and %d: has the document lost its schemas?", total.Load(), edges)
	}
}

// judgedByState are fields of which more than the bounds decides, or that delay the answer.
func judgedByState(field string) bool {
	return slices.Contains([]string{"generation", "to_generation", "wait_seconds"}, field)
}

// baseOf is a request that says all there is to say of a spec, else the document's own example.
func baseOf(t *testing.T, o asyncapi.Operation) map[string]any {
	t.Helper()
	var spec map[string]any
	if err := json.Unmarshal([]byte(everything), &spec); err != nil {
		t.Fatal(err)
	}
	base := maps.Clone(o.Example)
	for _, key := range []string{"request_id", "idempotency_key", "if_generation", "name", "labels"} {
		delete(spec, key)
	}
	switch o.Name {
	case api.CreateContainer, api.ApplyContainer:
		maps.Copy(base, spec)
	case api.UpdateContainer:
		base["spec"] = spec
	}
	return base
}

func (p *peer) mustRefuse(s *served, event, body, field string, whole bool) {
	p.t.Helper()
	before := s.store.Revision()
	ack := p.ask(event, body)
	told := p.event(api.ErrorEvent)
	if named := fieldsOf(ack); ack["error_type"] != "validation_error" || told["error_type"] != "validation_error" || !names(named, field, whole) {
		p.t.Errorf("%s %.300s: want %s refused, got %.400v", event, body, field, ack)
	}
	if after := s.store.Revision(); after != before {
		p.t.Errorf("%s %.300s: was refused, and stored something", event, body)
	}
}

func (p *peer) mustNotCallInvalid(event, body string) {
	p.t.Helper()
	if ack := p.ask(event, body); ack["error_type"] == "validation_error" {
		p.t.Errorf("%s %.300s: the document allows it, got %.400v", event, body, ack)
	}
}

func fieldsOf(e map[string]any) []string {
	var fields []string
	details, _ := e["details"].(map[string]any)
	list, _ := details["fields"].([]any)
	for _, f := range list {
		fields = append(fields, f.(map[string]any)["field"].(string))
	}
	return fields
}

func names(fields []string, field string, whole bool) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		return f == field || whole && (strings.HasPrefix(f, field+".") || strings.HasPrefix(f, field+"["))
	})
}

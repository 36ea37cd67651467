package server

import (
	"fmt"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

// Whatever brings a spec about is judged: what it may reach, and, in the transaction, whether its ports are another's.
func TestServer_EverySpecIsJudged(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1","ports":{"80":8080}}`)
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:2"}`)
	p.ask(api.ApplyContainer, `{"name":"holder","image":"app","ports":{"80":8080}}`)
	requests := map[string]string{
		api.CreateContainer:   `{"name":"new","image":"app","ports":{"81":8080}}`,
		api.ApplyContainer:    `{"name":"web","image":"app:2","ports":{"81":8080}}`,
		api.UpdateContainer:   `{"container_id":"web","spec":{"ports":{"81":8080}}}`,
		api.RollbackContainer: `{"container_id":"web"}`,
	}
	for event, body := range requests {
		if got := p.ask(event, body); got["error_type"] != "conflict_error" || got["message"] != "port 8080 is holder's" {
			t.Errorf("%s of another's port: %v", event, got)
		}
	}
	s.parts.Forbid()
	for event, body := range requests {
		if got := p.ask(event, body); got["error_type"] != "policy_error" {
			t.Errorf("%s of what is forbidden: %v", event, got)
		}
	}
	if r, _ := s.store.Resolve("web"); r.Generation != 2 {
		t.Errorf("generation %d", r.Generation)
	}
}

// What was accepted is answered as it was, whatever the policy says by then.
func TestServer_ARepeatedUpdateHasItsFirstResult(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	body := `{"container_id":"web","spec":{"image":"app:2"},"idempotency_key":"0123456789abcdef","request_id":"%d"}`
	first := p.ask(api.UpdateContainer, fmt.Sprintf(body, 1))
	s.parts.Forbid()
	if again := p.ask(api.UpdateContainer, fmt.Sprintf(body, 2)); again["ok"] != true || again["generation"] != first["generation"] || again["changed"] != true {
		t.Errorf("first %v, then %v", first, again)
	}
}

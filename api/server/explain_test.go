package server

import (
	"testing"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

func TestServer_ADryRunStoresNothing(t *testing.T) {
	s := serve(t)
	p := s.join()
	fresh := p.ask(api.ApplyContainer, `{"name":"web","image":"app:1","dry_run":true,"request_id":"r"}`)
	if fresh["dry_run"] != true || fresh["changed"] != true || fresh["effect"] != "create" || fresh["request_id"] != "r" || fresh["container_id"] != nil {
		t.Errorf("fresh: %v", fresh)
	}
	if records, revision := s.store.List(); len(records) != 0 || revision != 0 {
		t.Fatalf("%d containers at revision %d", len(records), revision)
	}
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	revision := s.store.Revision()
	changed := p.ask(api.UpdateContainer, `{"container_id":"web","spec":{"image":"app:2"},"dry_run":true,"idempotency_key":"0123456789abcdef"}`)
	why, _ := changed["why"].([]any)
	if changed["effect"] != "recreate" || len(why) != 1 || why[0].(map[string]any)["field"] != "image" || why[0].(map[string]any)["cost"] != "recreate" {
		t.Errorf("changed: %v", changed)
	}
	if same := p.ask(api.ApplyContainer, `{"name":"web","image":"app:1","dry_run":true}`); same["effect"] != "none" || same["changed"] != false {
		t.Errorf("same: %v", same)
	}
	if refused := p.ask(api.ApplyContainer, `{"name":"web","image":"app:1","if_generation":7,"dry_run":true}`); refused["error_type"] != "conflict_error" {
		t.Errorf("refused: %v", refused)
	}
	if now := s.store.Revision(); now != revision {
		t.Errorf("the revision went from %d to %d", revision, now)
	}
	if real := p.ask(api.UpdateContainer, `{"container_id":"web","spec":{"image":"app:2"},"idempotency_key":"0123456789abcdef"}`); real["changed"] != true {
		t.Errorf("the key of a dry run was used up: %v", real)
	}
}

func TestServer_ExplainsToWhoMaySee(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	got := p.ask(api.ExplainContainer, `{"container_id":"web"}`)
	if got["ok"] != true || got["why"] != "it is as declared" || got["name"] != "web" {
		t.Errorf("explained: %v", got)
	}
	if got["last_exit"] != nil || got["failed_update"] != nil {
		t.Errorf("nothing has failed: %v", got)
	}
	s.observe("web", api.StateRunning, func(r *store.Record) { r.Trials = []store.Trial{{Failed: "it exited with code 1"}} })
	failed, _ := p.ask(api.ExplainContainer, `{"container_id":"web"}`)["failed_update"].(map[string]any)
	if failed["reason"] != api.ReasonUpdateFailed || failed["message"] != "it exited with code 1" {
		t.Errorf("failed: %v", failed)
	}
	if nobody := p.ask(api.ExplainContainer, `{"container_id":"nobody"}`); nobody["error_type"] != "container_not_found" {
		t.Errorf("nobody: %v", nobody)
	}
}

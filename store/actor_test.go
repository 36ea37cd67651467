package store

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

func TestStore_DeclareKeepsWhoAskedForWhat(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	before := s.Revision()
	made := declare(t, s, Declaration{Principal: "ci", Operation: "apply_container", Name: "web", Change: running})
	declare(t, s, Declaration{Principal: "ann", Operation: "apply_container", Name: "web", Change: running}) // changes nothing
	declare(t, s, Declaration{Principal: "ann", Operation: "stop_container", ContainerID: "web", Change: image("b")})
	changes, err := s.Watch(before).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []api.Activity
	for _, c := range changes {
		for _, e := range c.Events {
			var a api.Activity
			if err := json.Unmarshal(e.Data, &a); err != nil || e.Name != api.ActivityLog {
				t.Fatalf("%s %s: %v", e.Name, e.Data, err)
			}
			got = append(got, a)
		}
	}
	want := []api.Activity{
		{ActivityType: api.ActivityDeclared, ContainerID: made.ID, Message: "apply_container of web by ci",
			Details: map[string]any{"actor": "ci", "operation": "apply_container", "name": "web", "generation": 1.0}},
		{ActivityType: api.ActivityDeclared, ContainerID: made.ID, Message: "stop_container of web by ann",
			Details: map[string]any{"actor": "ann", "operation": "stop_container", "name": "web", "generation": 2.0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	stale := int64(1)
	_, err = s.Declare(t.Context(), Declaration{Principal: "bob", ContainerID: "web", IfGeneration: &stale, Change: running})
	if e := api.AsError(err); e.Details["declared_by"] != "ann" || !strings.Contains(e.Message, "declared by ann") {
		t.Errorf("a stale if_generation: %v %v", err, e.Details)
	}
}

func TestStore_AnIdempotencyKeyIsItsPrincipalsOwn(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	d := Declaration{Principal: "ann", Key: "0123456789abcdef", BodyHash: "1", Name: "web", Change: running}
	declare(t, s, d)
	d.Principal, d.BodyHash, d.Change = "bob", "2", image("b")
	if other := declare(t, s, d); !other.Changed || other.Generation != 2 {
		t.Errorf("bob's request was taken for ann's: %+v", other)
	}
}

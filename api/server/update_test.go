package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

func TestServer_UpdateChangesWhatItNames(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1","environment":{"A":"1"}}`)
	s.observe("web", "running", nil)
	p.event(api.ContainerCreated)
	ack := p.ask(api.UpdateContainer, `{"container_id":"web","spec":{"image":"app:2","environment":{"B":"2"}},"request_id":"r1"}`)
	spec := ack["container"].(map[string]any)["spec"].(map[string]any)
	if env := spec["environment"].(map[string]any); ack["generation"] != 2.0 || spec["image"] != "app:2" || env["A"] != "1" || env["B"] != "2" {
		t.Errorf("ack: %v", ack)
	}
	s.observe("web", "running", nil)
	if e := p.event(api.ContainerUpdated); e["status"] != "updated" || e["request_id"] != "r1" || e["image"] != "app:2" {
		t.Errorf("event: %v", e)
	}
	if same := p.ask(api.UpdateContainer, `{"container_id":"web","spec":{"image":"app:2"}}`); same["changed"] != false {
		t.Errorf("unchanged: %v", same)
	}
	if again := p.ask(api.UpdateContainer, `{"container_id":"web","retry":true}`); again["changed"] != true {
		t.Errorf("retry: %v", again)
	}
	if r, _ := s.store.Resolve("web"); r.Asked.Retry != r.Generation {
		t.Errorf("retry %d of generation %d", r.Asked.Retry, r.Generation)
	}
}

func TestServer_UpdateRefusals(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app"}`)
	tests := []struct{ event, body, kind, field string }{
		{api.UpdateContainer, `{"container_id":"web"}`, "validation_error", "spec"},
		{api.UpdateContainer, `{"container_id":"web","spec":{"image":"UPPER"}}`, "validation_error", "spec.image"},
		{api.UpdateContainer, `{"container_id":"web","spec":{"name":"other"}}`, "validation_error", "spec.name"},
		{api.UpdateContainer, `{"container_id":"web","spec":{"image":"forbidden"}}`, "policy_error", ""},
		{api.UpdateContainer, `{"container_id":"nobody","spec":{}}`, "container_not_found", ""},
		{api.RollbackContainer, `{"container_id":"web"}`, "conflict_error", ""},
		{api.RollbackContainer, `{"container_id":"web","to_generation":7}`, "validation_error", "to_generation"},
		{api.RollbackContainer, `{"container_id":"nobody"}`, "container_not_found", ""},
	}
	for _, tt := range tests {
		got := p.ask(tt.event, tt.body)
		field := ""
		if fields, ok := got["details"].(map[string]any)["fields"].([]any); ok {
			field = fields[0].(map[string]any)["field"].(string)
		}
		if got["error_type"] != tt.kind || field != tt.field {
			t.Errorf("%s %s: %v", tt.event, tt.body, got)
		}
	}
	if r, _ := s.store.Resolve("web"); r.Generation != 1 {
		t.Errorf("generation %d", r.Generation)
	}
}

func TestServer_RollbackDeclaresWhatWasBefore(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:2"}`)
	p.ask(api.StopContainer, `{"container_id":"web"}`)
	image := func(ack map[string]any) any {
		t.Helper()
		spec := ack["container"].(map[string]any)["spec"].(map[string]any)
		if spec["desired_state"] != "stopped" {
			t.Errorf("a rollback changed the desired state to %v", spec["desired_state"])
		}
		return spec["image"]
	}
	if got := image(p.ask(api.RollbackContainer, `{"container_id":"web"}`)); got != "app:1" {
		t.Errorf("rolled back to %v", got)
	}
	s.observe("web", "stopped", nil)
	if e := p.event(api.ContainerUpdated); e["status"] != "rolled_back" {
		// the apply's answer may come first: it was overtaken, and is an error
		t.Errorf("event: %v", e)
	}
	if got := image(p.ask(api.RollbackContainer, `{"container_id":"web","to_generation":2}`)); got != "app:2" {
		t.Errorf("rolled forward to %v", got)
	}
}

// A rollback is a declaration: what an earlier manager took is not taken any more for having been taken once, and a patch of
// something else does not carry it along.
func TestServer_RollbackDeclaresNothingThatIsRefusedNow(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	for _, test := range [][]string{{"CMD"}, {"CMD-SHELL"}} {
		if _, err := s.store.Declare(t.Context(), store.Declaration{ContainerID: "web", Change: func(w *store.Wish) error {
			w.Spec.Healthcheck = &api.Healthcheck{Test: test}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for event, body := range map[string]string{
		api.RollbackContainer: `{"container_id":"web"}`,
		api.UpdateContainer:   `{"container_id":"web","spec":{"environment":{"A":"1"}}}`,
	} {
		if got := p.ask(event, body); got["error_type"] != "validation_error" || !strings.Contains(fmt.Sprint(got["message"]), "healthcheck.test: ") {
			t.Errorf("%s: %v", event, got)
		}
	}
	if r, _ := s.store.Resolve("web"); r.Generation != 3 {
		t.Errorf("generation %d", r.Generation)
	}
	if ack := p.ask(api.RollbackContainer, `{"container_id":"web","to_generation":1}`); ack["generation"] != 4.0 {
		t.Errorf("what is well: %v", ack)
	}
}

// Where what runs is not what is declared, a rollback goes to what runs, and not to what never ran.
func TestServer_RollbackGoesToWhatRuns(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	s.observe("web", "running", func(c *store.Record) {
		c.Current.Generation = 1
	})
	p.ask(api.ApplyContainer, `{"name":"web","image":"missing:1"}`)
	p.ask(api.ApplyContainer, `{"name":"web","image":"missing:2"}`)
	ack := p.ask(api.RollbackContainer, `{"container_id":"web"}`)
	if spec := ack["container"].(map[string]any)["spec"].(map[string]any); spec["image"] != "app:1" {
		t.Errorf("rolled back to %v", spec["image"])
	}
}

// A container that has stopped has done what was asked, whatever else is wrong with it.
func TestServer_AStopIsDoneThoughTheImageIsMissing(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	missing := func(c *store.Record) {
		c.Current = store.Placement{}
		c.Tracks.Update.Failure = &store.Failure{ErrorType: api.ImageNotFound, Reason: "ImageNotFound", Message: "no such image"}
	}
	s.observe("web", "created", missing)
	if e := p.event(api.ErrorEvent); e["error_type"] != "image_not_found" {
		t.Errorf("the apply: %v", e)
	}
	p.ask(api.StopContainer, `{"container_id":"web"}`)
	s.observe("web", "stopped", missing)
	if e := p.event(api.ContainerStopped); e["status"] != "stopped" {
		t.Errorf("the stop: %v", e)
	}
}

// A template that was taken back is an error to who asked for it, though what stood before runs.
func TestServer_AnUpdateThatWasTakenBackIsAnError(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	s.observe("web", "running", nil)
	p.event(api.ContainerCreated)
	p.ask(api.UpdateContainer, `{"container_id":"web","spec":{"image":"app:2"},"request_id":"r2"}`)
	s.observe("web", "running", func(c *store.Record) {
		c.Current.TemplateHash, c.Current.Stable = "of app:1", true
		c.NoteTrial(store.Trial{Template: plan.Template(c), Attempts: 1, Failed: "it exited with code 1"})
	})
	if e := p.event(api.ErrorEvent); e["error_type"] != "docker_api_error" || e["request_id"] != "r2" {
		t.Errorf("event: %v", e)
	}
}

// A request that is repeated by its key has its first outcome, though a later one has overtaken it since. One that was overtaken
// before anything was seen of it has that one's error.
func TestServer_ARepeatedRequestHasItsFirstOutcome(t *testing.T) {
	for _, seen := range []bool{true, false} {
		t.Run(fmt.Sprint("seen ", seen), func(t *testing.T) {
			s := serve(t)
			p := s.join()
			conclude := func(c *store.Record) {
				if o := plan.JudgeNow(c, store.Accepted{Generation: c.Generation, Intent: c.IntentOf(c.Generation)}); o != nil {
					c.Conclude(*o)
				}
			}
			p.ask(api.CreateContainer, webSpec)
			s.observe("web", api.StateCreated, conclude)
			p.event(api.ContainerCreated)
			start := `{"container_id":"web","idempotency_key":"0123456789abcdef","request_id":"start"}`
			p.ask(api.StartContainer, start)
			if seen {
				s.observe("web", api.StateRunning, conclude)
				p.event(api.ContainerStarted)
			}
			p.ask(api.StopContainer, `{"container_id":"web"}`)
			s.observe("web", api.StateStopped, conclude)
			p.event(api.ContainerStopped)
			if !seen {
				p.event(api.ErrorEvent)
			}
			if ack := p.ask(api.StartContainer, start); ack["ok"] != true || ack["generation"] != 2.0 {
				t.Errorf("repeated: %v", ack)
			}
			if seen {
				if e := p.event(api.ContainerStarted); e["status"] != "running" {
					t.Errorf("its event: %v", e)
				}
			} else if e := p.event(api.ErrorEvent); e["error_type"] != "conflict_error" {
				t.Errorf("its error: %v", e)
			}
			if r, _ := s.store.Resolve("web"); r.Spec.DesiredState != api.DesiredStopped {
				t.Errorf("it was declared again: %s", r.Spec.DesiredState)
			}
		})
	}
}

// A repeated rollback has its first result, whatever has become of the container since.
func TestServer_ARepeatedRollbackHasItsFirstResult(t *testing.T) {
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:1"}`)
	p.ask(api.ApplyContainer, `{"name":"web","image":"app:2"}`)
	body := `{"container_id":"web","idempotency_key":"0123456789abcdef"}`
	first := p.ask(api.RollbackContainer, body)
	r, err := s.store.Resolve("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Bury(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	if again := p.ask(api.RollbackContainer, body); again["ok"] != true || again["generation"] != first["generation"] {
		t.Errorf("first %v, then %v", first, again)
	}
}

// A default name is the container's own: what is printed of it can be applied again, and nobody else takes such a name.
func TestServer_ADefaultNameIsAppliedToItsOwnContainer(t *testing.T) {
	p := serve(t).join()
	name, _ := p.ask(api.CreateContainer, `{"image":"app:1"}`)["container"].(map[string]any)["name"].(string)
	if ack := p.ask(api.ApplyContainer, `{"name":"`+name+`","image":"app:2"}`); ack["generation"] != 2.0 {
		t.Errorf("ack: %v", ack)
	}
	for event, want := range map[string]string{api.CreateContainer: "conflict_error", api.ApplyContainer: ""} {
		if got := p.ask(event, `{"name":"`+name+`","image":"app:2"}`); fmt.Sprint(got["error_type"]) != want && (want != "" || got["ok"] != true) {
			t.Errorf("%s of one that there is: %v", event, got)
		}
		if got := p.ask(event, `{"name":"flow-d8fk2v6s3nvg00abcd0g","image":"app"}`); got["error_type"] != "validation_error" {
			t.Errorf("%s of another's name: %v", event, got)
		}
	}
}

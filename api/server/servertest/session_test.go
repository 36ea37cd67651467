package servertest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// serve runs the real server on a real store, in a bubble: end ends both.
func serve(t *testing.T) (app *server.Server, st *store.Store, end func()) {
	t.Helper()
	st, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &servertest.Parts{}
	app = server.New(server.Backend{Store: st, Messenger: p, Stats: p, Logs: p, Engine: p, Policy: p, Planner: p, Log: zerolog.Nop()})
	stop := servertest.Run(app, st)
	return app, st, func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func join(t *testing.T, app session.App, role api.Role) *servertest.Session {
	t.Helper()
	s, err := servertest.Open(app, session.Principal{Name: "ann", Role: role})
	if err != nil {
		t.Fatal(err)
	}
	if hello := s.Events(); len(hello) != 1 || hello[0].Event != api.Connected {
		t.Fatalf("the first that it is told is %v", hello)
	}
	return s
}

// runs plays the controller: the newest generation runs.
func runs(t *testing.T, st *store.Store, name string) {
	t.Helper()
	r, err := st.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Observe(t.Context(), r.ID, func(c *store.Record) []api.Event {
		c.Status.State, c.Status.DockerID, c.Status.ObservedGeneration = api.StateRunning, strings.Repeat("a", 64), c.Generation
		c.Current = store.Placement{Token: "t1", DockerID: c.Status.DockerID, TemplateHash: api.TemplateHash(&c.Spec), Generation: c.TemplateGeneration, Resources: c.Spec.Resources}
		c.Done, c.AtRest = c.Asked, true
		started := time.Now()
		c.Status.StartedAt = &started
		for _, kind := range []string{api.Ready, api.Available} {
			c.Status.SetCondition(api.Condition{Type: kind, Status: api.True, Reason: api.ReasonRunning, ObservedGeneration: c.Generation})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func decoded(t *testing.T, body json.RawMessage) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return m
}

func TestSession_ADeclarationAndItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, st, end := serve(t)
		defer end()
		s := join(t, app, api.Operator)
		defer s.Close()
		asked := s.Ask(api.ApplyContainer, json.RawMessage(`{"name":"web","image":"app","request_id":"r"}`))
		<-asked.Done()
		if ack := decoded(t, asked.Ack()); ack["ok"] != true || ack["generation"] != 1.0 {
			t.Errorf("ack: %v", ack)
		}
		runs(t, st, "web")
		synctest.Wait()
		var answers []map[string]any
		for _, e := range s.Events() {
			if e.Event == api.ContainerCreated {
				answers = append(answers, decoded(t, e.Body))
			}
		}
		if len(answers) != 1 || answers[0]["request_id"] != "r" || answers[0]["status"] != api.StateRunning {
			t.Errorf("answers: %v", answers)
		}
	})
}

// A wait ends by the bubble's clock, and its acknowledgement comes after later ones.
func TestSession_AnAcknowledgementThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, st, end := serve(t)
		defer end()
		s := join(t, app, api.Operator)
		defer s.Close()
		waits := s.Ask(api.ApplyContainer, json.RawMessage(`{"name":"web","image":"app","wait_seconds":60}`))
		impatient := s.Ask(api.WaitContainer, json.RawMessage(`{"container_id":"web","generation":1,"wait_seconds":5}`))
		time.Sleep(6 * time.Second)
		if waits.Ack() != nil {
			t.Errorf("acknowledged by %s", waits.Ack())
		}
		if ack := decoded(t, impatient.Ack()); ack["error_type"] != string(api.TimeoutError) {
			t.Errorf("impatient: %v", ack)
		}
		runs(t, st, "web")
		<-waits.Acked()
		if ack := decoded(t, waits.Ack()); ack["ok"] != true || ack["status"] != api.StateRunning {
			t.Errorf("waited: %v", ack)
		}
	})
}

// A stream holds back what a slow client does not read; nothing else does.
func TestSession_Slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, st, end := serve(t)
		defer end()
		s := join(t, app, api.Operator)
		defer s.Close()
		s.Slow(2)
		s.Tell(api.Subscribe, json.RawMessage(`{"events":["activity_log"]}`))
		const declared = 5
		for n := range declared {
			s.Tell(api.ApplyContainer, api.Encode(map[string]any{"name": "web", "image": "app", "working_dir": "/" + strings.Repeat("x", n+1)}))
		}
		synctest.Wait()
		if n := s.Paced(); n != 2 {
			t.Errorf("%d wait", n)
		}
		told := 0
		for told < declared {
			next, ok := s.Next(t.Context())
			if !ok {
				t.Fatal("the session is over")
			}
			if next.Event == api.ActivityLog {
				told++
			}
		}
		runs(t, st, "web")
	})
}

func TestSession_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _, end := serve(t)
		defer end()
		s, other := join(t, app, api.Viewer), join(t, app, api.Operator)
		refused := s.Ask(api.StopContainer, json.RawMessage(`{"container_id":"web"}`))
		if ack := decoded(t, refused.Ack()); ack["error_type"] != string(api.PermissionError) {
			t.Errorf("a viewer's stop: %v", ack)
		}
		s.Close()
		s.Close()
		app.Broadcast(api.EngineNews(nil))
		if late := s.Ask(api.ListContainers, json.RawMessage(`{}`)); late.Ack() != nil {
			t.Errorf("asked when it was over: %s", late.Ack())
		}
		if told := s.Events(); len(told) != 1 || told[0].Event != api.ErrorEvent {
			t.Errorf("it was told %v", told)
		}
		if told := other.Events(); len(told) != 1 || !told[0].News {
			t.Errorf("the other was told %v", told)
		}
		other.Close()
	})
}

package server

import (
	"encoding/json"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// waitContainer answers with the outcome of a generation, which any session may have declared.
func (s *Server) waitContainer(c session.Session, r *session.Request) error {
	in := &api.WaitRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	record, err := s.Store.Resolve(in.ContainerID)
	if err != nil {
		return err
	}
	if in.Generation > record.Generation {
		return api.Invalid(api.FieldError{Field: "generation", Message: "has not been declared yet"}).With("generation", record.Generation)
	}
	p := pendingAnswer{session: c, operation: r.Event, requestID: in.RequestID, id: record.ID, name: record.Name, request: store.Accepted{Generation: in.Generation, Intent: record.IntentOf(in.Generation)}, superseded: record.Generation > in.Generation}
	ack := map[string]any{"ok": true, "container_id": record.ID, "generation": in.Generation}
	if in.RequestID != "" {
		ack["request_id"] = in.RequestID
	}
	s.await(r, p, in.Waiting, ack)
	return nil
}

// await acknowledges r when the outcome of what p stands for is known, or the time is up; what was declared stands either
// way.
func (s *Server) await(r *session.Request, p pendingAnswer, until api.Waiting, ack map[string]any) {
	limit := time.Duration(*until.Wait) * time.Second
	p.result, p.level = make(chan *outcome, 1), levelOf(until.For)
	s.trackAnswer(&p)
	s.async(r, func() {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case o := <-p.result:
			s.acknowledgeWait(r, &p, o, ack)
		case <-timer.C:
			s.answers.remove(&p)
			r.Ack(waitError(&p, s.notSeen(r.Event, limit)))
		case <-p.session.Context().Done():
		}
	})
}

// notSeen is what who waited is told when the time is up.
func (s *Server) notSeen(event string, limit time.Duration) *api.Error {
	if away := s.engineAway(); away != nil {
		return api.Errorf(api.TimeoutError, "%s was accepted, but its outcome was not seen within %s: %s; it stands, and is gone on with once the engine is back", event, limit, away).With("engine_away", away)
	}
	return api.Errorf(api.TimeoutError, "%s was accepted, but its outcome was not seen within %s; it stands, and is gone on with", event, limit)
}

// levelOf is how far a request is to have come for whoever waits for it.
func levelOf(word string) store.Level {
	switch word {
	case api.WaitForRunning:
		return store.LevelSeen
	case api.WaitForReady:
		return store.LevelReady
	}
	return store.LevelAvailable
}

func (s *Server) acknowledgeWait(r *session.Request, p *pendingAnswer, o *outcome, ack map[string]any) {
	if o.err != nil {
		r.Ack(waitError(p, o.err))
		return
	}
	ack["status"] = o.status
	if record, ok := s.Store.Get(p.id); ok {
		ack["container"] = s.view(p.session, record)
	}
	r.AckWait(p.session.Context(), api.Encode(ack))
}

// waitError is an error that says besides that the request itself was accepted.
func waitError(p *pendingAnswer, e *api.Error) json.RawMessage {
	return api.Merge(json.RawMessage(`{"ok":false}`), e.With("generation", p.request.Generation).For(p.operation, p.requestID, p.id).Body(time.Now()))
}

package server

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// Planner tells what the loop would do. Its errors are *api.Error.
type Planner interface {
	// Effect tells what would become of a record that is not written; exists tells a standing container from a new one.
	Effect(ctx context.Context, r *store.Record, exists bool) (api.Effect, error)
	Explain(ctx context.Context, r *store.Record) (api.Explanation, error)
}

func (s *Server) explainContainer(c session.Session, r *session.Request) error {
	in, record, err := s.read(r)
	if err != nil {
		return err
	}
	explained, err := s.Planner.Explain(c.Context(), shown(c, record))
	if err != nil {
		return err
	}
	if !seesAll(c) {
		explained = explained.ForViewer()
	}
	body := api.Encode(explained)
	respond(c, r, in, api.ContainerExplained, body, api.Merge(json.RawMessage(`{"ok":true}`), body))
	return nil
}

// dryRun answers what a declaration would come to, and declares nothing.
func (s *Server) dryRun(c session.Session, r *session.Request, in *api.Declaring, d store.Declaration) error {
	result, err := s.Store.Try(c.Context(), d)
	if err != nil {
		return forRequest(err, in.RequestID)
	}
	effect, why := api.Effect{Effect: api.EffectNone, Lost: []string{}}, []api.Difference{}
	if result.Changed {
		if effect, err = s.Planner.Effect(c.Context(), result.Record, !result.Created); err != nil {
			return err
		}
		why = s.differences(&result)
	}
	ack := map[string]any{"ok": true, "dry_run": true, "changed": result.Changed, "effect": effect.Effect, "lost": effect.Lost, "why": why}
	if !result.Created {
		ack["container_id"] = result.ID
	}
	if in.RequestID != "" {
		ack["request_id"] = in.RequestID
	}
	if r.WantsAck() {
		r.Ack(api.Encode(ack))
	}
	return nil
}

// differences are the fields that a declaration changes, with what each costs.
func (s *Server) differences(result *store.Result) []api.Difference {
	list := []api.Difference{}
	current, ok := s.Store.Get(result.ID)
	if !ok {
		return list
	}
	for _, c := range api.Changes(&current.Spec, &result.Record.Spec) {
		list = append(list, api.Difference{Field: c.Field, Cost: c.Cost.String()})
	}
	isCode := func(d api.Difference) bool { return d.Field == "code" }
	if result.Record.Code != current.Code && !slices.ContainsFunc(list, isCode) {
		list = append(list, api.Difference{Field: "code", Cost: api.CostRestart.String()})
	}
	return list
}

package server

import (
	"encoding/json"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// declares reports whether a request declares something, so that who asked for it is to be known.
func declares(event string) bool {
	switch event {
	case api.CreateContainer, api.ApplyContainer, api.UpdateContainer, api.RollbackContainer, api.DeleteContainer,
		api.StartContainer, api.StopContainer, api.RestartContainer, api.PauseContainer, api.UnpauseContainer:
		return true
	}
	return false
}

// audit tells the log and the audit log of a declaration, and who asked for it.
func (s *Server) audit(r *session.Request, outcome string, add func(*zerolog.Event)) {
	as := r.Session.Principal()
	for _, log := range []*zerolog.Logger{&s.Log, &s.Audit} {
		line := log.Info().Str("operation", r.Event).Str("principal", as.Name).Str("role", string(as.Role)).Str("login_id", as.Token).
			Str("session", r.Session.ID()).Str("remote", r.Session.RemoteAddr())
		add(line)
		line.Msg(outcome)
	}
}

// auditAccepted is for what is on disk.
func (s *Server) auditAccepted(r *session.Request, in *api.Declaring, result *store.Result) {
	s.audit(r, "accepted", func(line *zerolog.Event) {
		line.Str("id", result.ID).Int64("generation", result.Generation).Bool("changed", result.Changed)
		if result.Record != nil {
			line.Str("name", result.Record.Name)
		}
		if in.RequestID != "" {
			line.Str("request_id", in.RequestID)
		}
		if result.Replayed {
			line.Bool("replayed", true)
		}
	})
}

// auditRefused is for a declaration that was not accepted, as its client is told so. A dry run declares nothing.
func (s *Server) auditRefused(r *session.Request, e *api.Error) {
	var asked struct {
		ContainerID any  `json:"container_id"`
		Name        any  `json:"name"`
		RequestID   any  `json:"request_id"`
		DryRun      bool `json:"dry_run"`
	}
	_ = json.Unmarshal(r.Data, &asked) // what can be read of it
	if !declares(r.Event) || asked.DryRun {
		return
	}
	e = e.Masked(api.Redactor{})
	s.audit(r, "refused", func(line *zerolog.Event) {
		for _, given := range []struct {
			key   string
			value any
		}{{"container_id", asked.ContainerID}, {"name", asked.Name}, {"request_id", asked.RequestID}} {
			if text, ok := given.value.(string); ok && text != "" {
				line.Str(given.key, fmt.Sprintf("%.256s", text))
			}
		}
		line.Str("error_type", string(e.Type)).Str("error", e.Message)
	})
}

package server

import (
	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// permit looks at who asks before it looks at what for.
func (s *Server) permit(c session.Session, r *session.Request) error {
	needed, known := s.roles[r.Event]
	has := c.Principal().Role
	switch {
	case !known || s.handlers[r.Event] == nil:
		return api.UnknownEvent(r.Event)
	case !has.Allows(needed):
		return api.Errorf(api.PermissionError, "%s takes the role %s, and %s has the role %s; log in with a token of that role",
			r.Event, needed, c.Principal().Name, has).With("role", has).With("required_role", needed)
	}
	return nil
}

// seesAll tells who is not a mere viewer.
func seesAll(c session.Session) bool { return c.Principal().Role.Allows(api.Operator) }

// shown is a record as a session may see it.
func shown(c session.Session, r *store.Record) *store.Record {
	if seesAll(c) {
		return r
	}
	masked := *r
	masked.Container = r.ForViewer()
	return &masked
}

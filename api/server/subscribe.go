package server

import (
	"errors"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// subscribe narrows what a session is sent to what it names, in the place of what it subscribed to before. What comes behind the
// acknowledgement is without gap and double; subscribed says that all up to when it asked has been sent.
func (s *Server) subscribe(c session.Session, r *session.Request) error {
	in := &api.SubscribeRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	f, err := s.newFilter(in)
	if err != nil {
		return api.AsError(err).For("", in.RequestID, "")
	}
	at, err := s.beginning(in)
	if err != nil {
		return expired(err).For("", in.RequestID, "")
	}
	s.resubscribe(c, r, in.RequestID, f, at)
	return nil
}

// beginning is where a subscription asks to begin, nil where it does not say.
func (s *Server) beginning(in *api.SubscribeRequest) (*cursor, error) {
	var p store.Position
	var err error
	switch {
	case in.ResourceVersion != "":
		p, err = s.Store.Position(in.ResourceVersion)
	case in.Since != "":
		since, _ := api.Moment(in.Since) // it has been validated
		p, err = s.Store.PositionSince(since)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &cursor{p, s.Store.TallyAt(p.After)}, nil
}

// expired is what a client is told whose resource version leads nowhere.
func expired(err error) *api.Error {
	if !errors.Is(err, store.ErrExpired) {
		return api.AsError(err)
	}
	return api.Errorf(api.ResourceExpiredError, "what follows this resource_version is not kept any more, or it is from before a restore: list_containers, then subscribe from the resource_version of the list").Because(err)
}

// unsubscribe takes away what it names. Where it names nothing the session is sent again what one is that has not subscribed.
func (s *Server) unsubscribe(c session.Session, r *session.Request) error {
	in := &api.UnsubscribeRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	f := filter{}
	if len(in.ContainerIDs)+len(in.Events) > 0 {
		ids, err := s.resolveAll(in.ContainerIDs)
		if err == nil {
			f, err = s.currentFilter(c).without(ids, in.Events)
		}
		if err != nil {
			return api.AsError(err).For("", in.RequestID, "")
		}
	}
	s.resubscribe(c, r, in.RequestID, f, nil)
	return nil
}

func (s *Server) currentFilter(c session.Session) filter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.sessions[c]; st != nil {
		return st.filter
	}
	return filter{}
}

// resubscribe puts a new stream in the place of what the session was sent so far, from a position, or nil for where that ended.
func (s *Server) resubscribe(c session.Session, r *session.Request, requestID string, f filter, at *cursor) {
	ended := s.stopStream(c)
	if at == nil {
		at = &ended
	}
	a := subscription{operation: r.Event, requestID: requestID, upTo: s.Store.Revision()}
	ack := map[string]any{"ok": true, "resource_version": s.Store.VersionAt(at.Position)} // what is after it is yet to come
	if requestID != "" {
		ack["request_id"] = requestID
	}
	r.AckWait(c.Context(), api.Encode(ack))
	s.startStream(c, f, *at, a)
}

// stopStream ends what the session is sent of changes, and returns how far it was sent.
func (s *Server) stopStream(c session.Session) cursor {
	s.mu.Lock()
	st := s.sessions[c]
	if st == nil {
		st = &stream{stop: func(error) {}, done: make(chan struct{}), at: behind(s.broadcastRevision, s.broadcastTold)}
		close(st.done)
		s.sessions[c] = st // from here on it is told nothing as others are
	}
	s.mu.Unlock()
	st.stop(errReplaced)
	<-st.done
	return st.at
}

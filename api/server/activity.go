package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// getActivity answers from the store's log, so that it knows what earlier runs of the manager did.
func (s *Server) getActivity(c session.Session, r *session.Request) error {
	in := &api.ActivityRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	id := ""
	if in.ContainerID != "" {
		var err error
		if id, err = s.known(in.ContainerID); err != nil {
			return api.AsError(err).For("", in.RequestID, "")
		}
	}
	entries, revision, err := s.activity(c, in, id)
	if err != nil {
		return fmt.Errorf("read the activity log: %w", err)
	}
	body := api.Encode(map[string]any{"entries": entries, "resource_version": s.Store.Version(revision), "timestamp": time.Now().UTC()})
	respond(c, r, &api.ReadRequest{Asked: in.Asked}, api.PastActivity, body, api.Merge(json.RawMessage(`{"ok":true}`), body))
	return nil
}

// activity is the newest entries, as the session may see them, oldest first.
func (s *Server) activity(c session.Session, in *api.ActivityRequest, id string) (entries []json.RawMessage, revision uint64, err error) {
	since, _ := api.Moment(in.Since) // it has been validated
	limit := in.Limit
	if limit == 0 {
		limit = api.DefaultActivity
	}
	entries, size := []json.RawMessage{}, 0
	revision, err = s.Store.Past(id, func(change *store.Change) bool {
		if change.At.Before(since) {
			return false
		}
		for i, e := range slices.Backward(change.Events) {
			entry, shown := s.entry(c, change, i, e)
			if !shown {
				continue
			}
			if size += len(entry); len(entries) == limit || len(entries) > 0 && size > maxPageBytes {
				return false
			}
			entries = append(entries, entry)
		}
		return true
	})
	slices.Reverse(entries)
	return entries, revision, err
}

// entry is the ith event of a change, if it is an activity.
func (s *Server) entry(c session.Session, change *store.Change, i int, e api.Event) (json.RawMessage, bool) {
	if e.Name != api.ActivityLog {
		return nil, false
	}
	if !seesAll(c) {
		var shown bool
		if e, shown = e.ForViewer(); !shown {
			return nil, false
		}
	}
	return e.Stamped(change.At, s.Store.VersionOf(change.Revision, i+2, 1+len(change.Events))), true
}

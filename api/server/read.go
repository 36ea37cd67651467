package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

const (
	maxPageBytes = 1 << 20
	// usageWait is how long a status waits for a container's first sample.
	usageWait = 3 * time.Second
)

func (s *Server) getContainer(c session.Session, r *session.Request) error {
	in, record, err := s.read(r)
	if err != nil {
		return err
	}
	object := api.Encode(s.view(c, record))
	respond(c, r, in, api.ContainerObject, object, api.Encode(map[string]any{"ok": true, "container": object}))
	return nil
}

// getContainerStatus answers later, because the first sample of a container's consumption takes a second.
func (s *Server) getContainerStatus(c session.Session, r *session.Request) error {
	in, record, err := s.read(r)
	if err != nil {
		return err
	}
	s.async(r, func() {
		ctx, cancel := context.WithTimeout(c.Context(), usageWait)
		defer cancel()
		visible := shown(c, record)
		body := api.Encode(s.status(visible, s.Stats.Usage(ctx, &visible.Container)))
		respond(c, r, in, api.ContainerStatus, body, api.Merge(json.RawMessage(`{"ok":true}`), body))
	})
	return nil
}

func (s *Server) status(r *store.Record, usage api.Usage) api.StatusReport {
	j := s.statusView(r)
	return api.StatusReport{
		ContainerID: r.ID, Name: r.Name, State: j.State, Status: j.State, Health: j.Health, Uptime: j.Uptime, UptimeSeconds: j.UptimeSeconds,
		SocketConnected: j.SocketConnected, LastCommunication: j.LastCommunication, ResourceUsage: usage,
		RestartCount: j.RestartCount, NextRestartAt: j.NextRestartAt, Conditions: j.Conditions,
	}
}

// uptime is how long the current run has lasted, as h:mm:ss and in seconds; nothing while it does not run.
func uptime(st *api.Status, now time.Time) (string, int64) {
	var n int64
	if st.StartedAt != nil && (st.State == api.StateRunning || st.State == api.StatePaused) {
		n = max(int64(now.Sub(*st.StartedAt)/time.Second), 0)
	}
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60), n
}

// read decodes a request about one container and finds it.
func (s *Server) read(r *session.Request) (*api.ReadRequest, *store.Record, error) {
	in := &api.ReadRequest{}
	if err := decode(r, in); err != nil {
		return nil, nil, err
	}
	record, err := s.Store.Resolve(in.ContainerID)
	return in, record, err
}

func (s *Server) listContainers(c session.Session, r *session.Request) error {
	in := &api.ListRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	body := s.page(c, in)
	respond(c, r, &api.ReadRequest{Asked: in.Asked}, api.ContainerList, body, api.Merge(json.RawMessage(`{"ok":true}`), body))
	return nil
}

// page is one page of the list, by name; the next one begins after its last name.
func (s *Server) page(c session.Session, in *api.ListRequest) json.RawMessage {
	records, revision := s.Store.List()
	records = slices.DeleteFunc(records, func(r *store.Record) bool { return !matches(r, in) })
	count := len(records)
	from, found := slices.BinarySearchFunc(records, in.Continue, func(r *store.Record, name string) int {
		return compare(r.Name, name)
	})
	if found {
		from++
	}
	limit := in.Limit
	if limit == 0 {
		limit = api.MaxPage
	}
	items, last := s.items(c, records[from:], limit)
	body := map[string]any{"containers": items, "count": count, "resource_version": s.Store.Version(revision), "timestamp": time.Now().UTC()}
	if away := s.engineAway(); away != nil {
		body["engine_away"] = away
	}
	if from+len(items) < count {
		body["continue"] = last
	}
	return api.Encode(body)
}

// engineAway is why what is stored about containers is not how they are now, nil where it is.
func (s *Server) engineAway() *api.EngineAway {
	err := s.Engine.EngineKnown()
	if away, ok := errors.AsType[*api.EngineAway](err); ok || err == nil {
		return away
	}
	return &api.EngineAway{Message: err.Error(), Since: time.Now()}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *Server) items(c session.Session, records []*store.Record, limit int) (items []json.RawMessage, last string) {
	items = []json.RawMessage{}
	size := 0
	for _, r := range records {
		item := shown(c, r).Item()
		item.SocketPath = s.Messenger.Path(r.ID)
		encoded := api.Encode(item)
		if len(items) > 0 && (len(items) == limit || size+len(encoded) > maxPageBytes) {
			break
		}
		items, last = append(items, encoded), r.Name
		size += len(encoded)
	}
	return items, last
}

func matches(r *store.Record, in *api.ListRequest) bool {
	if len(in.States) > 0 && !slices.Contains(in.States, r.Status.State) {
		return false
	}
	for key := range maps.Keys(in.Labels) {
		if value, ok := r.Labels[key]; !ok || value != in.Labels[key] {
			return false
		}
	}
	return true
}

// respond answers a read both ways, by event and by acknowledgement, at the pace of the client: meanwhile its session's
// next requests wait.
func respond(c session.Session, r *session.Request, in *api.ReadRequest, event string, body, ack json.RawMessage) {
	if in.RequestID != "" {
		id := api.Encode(api.Asked{RequestID: in.RequestID})
		body, ack = api.Merge(body, id), api.Merge(ack, id)
	}
	r.AckWait(c.Context(), ack)
	c.EmitWait(c.Context(), event, body)
}

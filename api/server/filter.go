package server

import (
	"maps"
	"slices"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// filter is what a session is sent, of all that it may see. The zero value is that of a session that has never subscribed.
// It does not change.
type filter struct {
	narrowed bool
	ids      map[string]bool // nil: every container
	labels   map[string]string
	events   map[string]bool // nil: all but what one has to ask for
}

// newFilter resolves the containers that a request names. One that was deleted may be named by its id: what became of it may
// still be told.
func (s *Server) newFilter(in *api.SubscribeRequest) (filter, error) {
	f := filter{narrowed: true, labels: in.Labels}
	var err error
	if len(in.ContainerIDs) > 0 {
		f.ids, err = s.resolveAll(in.ContainerIDs)
	}
	if len(in.Events) > 0 {
		f.events = set(in.Events)
	}
	return f, err
}

func (s *Server) resolveAll(refs []string) (map[string]bool, error) {
	ids := make(map[string]bool, len(refs))
	for _, ref := range refs {
		id, err := s.known(ref)
		if err != nil {
			return nil, err
		}
		ids[id] = true
	}
	return ids, nil
}

// known is the id of a container, or of one that was deleted.
func (s *Server) known(ref string) (string, error) {
	if _, gone := s.Store.Tombstone(ref); gone {
		return ref, nil
	}
	r, err := s.Store.Resolve(ref)
	if err != nil {
		return "", err
	}
	return r.ID, nil
}

// without is f less what an unsubscribe names. What was not subscribed to by name cannot be taken away by name.
func (f filter) without(ids map[string]bool, events []string) (filter, error) {
	var bad []api.FieldError
	if len(ids) > 0 && f.ids == nil {
		bad = append(bad, api.FieldError{Field: "container_ids", Message: "this session has not subscribed to containers by their ids; leave it out to end the subscription, or subscribe anew"})
	}
	if len(events) > 0 && f.events == nil {
		bad = append(bad, api.FieldError{Field: "events", Message: "this session has not subscribed to events by their names; leave it out to end the subscription, or subscribe anew"})
	}
	if len(bad) > 0 {
		return f, api.Invalid(bad...)
	}
	f.ids, f.events = maps.Clone(f.ids), maps.Clone(f.events)
	for id := range ids {
		delete(f.ids, id)
	}
	for _, event := range events {
		delete(f.events, event)
	}
	return f, nil
}

// matchesEvent reports whether f has events of this name.
func (f *filter) matchesEvent(event string) bool {
	switch {
	case f.events != nil:
		return f.events[event]
	case event == api.ContainerChanged:
		return f.narrowed
	}
	return event != api.ContainerStatusUpdate
}

// mayMatch reports whether f may have an event of a change, as far as ids and event names tell.
func (f *filter) mayMatch(c *store.Change) bool {
	if f.ids != nil && !f.ids[c.ID] {
		return false
	}
	return f.matchesEvent(api.ContainerChanged) || slices.ContainsFunc(c.Events, func(e api.Event) bool { return f.matchesEvent(e.Name) })
}

// matchesContainer reports whether f has the container.
func (f *filter) matchesContainer(id string, labels map[string]string) bool {
	return (f.ids == nil || f.ids[id]) && f.matchesLabels(labels)
}

func (f *filter) matchesLabels(labels map[string]string) bool {
	for key, value := range f.labels {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// changeType is what a change is to one who watches only some containers: one that comes to have the labels is added, one that has
// them no longer is deleted. A deletion is told to all who may ever have been told of the container.
func (f *filter) changeType(ce *changeEvents) (store.ChangeType, bool) {
	if f.ids != nil && !f.ids[ce.id] {
		return ce.kind, false
	}
	was, is := f.matchesLabels(ce.formerLabels), f.matchesLabels(ce.labels)
	switch {
	case ce.kind == store.Deleted, was && is:
		return ce.kind, true
	case is:
		return store.Added, true
	case was:
		return store.Deleted, true
	}
	return ce.kind, false
}

// describe is f as its session is told of it.
func (f *filter) describe() map[string]any {
	body := map[string]any{}
	if f.ids != nil {
		body["container_ids"] = sorted(f.ids)
	}
	if len(f.labels) > 0 {
		body["labels"] = f.labels
	}
	if f.events != nil {
		body["events"] = sorted(f.events)
	}
	return body
}

// sorted is never nil, which would be null on the wire.
func sorted(names map[string]bool) []string {
	return append([]string{}, slices.Sorted(maps.Keys(names))...)
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

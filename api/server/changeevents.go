package server

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// changeEvents are the events of one change: how the container stands, which only subscribers are sent, then the change's own
// events. Each has a resource version of its own, so that a client that is cut off between two of them misses neither.
type changeEvents struct {
	revision             uint64
	id                   string
	kind                 store.ChangeType
	labels, formerLabels map[string]string // of the container, now and before
	at                   time.Time
	container            *api.Container // nil where it is gone by now, as a later change tells
	events               []sharedEvent  // in order, that of the container first, empty where there is none
}

// sharedEvent is one event for many sessions. It is encoded once, when it is first needed.
type sharedEvent struct {
	name   string
	full   func() *session.Event
	masked func() (*session.Event, bool)
}

// forSession is the event as a session may see it.
func (e *sharedEvent) forSession(c session.Session) (*session.Event, bool) {
	if seesAll(c) {
		return e.full(), true
	}
	return e.masked()
}

// newSharedEvent makes the event called name, which is encoded when it is first needed. version is that of the event, "" for
// one that is not kept, newest what the store is at, of the name of the container that it is about, where there is one.
func newSharedEvent(name string, at time.Time, version, newest string, of func() string, event func() api.Event) sharedEvent {
	event = sync.OnceValue(event)
	news := func(e api.Event) *session.Event {
		return &session.Event{Name: name, Body: named(name, e.Stamped(at, version), of), Version: newest, Subject: subject(event())}
	}
	return sharedEvent{
		name: name,
		full: sync.OnceValue(func() *session.Event { return news(event()) }),
		masked: sync.OnceValues(func() (*session.Event, bool) {
			shown, ok := event().ForViewer()
			if !ok {
				return nil, false
			}
			return news(shown), true
		}),
	}
}

// named adds the container's name to an event that tells only its id.
func named(event string, body json.RawMessage, of func() string) json.RawMessage {
	if event == api.StatusChanged || event == api.ContainerChanged {
		return body
	}
	name := of()
	if name == "" {
		return body
	}
	return api.Merge(body, api.Encode(map[string]string{"name": name}))
}

// nobody is for events that are about no container, or say its name themselves.
func nobody() string { return "" }

// nameOf is the name of a container, or of one that was deleted, "" where that is not known any more.
func (s *Server) nameOf(id string) string {
	if r, stands := s.Store.Get(id); stands {
		return r.Name
	}
	if t, gone := s.Store.Tombstone(id); gone {
		return t.Name
	}
	return ""
}

// newChangeEvents makes the events of a change.
func (s *Server) newChangeEvents(c *store.Change) *changeEvents {
	ce := &changeEvents{revision: c.Revision, id: c.ID, kind: c.Type, at: c.At, container: s.changedContainer(c)}
	if ce.container != nil {
		ce.labels = ce.container.Labels
	} else if t, ok := s.Store.Tombstone(c.ID); ok {
		ce.labels = t.Labels
	}
	ce.formerLabels = ce.labels
	if c.FormerLabels != nil {
		ce.formerLabels = c.FormerLabels
	}
	ce.events = make([]sharedEvent, 1, 1+len(c.Events))
	newest, all := s.Store.Version(c.Revision), cap(ce.events)
	name := sync.OnceValue(func() string { return s.nameOf(c.ID) })
	for i, e := range c.Events {
		ce.events = append(ce.events, newSharedEvent(e.Name, c.At, s.Store.VersionOf(c.Revision, i+2, all), newest, name, func() api.Event { return e }))
	}
	if ce.container != nil {
		ce.events[0] = s.containerEvent(ce, ce.kind)
	}
	return ce
}

// containerEvent is the event of how the container stands.
func (s *Server) containerEvent(ce *changeEvents, kind store.ChangeType) sharedEvent {
	version := s.Store.VersionOf(ce.revision, 1, len(ce.events))
	return newSharedEvent(api.ContainerChanged, ce.at, version, s.Store.Version(ce.revision), nobody, func() api.Event {
		return api.ContainerChange{Type: string(kind), Container: *ce.container}.Event()
	})
}

// changedContainer is the container of a change, as it stood right after or, where that is known no more, as it stands now.
func (s *Server) changedContainer(c *store.Change) *api.Container {
	var container api.Container
	switch r, stands := s.Store.Get(c.ID); {
	case c.Gone != nil:
		container = *c.Gone
	case c.Type == store.Deleted: // in the words of an older version
		container.ID = c.ID
	case c.Record != nil:
		container = c.Record.Container
	case stands:
		container = r.Container
	default:
		return nil
	}
	container.Status.SocketPath = s.Messenger.Path(c.ID)
	return &container
}

// eventCache keeps the events of the newest changes, about as many as one commit brings. Many sessions are about to be sent them.
type eventCache [64]atomic.Pointer[changeEvents]

// changeEvents returns the events of a change, made once for all sessions that are sent them at about the same time. The events
// of an older change depend on the time, so they are made each time.
func (s *Server) changeEvents(c *store.Change) *changeEvents {
	if c.Record == nil && c.Gone == nil {
		return s.newChangeEvents(c)
	}
	slot := &s.eventCache[c.Revision%uint64(len(s.eventCache))]
	cached := slot.Load()
	if cached != nil && cached.revision == c.Revision {
		return cached
	}
	ce := s.newChangeEvents(c)
	if cached == nil || cached.revision < c.Revision {
		slot.CompareAndSwap(cached, ce)
	}
	return ce
}

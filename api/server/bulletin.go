package server

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// bulletin is what one change is told as: how the container stands, which only subscribers are told, then the change's own
// events. Each has a resource version of its own, so that a client that is cut off between two of them misses neither.
type bulletin struct {
	revision       uint64
	id             string
	kind           store.ChangeType
	labels, former map[string]string // of the container, now and before
	at             time.Time
	container      *api.Container // nil where it is gone by now, as a later change tells
	notices        []notice       // in order, that of the container first, empty where there is none
}

// notice is one event, encoded when it is first needed, for all who are told.
type notice struct {
	event  string
	whole  func() *session.Event
	masked func() (*session.Event, bool)
}

// as is the notice as a session may see it.
func (n *notice) as(c session.Session) (*session.Event, bool) {
	if seesAll(c) {
		return n.whole(), true
	}
	return n.masked()
}

// newNotice makes the notice of an event called name, which is made when it is first needed. version is that of the event, "" for
// one that is not kept, newest what the store is at.
func newNotice(name string, at time.Time, version, newest string, event func() api.Event) notice {
	event = sync.OnceValue(event)
	news := func(e api.Event) *session.Event {
		return &session.Event{Name: name, Body: e.Stamped(at, version), Version: newest, Subject: subject(event())}
	}
	return notice{
		event: name,
		whole: sync.OnceValue(func() *session.Event { return news(event()) }),
		masked: sync.OnceValues(func() (*session.Event, bool) {
			shown, ok := event().ForViewer()
			if !ok {
				return nil, false
			}
			return news(shown), true
		}),
	}
}

// compose makes the bulletin of a change.
func (s *Server) compose(c *store.Change) *bulletin {
	b := &bulletin{revision: c.Revision, id: c.ID, kind: c.Type, at: c.At, container: s.changed(c)}
	if b.container != nil {
		b.labels = b.container.Labels
	} else if t, ok := s.Store.Tombstone(c.ID); ok {
		b.labels = t.Labels
	}
	b.former = b.labels
	if c.FormerLabels != nil {
		b.former = c.FormerLabels
	}
	b.notices = make([]notice, 1, 1+len(c.Events))
	newest, all := s.Store.Version(c.Revision), cap(b.notices)
	for i, e := range c.Events {
		b.notices = append(b.notices, newNotice(e.Name, c.At, s.Store.VersionOf(c.Revision, i+2, all), newest, func() api.Event { return e }))
	}
	if b.container != nil {
		b.notices[0] = s.stands(b, b.kind)
	}
	return b
}

// stands is the notice of how the container stands.
func (s *Server) stands(b *bulletin, kind store.ChangeType) notice {
	version := s.Store.VersionOf(b.revision, 1, len(b.notices))
	return newNotice(api.ContainerChanged, b.at, version, s.Store.Version(b.revision), func() api.Event {
		return api.ContainerChange{Type: string(kind), Container: *b.container}.Event()
	})
}

// changed is the container of a change, as it stood right after or, where that is known no more, as it stands now.
func (s *Server) changed(c *store.Change) *api.Container {
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

// press keeps the newest bulletins, which many sessions are about to be told: about as many as one commit brings.
type press [64]atomic.Pointer[bulletin]

// bulletin composes what is told of a change, once for all who are told at about the same time. What an older change is told as
// depends on the time, so it is composed each time.
func (s *Server) bulletin(c *store.Change) *bulletin {
	if c.Record == nil && c.Gone == nil {
		return s.compose(c)
	}
	slot := &s.press[c.Revision%uint64(len(s.press))]
	kept := slot.Load()
	if kept != nil && kept.revision == c.Revision {
		return kept
	}
	b := s.compose(c)
	if kept == nil || kept.revision < c.Revision {
		slot.CompareAndSwap(kept, b)
	}
	return b
}

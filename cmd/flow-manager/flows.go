package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/sockets"
	"github.com/flow-manager/flow-manager/store"
)

// maxActorData is how much data of an actor event is stored; of more, only the size is.
const maxActorData = 4 << 10

// maxActorName is how many bytes are kept of an actor's name, and of its event's.
const maxActorName = 256

// flows hears what flows say and passes it on: to every session at once, actor events to the store, and sums of all messages
// to both.
type flows struct {
	store   *store.Store
	log     zerolog.Logger
	tell    func(api.Event)
	look    func(id string) // has the loop look at a container
	actors  *actors
	traffic *traffic
}

func newFlows(s *store.Store, log zerolog.Logger) *flows {
	f := &flows{store: s, log: log, tell: func(api.Event) {}, look: func(string) {}, actors: newActors()}
	f.traffic = f.newTraffic()
	return f
}

// run stores what is to be kept until ctx ends, and what waits for it then. What is being stored is stored to its end.
func (f *flows) run(ctx context.Context) error {
	var storing sync.WaitGroup
	defer storing.Wait()
	storing.Go(func() { f.traffic.run(ctx) })
	for {
		select {
		case <-f.actors.waiting:
			f.keepActors(context.WithoutCancel(ctx))
		case <-ctx.Done():
			f.keepRest(ctx)
			return nil
		}
	}
}

// keepRest stores what waits when the manager stops.
func (f *flows) keepRest(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), trafficLast)
	defer cancel()
	f.keepActors(last)
}

// keepActors stores the actor events that wait, those of one flow together.
func (f *flows) keepActors(ctx context.Context) {
	for id, list := range f.actors.take() {
		f.keep(ctx, id, list)
	}
}

// line is a logger for one container.
func (f *flows) line(id string) *zerolog.Logger {
	l := f.log.With().Str("id", id).Logger()
	if r, ok := f.store.Get(id); ok {
		l = l.With().Str("name", r.Name).Int64("generation", r.Generation).Logger()
	}
	return &l
}

// Connection implements sockets.Watcher.
func (f *flows) Connection(id string, connected bool) {
	f.line(id).Info().Str("operation", "flow_connection").Bool("connected", connected).Msg("flow's connection")
	if connected {
		f.look(id)
	}
}

// Message implements sockets.Watcher.
func (f *flows) Message(id string, message json.RawMessage) {
	f.tell(api.Received{ContainerID: id, Message: message}.Event())
}

// ActorEvent implements sockets.Watcher. What is more than a flow's allowance is summed up, as messages are.
func (f *flows) ActorEvent(id, actor, event string, data json.RawMessage) {
	actor, event = clip(actor), clip(event)
	a := api.Activity{ActivityType: api.ActivityActor, ContainerID: id, Message: actor + " raised " + event, Details: map[string]any{"actor": actor, "event": event}}
	if n := len(data); n > maxActorData {
		a.Details["data_bytes"] = n
	} else if n > 0 {
		a.Details["data"] = data
	}
	if !f.actors.add(a) {
		f.traffic.count(id, raised, event, len(data))
	}
}

func clip(name string) string {
	if len(name) <= maxActorName {
		return name
	}
	return strings.ToValidUTF8(name[:maxActorName], "") + "..."
}

// Ready implements sockets.Watcher.
func (f *flows) Ready(id string) { f.look(id) }

// Heartbeat implements sockets.Watcher.
func (f *flows) Heartbeat(id string) { f.look(id) }

// Reachable implements sockets.Watcher.
func (f *flows) Reachable(id string, reachable bool) {
	f.line(id).Info().Str("operation", "flow_reachable").Bool("reachable", reachable).Msg("messages wait for the flow in vain, or do no longer")
	f.tell(api.ReachNews(id, reachable))
}

// Traffic implements sockets.Watcher.
func (f *flows) Traffic(id string, way sockets.Way, kind string, size int) {
	f.traffic.count(id, way, kind, size)
}

// Fault implements sockets.Watcher.
func (f *flows) Fault(id string, e *api.Error) {
	f.line(id).Warn().Err(e).Str("operation", "flow_message").Msg("a flow's connection is at fault")
	f.tell(api.Fault{ContainerID: id, ErrorType: e.Type, Message: redactorOf(f.store, id).Text(e.Message)}.Event())
}

// messenger is the hub as clients' handlers need it.
type messenger struct{ *sockets.Hub }

// Facts implements socketio.Messenger.
func (m messenger) Facts(id string) (connected bool, last time.Time) {
	f := m.Hub.Facts(id)
	return f.Connected, f.LastCommunication
}

// statusOf is what a flow is told of itself.
func statusOf(s *store.Store, id string) json.RawMessage {
	r, ok := s.Get(id)
	if !ok {
		return nil
	}
	return api.Encode(r.Status)
}

// push tells each flow its own status whenever that changes.
func push(ctx context.Context, s *store.Store, hub *sockets.Hub) error {
	records, revision := s.List()
	for _, r := range records {
		hub.StatusChanged(r.ID)
	}
	watch := s.Watch(revision)
	for {
		changes, err := watch.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrExpired):
			return push(ctx, s, hub)
		case err != nil:
			return err
		}
		for _, c := range changes {
			hub.StatusChanged(c.ID)
		}
	}
}

// Queue implements socketio.Messenger.
func (m messenger) Queue(ctx context.Context, id string, message json.RawMessage, timeout time.Duration, expectReply bool, done func(json.RawMessage, error)) error {
	return m.Hub.Queue(ctx, id, message, sockets.SendOptions{Timeout: timeout, ExpectReply: expectReply}, done)
}

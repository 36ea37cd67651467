package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/flow-manager/flow-manager/controller"
)

// Events implements controller.Runtime. The engine filters; exec and top events of health probes never reach us.
func (r *Runtime) Events(ctx context.Context, ready func(), tell func(controller.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, failures := r.client.Events(ctx, events.ListOptions{Filters: ofContainers()})
	networks, failed := r.client.Events(ctx, events.ListOptions{Filters: ofNetworks()})
	ready()
	for {
		select {
		case m := <-messages:
			tell(event(&m))
		case m := <-networks:
			tell(controller.Event{DockerID: m.Actor.Attributes["container"], Kind: controller.Detached, At: time.Unix(0, m.TimeNano)})
		case err := <-failures:
			return classed(err)
		case err := <-failed:
			return classed(err)
		}
	}
}

// ofContainers lets through what happens to containers that bear our labels.
func ofContainers() filters.Args {
	filter := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", labelID))
	for _, action := range []events.Action{events.ActionCreate, events.ActionStart, events.ActionKill, events.ActionDie, events.ActionStop, events.ActionPause,
		events.ActionUnPause, events.ActionRename, events.ActionUpdate, events.ActionDestroy, events.ActionOOM, events.ActionHealthStatus} {
		filter.Add("event", string(action))
	}
	return filter
}

// ofNetworks lets through that a container is taken off a network. Such an event bears no labels, so that it is another stream.
func ofNetworks() filters.Args {
	return filters.NewArgs(filters.Arg("type", string(events.NetworkEventType)), filters.Arg("event", string(events.ActionDisconnect)))
}

// engineBuffer is how many events an engine remembers (moby's daemon/events/events.go), those of everybody counted.
const engineBuffer = 256

// Replay implements controller.Runtime. It asks for the events of everybody: how many there are tells how old the engine is.
func (r *Runtime) Replay(ctx context.Context, since time.Time) (controller.Replay, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	until := time.Now()
	messages, failures := r.client.Events(ctx, events.ListOptions{Since: stamp(since), Until: stamp(until)})
	var replay controller.Replay
	n := 0
	for {
		select {
		case m := <-messages:
			if n++; n == 1 {
				replay.First = time.Unix(0, m.TimeNano)
			}
			replay.Same = replay.Same || m.TimeNano == since.UnixNano()
			if m.Type == events.ContainerEventType && m.Actor.Attributes[labelID] != "" {
				replay.Events = append(replay.Events, event(&m))
			}
		case err := <-failures:
			if !errors.Is(err, io.EOF) {
				return controller.Replay{}, classed(err)
			}
			replay.Younger = !replay.Same && n < engineBuffer
			return replay, nil
		}
	}
}

// stamp is a moment as the engine reads it.
func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

func event(m *events.Message) controller.Event {
	e := controller.Event{ID: m.Actor.Attributes[labelID], DockerID: m.Actor.ID, At: time.Unix(0, m.TimeNano)}
	switch m.Action {
	case events.ActionStart:
		e.Kind = controller.Started
	case events.ActionDie:
		e.Kind = controller.Ended
	case events.ActionKill:
		if !slices.Contains(harmless(), m.Actor.Attributes["signal"]) {
			e.Kind = controller.Killed
		}
	}
	return e
}

// harmless are the signals that by custom ask a process for something else than its end: HUP, USR1 and USR2.
func harmless() []string { return []string{"1", "10", "12"} }

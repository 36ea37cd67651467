package docker

import (
	"context"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// Events implements controller.Runtime. The engine filters; exec and top events of health probes never reach us.
func (r *Runtime) Events(ctx context.Context, ready func(), mark func(id, dockerID string)) error {
	filter := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", labelID))
	for _, action := range []events.Action{events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionStop, events.ActionPause,
		events.ActionUnPause, events.ActionRename, events.ActionUpdate, events.ActionDestroy, events.ActionOOM, events.ActionHealthStatus} {
		filter.Add("event", string(action))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, failures := r.client.Events(ctx, events.ListOptions{Filters: filter})
	ready()
	for {
		select {
		case m := <-messages:
			mark(m.Actor.Attributes[labelID], m.Actor.ID)
		case err := <-failures:
			return classed(err)
		}
	}
}

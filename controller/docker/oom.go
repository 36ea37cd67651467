package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/flow-manager/flow-manager/controller/plan"
)

// oomLag is how long after an exit the engine may hear that memory had run out. It notes that with the exit only where it
// hears of it before; a few times in a hundred it was behind, by 0.1 to 0.3 s, and by more than 1 s on a machine with ten
// times as much to do as it can.
const oomLag = 2 * time.Second

const killedExit = 128 + 9

// mayHaveRunOut tells whether a run ended as one does that reached its memory limit, and the engine has not said that it did.
func mayHaveRunOut(c *container.InspectResponse, o *plan.Container) bool {
	return o.State == "exited" && o.ExitCode == killedExit && !o.OOMKilled && c.HostConfig != nil && c.HostConfig.Memory > 0
}

// ranOut looks for what the engine has heard of a run's end by now, or by oomLag after it, for which it waits. Where the
// engine does not tell, nothing is known.
func (r *Runtime) ranOut(ctx context.Context, o *plan.Container) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*oomLag)
	defer cancel()
	until := o.FinishedAt.Add(oomLag)
	if now := time.Now(); now.After(until) {
		until = now
	}
	heard, ended := r.client.Events(ctx, events.ListOptions{
		Since: eventTime(o.StartedAt), Until: eventTime(until),
		Filters: filters.NewArgs(filters.Arg("container", o.DockerID), filters.Arg("event", string(events.ActionOOM))),
	})
	select {
	case <-heard:
		return true
	case <-ended:
		return false
	}
}

func eventTime(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

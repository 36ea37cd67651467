package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/flow-manager/flow-manager/controller"
)

// oomLag is how long after an exit the engine may hear that memory had run out. It notes that with the exit only where it
// hears of it before; behind by 0.1 to 0.3 s it was seen, a few times in a hundred.
const oomLag = time.Second

const killedExit = 128 + 9

// mayHaveRunOut tells whether a run ended as one does that reached its memory limit, and the engine has not said that it did.
func mayHaveRunOut(c *container.InspectResponse, o *controller.Observed) bool {
	return o.State == "exited" && o.ExitCode == killedExit && !o.OOMKilled && c.HostConfig != nil && c.HostConfig.Memory > 0
}

// ranOut looks for what the engine has heard of a run's end by oomLag after it, and waits until then. Where the engine does
// not tell, nothing is known.
func (r *Runtime) ranOut(ctx context.Context, o *controller.Observed) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*oomLag)
	defer cancel()
	heard, ended := r.client.Events(ctx, events.ListOptions{
		Since: eventTime(o.StartedAt), Until: eventTime(o.FinishedAt.Add(oomLag)),
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

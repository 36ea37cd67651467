package plan

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Container is one container as the engine has it. Times are zero and ExitCode is meaningless for one that never ran.
type Container struct {
	DockerID string
	Name     string
	// ID, Token, Hash, Instance and Flow, the record's name, are its labels; proof of nothing.
	ID, Token, Hash, Instance, Flow string
	// State is the engine's word: created, running, paused, restarting, removing, exited or dead.
	State  string
	Health string
	// FailingStreak and HealthOutput are what the newest failed health checks said.
	FailingStreak int
	HealthOutput  string
	ImageID       string
	// StartedAt and FinishedAt are by the engine's clock: they name a run, and are shown to people.
	StartedAt  time.Time
	FinishedAt time.Time
	ExitCode   int
	OOMKilled  bool
	// StartError is the engine's text about a start that failed, for people.
	StartError string
	// LeftTask tells that it failed because something of an earlier start is left in the engine.
	LeftTask bool
	// Anonymous are the volumes that the engine made for it, by target; Carried those that it made for one before it.
	Anonymous, Carried map[string]string
	// Limits are what the engine holds it to, RestartPolicy the engine's own, which is to be "no".
	Limits        api.Resources
	RestartPolicy string
	// Deadly tells that its health check has no command, of which an engine may die.
	Deadly bool
	// StopSignal is the one that it is to be stopped with, by its declaration or else its image; "" where neither says.
	StopSignal string
	// Network is the one that it was made for.
	Network string
	// Networks are the names of those that it is attached to, sorted; nil where that is not known.
	Networks []string
	// Began is when its newest run began by the controller's steady clock, Lasted how long that lasted once it has ended.
	Began  time.Time
	Lasted time.Duration
	// Own is the controller's finding that its newest run ended by itself: nobody had sent it a signal.
	Own bool
	// Killed is the finding that somebody had.
	Killed bool
	// Interrupted is the finding that it ended because the host or the engine did.
	Interrupted bool
	// Digest sums up what a list shows of the container; it differs when an inspection is worth while.
	Digest string
}

// Alive reports whether the container has a process.
func (c *Container) Alive() bool {
	return c.State == "running" || c.State == "paused" || c.State == "restarting"
}

// Ran reports whether the container was ever started.
func (c *Container) Ran() bool { return !c.StartedAt.IsZero() }

// checked reports whether the engine checks the container's health.
func (c *Container) checked() bool { return c.Health != "" && c.Health != api.HealthNone }

// Run names one run of one container.
func Run(c *Container) string {
	return c.DockerID[:min(12, len(c.DockerID))] + "@" + c.StartedAt.UTC().Format(time.RFC3339Nano)
}

// Instant is a moment. Now is on the controller's steady clock, which runs evenly; the host's clock is Skew ahead of it.
type Instant struct {
	Now  time.Time
	Skew time.Duration
}

// Wall is a moment of the steady clock by the host's clock, for people.
func (i Instant) Wall(t time.Time) time.Time { return t.Add(i.Skew).UTC() }

// Outage is a time, by the engine's clock, during which an end of a run says nothing of the flow. To is zero while it lasts.
type Outage struct{ From, To time.Time }

// Covers reports whether a moment is within the outage.
func (o *Outage) Covers(at time.Time) bool {
	return at.After(o.From) && (o.To.IsZero() || !at.After(o.To))
}

// Observation is what was seen of one record, and around it.
type Observation struct {
	At Instant
	// Current, Candidate and Previous are the containers of these placements, nil where there are none.
	Current, Candidate, Previous *Container
	// Superseded are those of superseded placements, Foreign those that bear the record's labels and are not its own.
	Superseded, Foreign []Container
	// Pulling, Copying and Checking: the image is being pulled, the declared code read, the code of a container read back.
	Pulling, Copying, Checking bool
	// SocketMissing: nobody listens at the flow's socket. Mount names the folder that it is in, "" where that is not known.
	SocketMissing bool
	Mount         string
	// Ready and Connected: the flow has said in this run that it is ready, and has connected in this run.
	Ready, Connected bool
	// SilenceLeft is how long until silence of the flow may have become too long, 0 where it never does.
	SilenceLeft time.Duration
	// Boot is the host's boot id, "" where it is not known.
	Boot string
	// Outages are the newest ones, oldest first.
	Outages []Outage
	// StartDue is how long a start has to wait for those of other containers, 0 where it does not.
	StartDue time.Duration
	// Uptime is how long the manager has run.
	Uptime time.Duration
}

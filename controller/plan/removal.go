package plan

import (
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// removal takes away what is not to be there: all of a deleted record, containers that were superseded, what the engine has
// given up, and what somebody else started beside the current one.
func removal(r *store.Record, o *Observation) verdict {
	if w, is := held(r, o, Removal); is {
		return waits(w)
	}
	pending := idle()
	for i := range o.Superseded {
		if pending = retire(r, o, &o.Superseded[i]); pending.acts() {
			return pending
		}
	}
	if len(o.Superseded) > 0 && r.DeletedAt != nil {
		return pending
	}
	if len(o.Superseded) == 0 && len(unseen(r.Superseded)) < len(r.Superseded) {
		return do(Forget, nil, "")
	}
	if r.DeletedAt != nil {
		return deletion(r, o)
	}
	for _, beside := range []*Container{o.Candidate, o.Previous} {
		if beside != nil && beside.Alive() {
			return do(Kill, beside, api.CauseDrift).because("somebody else started it beside the one that stands")
		}
	}
	switch c := o.Current; {
	case c == nil || r.Current.DockerID == "":
	case c.State == "dead" || c.State == "removing":
		v := retire(r, o, c)
		v.step.Cause = api.CauseDrift
		return v
	case stuck(r, c):
		return do(Remove, c, api.CauseRecovery).because("the engine does not start it any more; another one takes its place")
	}
	return pending
}

// deletion ends with a tombstone once nothing is left.
func deletion(r *store.Record, o *Observation) verdict {
	for _, c := range []*Container{o.Candidate, o.Previous, o.Current} {
		if c != nil {
			return retire(r, o, c)
		}
	}
	return do(Finalize, nil, api.CauseDeclaration)
}

// retire stops a container and takes it away.
func retire(r *store.Record, o *Observation, c *Container) verdict {
	switch {
	case c.Alive():
		return stopping(r, o, c)
	case c.State == "removing":
		return waits(Waiting{Reason: "Removing", Message: "the engine is removing its container", Left: time.Second, Open: true}) // no time: each look would write another one
	}
	return do(Remove, c, api.CauseDeclaration)
}

// stopping asks, waits for the grace to be over, and kills.
func stopping(r *store.Record, o *Observation, c *Container) verdict {
	var grace *store.Wait
	if p := placement(r, c); p != nil {
		grace = p.Stop
	}
	switch left := grace.Left(o.At.Now); {
	case c.State == "paused":
		return do(Unpause, c, api.CauseDeclaration).because("a paused container cannot hear that it shall stop")
	case grace == nil:
		return do(Stop, c, api.CauseDeclaration)
	case left > 0:
		return waits(Waiting{Reason: "Stopping", Message: fmt.Sprintf("it is killed at %s", clockTime(o, left)), Left: left, Open: true})
	}
	return do(Kill, c, api.CauseDeclaration).because("it did not stop within its grace")
}

// placement is the one that a container is of, nil for a foreign one.
func placement(r *store.Record, c *Container) *store.Placement {
	if p := r.Of(c.DockerID); p != nil {
		return p
	}
	for i := range r.Superseded {
		if p := &r.Superseded[i]; p.Owns(c.Token, c.DockerID, c.Name) {
			return p
		}
	}
	for _, p := range []*store.Placement{&r.Current, &r.Candidate, &r.Previous} {
		if p.Owns(c.Token, c.DockerID, c.Name) {
			return p
		}
	}
	return nil
}

// stuckStarts is how many starts of a container fail for no known reason before another container takes its place.
const stuckStarts = 7

// What the engine notes for a start that failed because of the command: it cannot be run, or it is not there ("docker run" of
// Docker's reference). Another container of the same template has the same command.
const (
	cannotRun = 126
	notFound  = 127
)

// StartFailed is the reason of a start that fails and nothing says why.
const StartFailed = "StartFailed"

// stuck reports whether a container is given up. An engine that dies while it starts one may leave something of that start
// behind which no other start of this container gets past, and no restart of the engine clears; only another container does.
func stuck(r *store.Record, c *Container) bool {
	f := r.Tracks.Process.Failure
	tried := f != nil && f.Input == input(r, Process) && f.Action == string(Start) && f.Reason == StartFailed && f.Attempts >= stuckStarts && f.Attempts%stuckStarts == 0
	unexplained := c.StartError != "" && c.ExitCode != cannotRun && c.ExitCode != notFound
	return tried && unexplained && !c.Alive() && WantsRun(r) && r.Handover == nil
}

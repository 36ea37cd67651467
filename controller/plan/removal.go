package plan

import (
	"fmt"
	"slices"
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
	if len(o.Superseded) == 0 && len(unseen(r.Superseded)) < len(r.Superseded) {
		return do(Forget, nil, "")
	}
	due := leaving(r, o)
	if r.DeletedAt != nil && len(due) == 0 {
		return do(Finalize, nil, api.CauseDeclaration) // nothing is left but the record
	}
	return foremost(r, due)
}

// leaving is what is to be done about each of the containers that are not to be there.
func leaving(r *store.Record, o *Observation) []verdict {
	var due []verdict
	for i := range o.Superseded {
		due = append(due, retire(r, o, &o.Superseded[i]))
	}
	for _, beside := range []*Container{o.Candidate, o.Previous} {
		switch {
		case beside == nil:
		case r.DeletedAt != nil:
			due = append(due, retire(r, o, beside))
		case beside == o.Candidate && succeeding(r, o), beside == o.Previous && returning(r, o): // it takes the place of what is gone
		case beside.Alive():
			due = append(due, do(Kill, beside, api.CauseDrift).because("somebody else started it beside the one that stands"))
		}
	}
	switch c := o.Current; {
	case c == nil:
	case r.DeletedAt != nil:
		due = append(due, retire(r, o, c))
	case r.Current.DockerID == "":
	case c.State == "dead" || c.State == "removing":
		v := retire(r, o, c)
		v.step.Cause = api.CauseDrift
		due = append(due, v)
	case stuck(r, c):
		due = append(due, do(Remove, c, api.CauseRecovery).because("the engine does not start it any more; another one takes its place"))
	}
	return due
}

// succeeding reports whether the candidate runs already, and what it takes the place of is gone or was stopped for it.
func succeeding(r *store.Record, o *Observation) bool {
	stopped := o.Current != nil && !o.Current.Alive() && r.Handover != nil && r.Handover.Token == r.Candidate.Token
	return (o.Current == nil || stopped) && o.Candidate.Alive() && serves(&r.Candidate, r)
}

// returning reports whether what was on trial is gone, and what stood before it runs already.
func returning(r *store.Record, o *Observation) bool {
	return OnTrial(r) && o.Current == nil && o.Previous != nil && o.Previous.Alive()
}

// foremost is the first of these that is a step, else what they wait for. What could not be done lets the others go first.
func foremost(r *store.Record, due []verdict) verdict {
	first := 0
	if f := r.Tracks.Removal.Failure; f != nil && len(due) > 0 {
		first = f.Attempts % len(due)
	}
	pending := idle()
	for _, v := range slices.Concat(due[first:], due[:first]) {
		switch {
		case v.acts():
			return v
		case pending.waiting.Reason == "":
			pending = v
		default:
			pending.waiting = sooner(pending.waiting, v.waiting.Left)
		}
	}
	return pending
}

// retire stops a container and takes it away.
func retire(r *store.Record, o *Observation, c *Container) verdict {
	switch {
	case c.Alive():
		return stopping(r, o, c)
	case c.State == "removing":
		return waits(Waiting{Reason: api.ReasonRemoving, Message: "the engine is removing its container", Left: time.Second, Open: true}) // no time: each look would write another one
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
	case grace == nil, c.Began.After(grace.Since): // another run was asked, whose end nobody has noted
		return do(Stop, c, api.CauseDeclaration)
	case left > 0:
		return waits(Waiting{Reason: api.ReasonStopping, Message: fmt.Sprintf("it is killed at %s", clockTime(o, left)), Left: left, Open: true})
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

// stuckStarts is how many starts of a container fail for no known reason before another container takes its place; leftStarts is
// the same where something of an earlier start is left in the engine.
const (
	stuckStarts = 7
	leftStarts  = 3
)

// What the engine notes for a start that failed because of the command: it cannot be run, or it is not there ("docker run" of
// Docker's reference). Another container of the same template has the same command.
const (
	cannotRun = 126
	notFound  = 127
)

// stuck reports whether a container is given up. An engine that dies while it starts one may leave something of that start
// behind which no other start of this container gets past, and no restart of the engine clears; only another container does.
func stuck(r *store.Record, c *Container) bool {
	f, least := r.Tracks.Process.Failure, stuckStarts
	if c.LeftTask {
		least = leftStarts
	}
	tried := f != nil && f.Input == input(r, Process) && f.Action == string(Start) && f.Reason == api.ReasonStartFailed && f.Attempts >= least && f.Attempts%least == 0
	unexplained := c.StartError != "" && c.ExitCode != cannotRun && c.ExitCode != notFound
	return tried && unexplained && !c.Alive() && WantsRun(r) && r.Handover == nil
}

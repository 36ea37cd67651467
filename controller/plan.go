package controller

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// action is one thing to do; the zero value is nothing.
type action string

const (
	nothing action = ""
	wait    action = "wait"    // until the step's time
	intend  action = "intend"  // write a create intent
	create  action = "create"  // make the intended container
	record  action = "record"  // write the Docker id of the container that the intent led to
	listen  action = "listen"  // open the flow's socket
	start   action = "start"   // give it a process
	signal  action = "stop"    // ask to stop and note the deadline
	kill    action = "kill"    // the deadline is past
	settle  action = "settle"  // note that what was asked to stop has stopped
	count   action = "exit"    // note an exit nobody asked for
	wake    action = "wake"    // note an explicit start
	renew   action = "renew"   // note which run a restart replaces
	renewed action = "renewed" // the restart is done, or no longer wanted
	freeze  action = "pause"   // stop its process without ending it
	unpause action = "unpause" // let it go on
	limit   action = "limit"   // change limits in place
	rename  action = "rename"  // give the container its name back
	remove  action = "remove"  // take a container away
	prepare action = "prepare" // write the intent of the container that is to take the place of the standing one
	discard action = "discard" // the next one is not wanted any more
	attempt action = "attempt" // count that the standing one is stopped for the next
	swap    action = "swap"    // the next one takes over
	accept  action = "accept"  // it has proven itself, or is kept all the same: what stood before may go
	revert  action = "revert"  // what stood before takes over again
	again   action = "again"   // forget how often a template was tried
	prove   action = "prove"   // note that a container is stable
	resolve action = "resolve" // look up anew what the image's reference means
	pulling action = "pulling" // until the image is there
	copying action = "copying" // until the code is there
	recode  action = "recode"  // give the standing container other code
	forget  action = "forget"  // a superseded container is gone
	bury    action = "bury"    // nothing is left: drop the record
)

// step is what plan decided: an action, upon which container, why, and for wait until when. Nothing until a time is a rest
// after which something may be to do.
type step struct {
	action action
	on     *Observed
	cause  string
	detail string
	until  time.Time
	name   string // for rename
	next   bool   // it is about the next container
	update bool   // where it fails, the standing container goes on all the same
}

// sight is what was seen of one record's containers.
type sight struct {
	standing *Observed  // the one of the current placement
	next     *Observed  // the one that is to take its place
	prev     *Observed  // the one that stood before
	former   []Observed // those of superseded placements
	foreign  []Observed // those that bear its labels and are not its own
	pulling  bool       // the image is being pulled
	copying  bool       // the declared code is being read
	checking bool       // the code of one of its containers is being read back
	deaf     bool       // nobody listens at the flow's socket
	ready    bool       // the flow has said, in this run, that it is
	look     time.Time  // when silence of the flow may have become too long; zero: never
}

// look sorts what bears the record's id into what is its own and what is not.
func look(r *store.Record, seen []Observed) sight {
	var s sight
	for i := range seen {
		o := seen[i]
		switch {
		case r.Placement.Owns(o.Token, o.DockerID, o.Name):
			s.standing = &o
		case r.Next.Owns(o.Token, o.DockerID, o.Name):
			s.next = &o
		case r.Prev.Owns(o.Token, o.DockerID, o.Name):
			s.prev = &o
		case r.Owns(o.Token, o.DockerID, o.Name):
			s.former = append(s.former, o)
		default:
			s.foreign = append(s.foreign, o)
		}
	}
	return s
}

// plan decides the next action for a record. It is a pure function: whatever it needs to know is an argument, and the same
// arguments give the same step.
func plan(r *store.Record, s sight, now time.Time) step {
	next := decide(r, s, now)
	if s.pulling && (next.action == intend || next.action == prepare || next.action == resolve) {
		return step{action: pulling, cause: next.cause, next: next.next, update: true}
	}
	if s.copying && (next.action == intend || next.action == prepare || next.action == recode) || s.checking && (next.action == create || next.action == start) {
		return step{action: copying, cause: next.cause, next: next.next, update: true}
	}
	if s.deaf && hears(r, s, next) {
		return step{action: listen, cause: api.CauseRecovery}
	}
	if next.rests() && !s.look.IsZero() && (next.until.IsZero() || s.look.Before(next.until)) {
		next.until = s.look
	}
	return next
}

// rests tells whether there is nothing to do now.
func (s step) rests() bool {
	return s.action == nothing || s.action == wait || s.action == pulling || s.action == copying
}

// hears tells whether a flow's socket has to be there by now: before its container is made or started, and at rest.
func hears(r *store.Record, s sight, next step) bool {
	return next.action == create || next.action == start || next.action == nothing && s.standing != nil && r.DeletedAt == nil
}

func decide(r *store.Record, s sight, now time.Time) step {
	if held(r, now) && !r.Failure.Update && !lost(r) {
		return step{action: wait, until: r.Failure.RetryAt}
	}
	if len(s.former) > 0 {
		return retire(r, &s.former[0], now)
	}
	if len(unseen(r.Superseded)) < len(r.Superseded) {
		return step{action: forget}
	}
	if r.DeletedAt != nil {
		return planDelete(r, s, now)
	}
	if s.standing == nil {
		return planAbsent(r, s, now)
	}
	return planStanding(r, s, now)
}

// held tells whether a failure of this generation waits for its next attempt.
func held(r *store.Record, now time.Time) bool {
	return r.Failure != nil && r.Failure.Generation == r.Generation && now.Before(r.Failure.RetryAt)
}

// maxUnseen is how many intents that led to nothing yet are kept for a container that may still come of them.
const maxUnseen = 4

// unseen are the placements that no container is known of: the engine may finish a create long after we stopped waiting for it.
func unseen(superseded []store.Placement) []store.Placement {
	var kept []store.Placement
	for _, p := range superseded {
		if p.DockerID == "" {
			kept = append(kept, p)
		}
	}
	return kept[max(0, len(kept)-maxUnseen):]
}

// planDelete ends with a tombstone once nothing is left.
func planDelete(r *store.Record, s sight, now time.Time) step {
	for _, o := range []*Observed{s.next, s.prev, s.standing} {
		if o != nil {
			return retire(r, o, now)
		}
	}
	return step{action: bury, cause: api.CauseDeclaration}
}

// retire stops a container and takes it away.
func retire(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case alive(o):
		return stopping(r, o, now)
	case o.State == "removing":
		return step{action: wait, until: now.Add(time.Second)}
	}
	return step{action: remove, on: o, cause: api.CauseDeclaration}
}

func alive(o *Observed) bool {
	return o.State == "running" || o.State == "paused" || o.State == "restarting"
}

// stopping asks, waits for the deadline, and kills.
func stopping(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case o.State == "paused":
		return step{action: unpause, on: o, cause: api.CauseDeclaration, detail: "a paused container cannot hear that it shall stop"}
	case r.StopDeadline == nil:
		return step{action: signal, on: o, cause: api.CauseDeclaration}
	case now.Before(*r.StopDeadline):
		return step{action: wait, until: *r.StopDeadline}
	}
	return step{action: kill, on: o, cause: api.CauseDeclaration, detail: "it did not stop within its grace"}
}

// planAbsent makes the container. A placement that has a Docker id and no container was removed behind our back.
func planAbsent(r *store.Record, s sight, now time.Time) step {
	p := &r.Placement
	switch {
	case held(r, now):
		return step{action: wait, until: r.Failure.RetryAt}
	case s.prev != nil && s.prev.Name == r.Name:
		return step{action: rename, on: s.prev, name: r.Prev.DockerName, cause: api.CauseDeclaration}
	case r.Next.Token != "":
		return planNext(r, s, swap)
	case p.Token == "":
		return step{action: intend, cause: api.CauseDeclaration}
	case p.DockerID != "":
		return step{action: intend, cause: api.CauseDrift, detail: "the container was removed behind our back"}
	case !current(r) && !exhausted(r):
		return step{action: intend, cause: api.CauseDeclaration}
	}
	return step{action: create, cause: why(r)}
}

// why tells drift from a declaration: what is to be done now though the newest generation was seen done already, an
// outside hand has undone.
func why(r *store.Record) string {
	if r.Status.ObservedGeneration >= r.Generation && r.Failure == nil {
		return api.CauseDrift
	}
	return api.CauseDeclaration
}

// current tells whether the placement was made from a template that serves the declaration.
func current(r *store.Record) bool { return serves(&r.Placement, r) }

func serves(p *store.Placement, r *store.Record) bool { return p.AskedBy == r.Code && fits(p, &r.Spec) }

// fits is serves but for the code that is in the container's mount.
func fits(p *store.Placement, s *api.Spec) bool {
	return p.Token != "" && !p.Outdated && p.TemplateHash == api.TemplateHash(s) && api.ResourceCost(p.Resources, s.Resources) < api.CostRecreate
}

func planStanding(r *store.Record, s sight, now time.Time) step {
	o := s.standing
	switch {
	case r.Placement.DockerID == "":
		return step{action: record, on: o, cause: api.CauseRecovery}
	case r.Retry > r.RetrySeen:
		return step{action: again}
	case r.Pull > r.PullSeen && !held(r, now) && !s.pulling:
		return step{action: resolve, cause: api.CauseDeclaration, update: true}
	case o.State == "dead" || o.State == "removing":
		next := retire(r, o, now)
		next.cause = api.CauseDrift
		return next
	case stuck(r, o):
		return step{action: remove, on: o, cause: api.CauseRecovery, detail: "the engine does not start it any more; another one takes its place"}
	}
	for _, beside := range []*Observed{s.next, s.prev} {
		if beside != nil && alive(beside) {
			return step{action: kill, on: beside, cause: api.CauseDrift, detail: "somebody else started it beside the one that stands"}
		}
	}
	change := planChange(r, s, now)
	switch asked := r.Pull > r.PullSeen; {
	case s.pulling && (change.action == prepare || asked):
		change = step{action: pulling, update: true}
	case s.copying && (change.action == prepare || change.action == recode):
		change = step{action: copying, update: true}
	case asked && held(r, now):
		change = step{action: wait, until: r.Failure.RetryAt}
	}
	if !change.rests() {
		return change
	}
	next := planSame(r, s, now)
	if next.action == nothing && change.action != nothing {
		return change
	}
	return next
}

// stuckStarts is how many starts of a container fail for no known reason before another container takes its place.
const stuckStarts = 7

// What the engine notes for a start that failed because of the command: it cannot be run, or it is not there ("docker run" of
// Docker's reference). Another container of the same template has the same command.
const (
	cannotRun = 126
	notFound  = 127
)

// stuck tells whether a container is given up. An engine that dies while it starts one may leave something of that start
// behind which no other start of this container gets past, and no restart of the engine clears; only another container does.
func stuck(r *store.Record, o *Observed) bool {
	f := r.Failure
	tried := f != nil && f.Generation == r.Generation && f.Action == string(start) && f.Reason == startFailed &&
		f.Attempts >= stuckStarts && f.Attempts%stuckStarts == 0
	unexplained := o.StartError != "" && o.ExitCode != cannotRun && o.ExitCode != notFound
	return tried && unexplained && !alive(o) && wantsRun(r) && !onTrial(r)
}

// planSame keeps the standing container as it is to be.
func planSame(r *store.Record, s sight, now time.Time) step {
	o := s.standing
	switch {
	case r.StopDeadline != nil && alive(o):
		return stopping(r, o, now)
	case r.StopDeadline != nil:
		return step{action: settle, on: o}
	case s.prev != nil && s.prev.Name != r.Prev.DockerName:
		return step{action: rename, on: s.prev, name: r.Prev.DockerName, cause: api.CauseDeclaration}
	case o.Name != r.Placement.DockerName:
		return step{action: rename, on: o, name: r.Placement.DockerName, cause: api.CauseDrift, detail: "it was renamed to " + o.Name}
	case api.ResourceCost(r.Placement.Resources, r.Spec.Resources) == api.CostInPlace && !held(r, now):
		return step{action: limit, on: o, cause: api.CauseDeclaration, update: true}
	}
	return planProcess(r, o, now)
}

func planProcess(r *store.Record, o *Observed, now time.Time) step {
	if next, decided := planCode(r, o, now); decided {
		return next
	}
	switch {
	case r.Wake > r.WakeSeen:
		return step{action: wake}
	case r.Restart > r.RestartSeen:
		return step{action: renew, on: o, cause: api.CauseRestart}
	case r.RestartFrom != "":
		return planRestart(r, o, now)
	}
	return planDesired(r, o, now)
}

// planRestart replaces the noted run by another one of the same container.
func planRestart(r *store.Record, o *Observed, now time.Time) step {
	switch {
	case r.RestartFrom != run(o) && !alive(o) && !r.RestartAsked: // an outside hand's, over before it was seen
		return step{action: renew, on: o, cause: api.CauseRestart}
	case r.RestartFrom != run(o), r.Spec.DesiredState != api.DesiredRunning:
		return step{action: renewed, on: o, cause: api.CauseRestart}
	case alive(o):
		next := stopping(r, o, now)
		next.cause = api.CauseRestart
		return next
	}
	return step{action: start, on: o, cause: api.CauseRestart}
}

func planDesired(r *store.Record, o *Observed, now time.Time) step {
	switch r.Spec.DesiredState {
	case api.DesiredCreated, api.DesiredStopped:
		if alive(o) {
			next := stopping(r, o, now)
			next.cause = why(r)
			return next
		}
		return step{}
	case api.DesiredPaused:
		if o.State == "running" {
			return step{action: freeze, on: o, cause: why(r)}
		}
		if o.State == "paused" {
			return step{}
		}
	}
	if o.State == "paused" {
		return step{action: unpause, on: o, cause: why(r)}
	}
	if onTrial(r) {
		if next, decided := planTrial(r, o, now); decided {
			return next
		}
	}
	if !alive(o) {
		return planStart(r, o, now)
	}
	if next, decided := planHealth(r, o, now); decided {
		return next
	}
	return planProven(r, o, now)
}

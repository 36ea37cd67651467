package plan

import (
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// A container whose template has changed is replaced: the candidate is made beside it under a name of its own; then an attempt
// is written down, the current one is stopped, the two change places, and the new one is started and watched. What stood before
// is kept until then, and takes over again where the new one does not stay up. Where only the code differs, the new one is the
// same container: it is given other code, stopped and started, and what stood before is itself with its old code.

// update has the container stand that is declared.
func update(r *store.Record, o *Observation) verdict {
	switch {
	case r.Asked.Retry > r.Done.Retry:
		return do(ResetTrial, nil, api.CauseDeclaration)
	case o.Current == nil:
		return absent(r, o)
	case r.Current.DockerID == "":
		return do(Adopt, o.Current, api.CauseRecovery)
	case r.Handover != nil && r.Handover.Token == r.Current.Token:
		return trial(r, o)
	case r.Handover != nil:
		return handover(r, o)
	case OnTrial(r):
		return do(Commit, nil, api.CauseUpdate) // of nothing that is left
	}
	return replacement(r, o)
}

// absent makes the current container. A placement that has a Docker id and no container was removed behind our back.
func absent(r *store.Record, o *Observation) verdict {
	if w, is := held(r, o, Update); is {
		return waits(w)
	}
	p := &r.Current
	switch {
	case returning(r, o):
		return do(Rollback, o.Previous, api.CauseRecovery).because("its container was removed, and the one before it runs")
	case r.Handover != nil && r.Handover.Failed != "" && OnTrial(r):
		return failed(r, o, r.Handover.Failed)
	case o.Previous != nil && o.Previous.Name == r.Name && r.Tracks.Name.Failure == nil:
		v := do(Rename, o.Previous, api.CauseUpdate)
		v.step.Track, v.step.Name = Name, former(r, r.Previous.Token)
		return v
	case r.Candidate.Token != "":
		return candidate(r, o, Promote)
	case p.Token == "":
		return bring(o, do(Intend, nil, api.CauseDeclaration))
	case p.DockerID != "":
		return anew(r, o)
	case !Serving(r) && !Exhausted(r):
		return bring(o, do(Intend, nil, api.CauseDeclaration))
	}
	return do(Create, nil, why(r))
}

// anew makes a container anew that others have removed. Where they do so again and again, that waits, but for no new request.
func anew(r *store.Record, o *Observation) verdict {
	v := do(Intend, nil, api.CauseDrift).because("the container was removed behind our back")
	if r.Status.ObservedGeneration >= r.Generation {
		v = repair(r, o, Update, v)
	}
	if !v.acts() {
		return v
	}
	return bring(o, v)
}

// bring is a step that needs the image and the code, or the wait for them.
func bring(o *Observation, v verdict) verdict {
	switch {
	case o.Pulling:
		return waits(Waiting{Reason: api.ReasonPulling, Message: "the image is being pulled", Open: true})
	case o.Copying:
		return waits(Waiting{Reason: api.ReasonCopyingCode, Message: "the code is being copied", Open: true})
	}
	return v
}

// replacement brings about another container, or other code, in the place of the current one.
func replacement(r *store.Record, o *Observation) verdict {
	if w, is := held(r, o, Update); is {
		return waits(w)
	}
	if c := o.Current; c.Deadly && !c.Alive() && !r.Current.Outdated {
		return do(Outdate, c, api.CauseRecovery).because("its health check has no command, of which an engine can die, so another one takes its place")
	}
	if r.Asked.Pull > r.Done.Pull {
		if o.Pulling {
			return bring(o, verdict{})
		}
		return do(Resolve, nil, api.CauseDeclaration)
	}
	if v, decided := change(r, o); decided {
		return v
	}
	v := candidate(r, o, Attempt)
	switch {
	case v.step.Action != Attempt || interrupts(r, o.Current):
		return v
	case o.Current.Alive():
		return waits(Waiting{Reason: api.ReasonWaitingForStop, Message: fmt.Sprintf("container %s has to stop first", o.Current.Name), Open: true})
	}
	v.step.Action = Promote
	return v
}

// change decides whether another container is wanted at all; where it is not, v is what is left to do.
func change(r *store.Record, o *Observation) (v verdict, decided bool) {
	unwanted := Serving(r) || Exhausted(r) || Fits(&r.Current, &r.Spec)
	switch {
	case unwanted && r.Candidate.Token != "":
		return do(Discard, nil, ""), true
	case Serving(r), Exhausted(r):
		return idle(), true
	case Fits(&r.Current, &r.Spec):
		return bring(o, do(SwitchCode, o.Current, api.CauseUpdate)), true
	}
	return idle(), false
}

// candidate makes the container that is to take over; then is what follows once it is there.
func candidate(r *store.Record, o *Observation, then Action) verdict {
	v := do(IntendReplacement, nil, api.CauseUpdate)
	switch c := o.Candidate; {
	case !serves(&r.Candidate, r), c == nil && r.Candidate.DockerID != "":
		return bring(o, v)
	case c == nil:
		v.step.Action, v.step.Candidate = Create, true
	case c.State == "dead" || c.State == "removing":
		return bring(o, v)
	case r.Candidate.DockerID == "":
		v = do(Adopt, c, api.CauseRecovery)
		v.step.Candidate = true
	default:
		v.step.Action, v.step.On = then, c
	}
	return v
}

// interrupts reports whether the current container does its work and would be kept from it by another one in its place, or by
// other code: it runs, or it is known to work and about to be started.
func interrupts(r *store.Record, c *Container) bool {
	due := r.Current.Stable && r.Run.Ended == "" && r.Run.Streak == 0
	return WantsRun(r) && (c.Alive() || due)
}

// keepable reports whether an update can go back to the current container: it is available, or in its first run without an
// exit that was counted, or was available before and has ended once since. What is caught between two crashes is not.
func keepable(r *store.Record, o *Observation) bool {
	n, c := &r.Run, o.Current
	return n.Streak == 0 || available(r, o, c) || n.Available == Run(c) && c.Alive() || r.Current.Stable && n.Streak < 2
}

// keeps reports whether what stands is kept through an attempt, so that it can be gone back to: nothing is on trial that does not run.
func keeps(r *store.Record, o *Observation) bool {
	return r.Spec.DesiredState == api.DesiredRunning && (OnTrial(r) || keepable(r, o))
}

// handover stops the current container for the candidate. That it is kept from its work, and for which, was written down.
func handover(r *store.Record, o *Observation) verdict {
	c := o.Current
	switch {
	case r.Handover.Failed != "", !serves(&r.Candidate, r), o.Candidate == nil, o.Candidate.State == "dead", o.Candidate.State == "removing":
		return do(Abandon, c, api.CauseUpdate).because(r.Handover.Failed)
	case c.Alive() && r.Current.Stop == nil && !r.Handover.Trial && keeps(r, o): // it rested when that was written down
		return do(Attempt, o.Candidate, api.CauseUpdate)
	case c.Alive():
		v := stopping(r, o, c)
		v.step.Cause = api.CauseUpdate
		return v.because("it makes room for its update")
	}
	return do(Promote, o.Candidate, api.CauseUpdate)
}

// trial starts what has taken over, and judges it.
func trial(r *store.Record, o *Observation) verdict {
	switch {
	case !r.Handover.Trial, !OnTrial(r):
		return do(Commit, o.Current, api.CauseUpdate)
	case r.Spec.DesiredState != api.DesiredRunning: // nothing stays on trial while nothing runs
		return do(Commit, o.Current, api.CauseDeclaration)
	case serves(&r.Previous, r) && !Serving(r):
		return do(Rollback, o.Previous, api.CauseDeclaration)
	case r.Handover.Failed != "":
		return failed(r, o, r.Handover.Failed)
	}
	if !Serving(r) && !Exhausted(r) { // the newest declaration wins over the one on trial
		if v := superseding(r, o); v.acts() {
			return v
		}
	}
	if v, decided := names(r, o); decided {
		return v
	}
	c := o.Current
	if v, decided := ending(r, o, c); decided {
		return v
	}
	if v, decided := asked(r, o, c); decided {
		return v
	}
	return judged(r, o, c)
}

// superseding brings about what was declared while another update is on trial. What stood before both is kept.
func superseding(r *store.Record, o *Observation) verdict {
	if _, is := held(r, o, Update); is {
		return idle()
	}
	if v, decided := change(r, o); decided {
		return v
	}
	return candidate(r, o, Attempt)
}

// names has both containers renamed once before the new one is started; what does not work then is left to the name track.
func names(r *store.Record, o *Observation) (v verdict, decided bool) {
	if r.Tracks.Name.Failure != nil || r.Previous.Token == r.Current.Token {
		return idle(), false
	}
	if c := o.Current; c.Ran() && dealt(r, c) || c.Alive() {
		return idle(), false
	}
	v = rename(r, o)
	v.step.Track = Name
	return v, v.acts()
}

// judged judges a container on trial.
func judged(r *store.Record, o *Observation, c *Container) verdict {
	switch end := ended(r, c); {
	case c.State == "paused":
		return do(Unpause, c, api.CauseDrift)
	case c.Alive():
		return watched(r, o, c)
	case r.Run.Ended != "" && settled(r, c): // interrupted, and its policy does not start it again: nothing more will come
		return do(Commit, c, api.CauseUpdate)
	case !c.Ran(), end == EndAsked:
		return do(Start, c, api.CauseUpdate)
	case end == EndInterrupted:
		return do(Start, c, api.CauseRecovery)
	case c.Interrupted:
		return do(RecordExit, c, api.CauseRecovery)
	case judgeExit(r, c).ended == Completed:
		return do(Commit, c, api.CauseUpdate)
	}
	return failed(r, o, ExitCause(c))
}

// watched watches a container on trial while it runs.
func watched(r *store.Record, o *Observation, c *Container) verdict {
	ready := c.State == "running" && isReady(r, o, c)
	proven, due := monitor(r)-age(o, c), Deadline(r)-age(o, c)
	switch {
	case !ready && due <= 0:
		return failed(r, o, unready(r, c))
	case !ready:
		return monitoring(o, due)
	case proven > 0:
		return monitoring(o, proven)
	}
	return do(Commit, c, api.CauseUpdate)
}

func unready(r *store.Record, c *Container) string {
	if r.Spec.Readiness == api.ReadinessSocket && (!c.checked() || c.Health == api.HealthHealthy) {
		return "it did not say in time that it is ready"
	}
	return "it was not healthy in time"
}

func monitoring(o *Observation, left time.Duration) verdict {
	return waits(Waiting{Reason: api.ReasonMonitoring, Message: "the update has proven itself at " + clockTime(o, left), Left: left, Open: true})
}

// failed is what the update policy makes of a container that did not prove itself.
func failed(r *store.Record, o *Observation, why string) verdict {
	if r.Spec.UpdatePolicy.OnFailure == api.OnFailurePause {
		return do(Commit, o.Current, api.CauseUpdate).because(why)
	}
	return do(Rollback, o.Current, api.CauseUpdate).because(why)
}

// Docker's own values of a healthcheck that names none.
const (
	healthInterval = 30
	healthTimeout  = 30
	healthRetries  = 3
)

// Deadline is when a container on trial has to be ready: what is declared, or as long as the engine may need to find out.
func Deadline(r *store.Record) time.Duration {
	seconds := r.Spec.UpdatePolicy.Deadline
	if seconds == 0 {
		h := api.Healthcheck{}
		if r.Spec.Healthcheck != nil {
			h = *r.Spec.Healthcheck
		}
		seconds = h.StartPeriod + (orElse(h.Interval, healthInterval)+orElse(h.Timeout, healthTimeout))*(orElse(h.Retries, healthRetries)+1)
	}
	return time.Duration(seconds)*time.Second + monitor(r)
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// TakenBack says why what is declared is not what stands, or stands though it failed; "" where neither is so.
func TakenBack(r *store.Record) string {
	t := r.Trial(Template(r))
	if t.Failed == "" {
		return ""
	}
	if Serving(r) {
		return fmt.Sprintf("the update has failed and is left as it is: %s", t.Failed)
	}
	return fmt.Sprintf("the update was taken back: %s; declare another one, or update_container with retry to try this one again", t.Failed)
}

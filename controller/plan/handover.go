package plan

import (
	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// What the steps of an update do to a record.

// ofHandover reports whether a step was one of a handover, which goes back at once where that does not work. What is made in the
// place of something that is gone, and cannot be gone back from, waits like anything else.
func ofHandover(r *store.Record, s *Step, o *Observation) bool {
	making := s.Candidate || s.Action == IntendReplacement || s.Action == SwitchCode || s.Action == Resolve
	return r.Handover != nil && s.Track == Update && !making && (o.Current != nil || OnTrial(r))
}

// resetTrial forgets how often a template was tried. What is on trial is the first attempt from now on.
func resetTrial(r *store.Record, s *Step) {
	r.Done.Retry, r.Tracks.Update.Failure = s.Asked.Retry, nil
	t := r.Trial(Template(r))
	t = store.Trial{Template: t.Template, Attempts: min(t.Attempts, 1), Token: t.Token}
	if r.Handover == nil || r.Handover.Token != t.Token {
		t.Attempts = 0
	}
	r.NoteTrial(t)
}

// switchCode writes which code the current container is to run. Where that keeps it from its work it is an attempt, and what it
// ran before is kept like a container that stood before.
func switchCode(r *store.Record, s *Step, digest string, o *Observation) {
	old, work, keep := r.Current, interrupts(r, s.On), keepable(r, o)
	r.Current.Code, r.Current.AskedBy, r.Current.Generation = digest, r.Code, r.TemplateGeneration
	if digest == old.Code {
		return // the same as before under another number
	}
	r.Current.Stable = false
	forgive(r)
	if ended(r, s.On) == EndCounted {
		r.Run.End = EndAsked // it was of the other code
	}
	if !work {
		return
	}
	attempted(r, &r.Current)
	r.Handover = &store.Handover{Token: old.Token, Trial: OnTrial(r) || keep}
	if keep && !OnTrial(r) {
		r.Previous = old
	}
}

// attempted counts an attempt at what a placement was made from.
func attempted(r *store.Record, p *store.Placement) {
	t := r.Trial(madeFrom(p))
	r.NoteTrial(store.Trial{Template: t.Template, Attempts: t.Attempts + 1, Token: p.Token})
}

// editUpdate is edit for the steps of a handover.
func editUpdate(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	switch s.Action {
	case Discard:
		r.Supersede(r.Candidate)
		r.Candidate = store.Placement{}
	case Attempt:
		keep := keeps(r, o)
		if keep {
			attempted(r, &r.Candidate)
		}
		r.Handover = &store.Handover{Token: r.Candidate.Token, Trial: keep}
	case Abandon:
		abandon(r, s, res, o)
	case Promote:
		promote(r)
	case Commit:
		return commit(r, res, o)
	case Rollback:
		return rollback(r, s, res, o)
	}
	return nil
}

// abandon ends a handover before anything has changed places. What a newer update put on trial goes on being watched.
func abandon(r *store.Record, s *Step, res *Result, o *Observation) {
	if c := o.Current; r.Handover.Failed != "" && c != nil && c.Ran() && !c.Alive() && !dealt(r, c) {
		r.Run.ID, r.Run.End = Run(c), EndAsked // the call that failed has stopped it all the same
	}
	r.Handover = nil
	if OnTrial(r) {
		r.Handover = &store.Handover{Token: r.Current.Token, Trial: true}
	}
	tried := madeFrom(&r.Candidate)
	t := r.Trial(tried)
	mine, untouched := t.Token == r.Candidate.Token && t.Attempts > 0, o.Current != nil && o.Current.Alive() && r.Current.Stop == nil
	switch {
	case mine && untouched:
		notTried(r, t)
	case mine && res.Detail != "":
		takenBack(r, tried, nil, res, o)
		return
	}
	if res.Detail != "" {
		note(r, &r.Tracks.Update, Update, s, &Refusal{api.ReasonUpdateFailed, api.DockerAPIError, res.Detail}, o)
	}
}

// promote makes the candidate the current container. The one before is kept where it is known to work and was stopped for
// this; else nothing could be gone back to.
func promote(r *store.Record) {
	old, trial := r.Current, r.Handover != nil && r.Handover.Trial
	switch {
	case OnTrial(r) && r.Previous.Token == old.Token: // it is kept with the code that it was known to work with
		r.Previous.Runs, r.Previous.Stop = old.Runs, nil
	case trial && !OnTrial(r):
		old.Stop = nil
		r.Previous = old
	default:
		r.Supersede(old)
	}
	if r.Handover != nil && !OnTrial(r) {
		r.Handover = nil
	}
	r.Current, r.Candidate = r.Candidate, store.Placement{}
	r.Tracks.Name.Failure = nil
	forgive(r)
}

// commit ends a trial. With a detail, the container stays though it has failed.
func commit(r *store.Record, res *Result, o *Observation) []api.Event {
	t := r.Trial(madeFrom(&r.Current))
	if r.Previous.Token != r.Current.Token {
		r.Supersede(r.Previous)
	}
	r.Previous, r.Handover, r.Tracks.Update.Failure = store.Placement{}, nil, nil
	proven := res.Detail == "" && available(r, o, o.Current)
	if proven {
		r.Run.Available = Run(o.Current)
	}
	r.Current.Stable = r.Current.Stable || proven
	if t.Failed, t.Exit = res.Detail, ofTrial(r, res, o); res.Detail == "" {
		t.Attempts = 0
	}
	r.NoteTrial(t)
	if res.Detail == "" {
		return nil
	}
	return []api.Event{updateFailed(r, res.Detail, "is left as it is")}
}

// runsOn reports whether what was to run other code could not even be asked to stop.
func runsOn(r *store.Record, o *Observation) bool {
	c := o.Current
	return c != nil && c.Alive() && stale(r) && r.Current.Stop == nil
}

// notTried takes an attempt back for which nothing was kept from its work.
func notTried(r *store.Record, t store.Trial) {
	t.Attempts--
	r.NoteTrial(t)
}

// ofTrial is how the run on trial ended, nil where the newest run was asked to end: what failed came after it.
func ofTrial(r *store.Record, res *Result, o *Observation) *store.Exit {
	if c := o.Current; c != nil && ended(r, c) == EndAsked {
		return nil
	}
	return res.Exit
}

// rollback lets what stood before take over again: because the one on trial failed, or because it is declared again.
func rollback(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	tried, last, untouched := madeFrom(&r.Current), ofTrial(r, res, o), runsOn(r, o)
	takeOver(r)
	forgive(r)
	if c := o.Previous; c != nil && c.Ran() && !c.Alive() {
		r.Run.ID, r.Run.End = Run(c), EndAsked
	} else if c := o.Current; c != nil && c.Ran() && r.Current.DockerID == c.DockerID && (!c.Alive() || stale(r)) {
		r.Run.ID, r.Run.End = Run(c), EndAsked
	}
	if res.Detail != "" && untouched {
		notTried(r, r.Trial(tried))
		return note(r, &r.Tracks.Update, Update, s, &Refusal{api.ReasonUpdateFailed, api.DockerAPIError, res.Detail}, o)
	}
	r.Tracks.Update.Failure = nil
	if res.Detail == "" {
		return nil
	}
	takenBack(r, tried, last, res, o)
	return append(crash(r, o.Current, last, exit{ended: api.ReasonUpdateFailed}, o.At), updateFailed(r, res.Detail, "was taken back"))
}

// takeOver lets what stood before stand again. An update went back to it, so that it counts as known to work.
func takeOver(r *store.Record) {
	if r.Previous.Token == r.Current.Token {
		r.Previous.Runs, r.Previous.Stop = r.Current.Runs, r.Current.Stop
	} else {
		r.Supersede(r.Current)
	}
	r.Current, r.Previous, r.Handover = r.Previous, store.Placement{}, nil
	r.Current.Stable = true
	r.Tracks.Name.Failure = nil
}

// takenBack notes that an attempt at a template has failed, and when the next one is due, where one is left. What is declared by
// now may be another one, which nothing is known against.
func takenBack(r *store.Record, tried string, last *store.Exit, res *Result, o *Observation) {
	t := r.Trial(tried)
	t.Failed, t.Exit = res.Detail, last
	r.NoteTrial(t)
	if tried != Template(r) || Exhausted(r) {
		return
	}
	f := &Refusal{api.ReasonUpdateFailed, api.DockerAPIError, TakenBack(r)}
	r.Tracks.Update.Failure = &store.Failure{Input: input(r, Update), Action: string(Rollback), Reason: f.Reason, ErrorType: f.Type, Message: f.Message, Attempts: t.Attempts,
		At: o.At.Wall(o.At.Now), Wait: store.Wait{Since: o.At.Now, Length: RetryDelay(r.ID, t.Attempts)}, Generation: r.Generation}
}

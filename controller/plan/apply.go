package plan

import (
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Result is what came of a step. What it says to people is masked.
type Result struct {
	// Refused is why the step did not work, nil where it did.
	Refused *Refusal
	// DockerID is that of the container that Create made.
	DockerID string
	// Placement is the intent of Intend and IntendReplacement; Image and Code are what its image and its code were resolved to.
	Placement *store.Placement
	Image     *store.Resolved
	Code      *store.Taken
	// Seen is the container as it was looked at once more, for ExplicitStart and BeginRestart; nil where it is gone.
	Seen *Container
	// Exit is how a run ended, for RecordExit, Commit and Rollback.
	Exit *store.Exit
	// Detail is the step's own, masked.
	Detail string
}

// Refusal is why a step did not work: a reason for machines and a sentence for people that says what to do.
type Refusal struct {
	Reason  string
	Type    api.ErrorType
	Message string
}

// Reasons that change what is done next.
const (
	NameConflict = "NameConflict"
	UpdateFailed = "UpdateFailed"
)

// Apply does to a record what a step that was taken does to it, and returns the durable events that tell of it. The record may
// have been declared anew since the step was planned.
func Apply(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	old := r.Status
	var events []api.Event
	switch {
	case res.Refused != nil:
		events = refuse(r, s, res.Refused, o)
	case s.Resting():
		if r.Generation != s.Generation {
			return nil // a newer declaration is in the queue; its turn writes
		}
		settle(r, s, o)
		observe(r, o, s)
		events = append(activities(r, &old), warnings(r, &old, o.Current)...)
	default:
		worked(r, s, res, o.At)
		events = edit(r, s, res, o)
	}
	r.Status.CrashStreak = r.Run.Streak
	if r.AtRest = s.Resting() && res.Refused == nil; r.AtRest {
		conclude(r)
	}
	return events
}

// worked notes a step that worked: its track is free again.
func worked(r *store.Record, s *Step, res *Result, at Instant) {
	t := TrackOf(r, s.Track)
	if engine(s.Action) {
		if s.Action != Rollback { // which may be because of one
			t.Failure = nil
		}
		r.Status.LastAction = &api.LastAction{Action: Word(s.Action), Cause: s.Cause, Detail: res.Detail, At: at.Wall(at.Now)}
	}
	if s.Cause == api.CauseDrift && engine(s.Action) && s.Action != Remove {
		done := t.Repaired()
		if at.Now.Sub(done.At) >= LongRun {
			done.N = 0
		}
		t.Repairs = &store.Repairs{N: done.N + 1, At: at.Now}
	}
}

// engine reports whether a step is told of as an action.
func engine(a Action) bool {
	switch a {
	case Stop, Kill, Remove, Start, Pause, Unpause, Create, Adopt, Limit, Connect, Rename, Rollback:
		return true
	}
	return false
}

// refuse notes what a step met, and how long the next attempt waits.
func refuse(r *store.Record, s *Step, f *Refusal, o *Observation) []api.Event {
	switch {
	case s.Action == Create && !s.Candidate && f.Reason == NameConflict && r.Current.DockerID == "" && r.Current.DockerName == r.Name:
		r.Current.DockerName = Aside(r, r.Current.Token) // it is made all the same, and named once it can be
		return note(r, &r.Tracks.Name, Name, s, f, o)
	case ofHandover(r, s, o):
		h := *r.Handover
		h.Failed = f.Message
		r.Handover = &h
		return nil
	}
	return note(r, TrackOf(r, s.Track), s.Track, s, f, o)
}

// ofHandover reports whether a step was one of a handover, which goes back at once where that does not work. What is made in the
// place of something that is gone, and cannot be gone back from, waits like anything else.
func ofHandover(r *store.Record, s *Step, o *Observation) bool {
	making := s.Candidate || s.Action == IntendReplacement || s.Action == SwitchCode || s.Action == Resolve
	return r.Handover != nil && s.Track == Update && !making && (o.Current != nil || OnTrial(r))
}

func note(r *store.Record, t *store.Track, track TrackID, s *Step, f *Refusal, o *Observation) []api.Event {
	of := input(r, track)
	if s.Track == track {
		of = s.Input // what it was tried for, whatever is declared by now
	}
	attempts, news := 1, true
	if old := t.Failure; old != nil && old.Input == of {
		attempts, news = old.Attempts+1, old.Reason != f.Reason
	}
	t.Failure = &store.Failure{Input: of, Action: string(s.Action), Reason: f.Reason, ErrorType: f.Type, Message: f.Message, Attempts: attempts,
		At: o.At.Wall(o.At.Now), Wait: store.Wait{Since: o.At.Now, Length: RetryDelay(r.ID, attempts)}, Generation: s.Generation}
	if !news {
		return nil
	}
	return []api.Event{api.Activity{ActivityType: api.ActivityError, ContainerID: r.ID, Message: f.Message,
		Details: map[string]any{"error_type": f.Type, "reason": f.Reason, "name": r.Name}}.Event()}
}

// edit is what a step that worked does to a record.
func edit(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	switch s.Action {
	case Stop, Kill, Remove, Forget, Start, Pause, Unpause, Limit, Connect, Rename, Renew, Listen:
		editContainer(r, s, o)
	case Forgive, ExplicitStart, Suspect, BeginRestart, EndRestart, RecordStop, IntendStart:
		editRun(r, s, res, o)
	case RecordExit:
		return editExit(r, s, res, o)
	case Intend, IntendReplacement, Create, Adopt, Resolve, SwitchCode, ResetTrial:
		editPlacement(r, s, res, o)
	case Discard, Attempt, Abandon, Promote, Commit, Rollback:
		return editUpdate(r, s, res, o)
	}
	return nil
}

// editContainer is edit for what was asked of the engine.
func editContainer(r *store.Record, s *Step, o *Observation) {
	switch s.Action {
	case Stop:
		stopped(r, s.On, &store.Wait{Since: o.At.Now, Length: time.Duration(*r.Spec.StopGrace) * time.Second})
	case Remove:
		removed(r, s.On.DockerID)
	case Forget:
		r.Superseded = unseen(r.Superseded)
	case Limit:
		if p := r.Of(s.On.DockerID); p != nil && s.Input == input(r, Settings) { // else others are declared by now
			p.Resources = WantedLimits(r)
		}
	case Renew:
		r.Run.RestartFrom, r.Run.RestartAsked = Run(s.On), false
	case Start:
		r.Run.Backoff = nil
	}
}

// stopped notes that a container was asked to stop.
func stopped(r *store.Record, c *Container, grace *store.Wait) {
	r.Superseded = slices.Clone(r.Superseded)
	if p := placement(r, c); p != nil {
		p.Stop = grace
	}
}

// removed forgets the container of a placement, but not what the next one made in its place keeps of it.
func removed(r *store.Record, dockerID string) {
	switch dockerID {
	case r.Current.DockerID:
		p := &r.Current
		r.Current = store.Placement{Ports: p.Ports, TemplateHash: p.TemplateHash, Generation: p.Generation, Stable: p.Stable, Carried: p.Volumes(),
			Code: p.Code, AskedBy: p.AskedBy, Resources: p.Resources, ImageID: p.ImageID, ImageDigest: p.ImageDigest}
	case r.Candidate.DockerID:
		r.Candidate = store.Placement{}
	case r.Previous.DockerID:
		r.Previous = store.Placement{}
	}
}

// editRun is edit for what is noted of the process.
func editRun(r *store.Record, s *Step, res *Result, o *Observation) {
	n := &r.Run
	switch s.Action {
	case Forgive:
		forgiveOutage(r, o)
	case ExplicitStart:
		if c := res.Seen; c != nil {
			r.Done.Start = s.Asked.Start
			forgive(r)
			n.Begun = c.Alive() // what runs or is paused goes on, and that is the run that was asked for
			if !c.Alive() && c.Ran() {
				n.ID, n.End = Run(c), EndAsked
			}
		}
	case BeginRestart:
		if c := res.Seen; c != nil {
			r.Done.Restart, n.RestartFrom, n.RestartAsked = s.Asked.Restart, Run(c), false
			forgive(r)
			if !c.Alive() {
				n.RestartFrom, n.ID, n.End = "", Run(c), EndAsked
			}
		}
	case Suspect:
		n.Suspected++
	case EndRestart:
		if n.RestartFrom != Run(s.On) && !dealt(r, s.On) {
			n.ID, n.End = n.RestartFrom, EndAsked // whoever ended it: it was to end
		}
		n.RestartFrom, n.RestartAsked = "", false
	case RecordStop:
		r.Current.Stop = nil
		clearSuspicion(n, s.On)
		if ended(r, s.On) != EndCounted {
			n.ID, n.End = Run(s.On), EndAsked
		}
	case IntendStart:
		n.Begun, n.Boot, n.RestartAsked = true, o.Boot, n.RestartFrom != ""
		r.Current.Anonymous, r.Current.Runs = s.On.Anonymous, r.Current.Code
		if o.Mount != "" {
			r.Current.Mount = o.Mount
		}
	}
}

// editPlacement is edit for what stands or is to stand.
func editPlacement(r *store.Record, s *Step, res *Result, o *Observation) {
	if res.Image != nil && s.Action != Resolve {
		r.NoteImage(*res.Image)
	}
	if res.Code != nil {
		r.NoteTaken(*res.Code)
	}
	switch s.Action {
	case Intend:
		intend(r, s, *res.Placement)
	case IntendReplacement:
		r.Supersede(r.Candidate)
		r.Candidate = *res.Placement
	case Create:
		adopt(r, s, res.DockerID)
	case Adopt:
		adopt(r, s, s.On.DockerID)
	case Resolve:
		resolved(r, s, *res.Image)
	case SwitchCode:
		if s.Input == input(r, Update) { // else something newer is declared, which this is not the code of
			switchCode(r, s, res.Code.Digest, o)
		}
	case ResetTrial:
		resetTrial(r, s)
	}
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

func intend(r *store.Record, s *Step, p store.Placement) {
	if s.Cause == api.CauseDrift && r.Run.Begun && r.Run.Ended == "" && r.Spec.RestartPolicy.Name == api.RestartNever {
		r.Run.Ended, r.Run.EndedUnder = Interrupted, r.Spec.RestartPolicy // it runs once for each explicit start
	}
	if r.Current.TemplateHash != "" && r.Current.TemplateHash != p.TemplateHash {
		forgive(r)
	}
	r.Supersede(r.Current)
	if r.Handover != nil && r.Handover.Token == r.Current.Token {
		r.Handover = &store.Handover{Token: p.Token, Trial: r.Handover.Trial}
	}
	r.Current = p
}

// adopt writes a container's Docker id, before its first start.
func adopt(r *store.Record, s *Step, dockerID string) {
	if s.Candidate {
		r.Candidate.DockerID = dockerID
		return
	}
	r.Current.DockerID, r.Status.DockerID = dockerID, dockerID
}

func resolved(r *store.Record, s *Step, image store.Resolved) {
	r.Done.Pull, r.Tracks.Update.Failure = s.Asked.Pull, nil
	r.NoteImage(image)
	another := func(p *store.Placement) bool { return p.TemplateHash == image.Template && p.ImageID != image.ID }
	if another(&r.Current) {
		r.Current.Outdated = true
		r.NoteTrial(store.Trial{Template: templateName(image.Template, r.Code)}) // another image was not tried yet
	}
	if another(&r.Candidate) {
		r.Candidate.Outdated = true
	}
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
		keep := r.Spec.DesiredState == api.DesiredRunning && (OnTrial(r) || keepable(r, o))
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
		note(r, &r.Tracks.Update, Update, s, &Refusal{UpdateFailed, api.DockerAPIError, res.Detail}, o)
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
	if c := o.Previous; c != nil && c.Ran() {
		r.Run.ID, r.Run.End = Run(c), EndAsked
	} else if c := o.Current; c != nil && c.Ran() && r.Current.DockerID == c.DockerID && (!c.Alive() || stale(r)) {
		r.Run.ID, r.Run.End = Run(c), EndAsked
	}
	if res.Detail != "" && untouched {
		notTried(r, r.Trial(tried))
		return note(r, &r.Tracks.Update, Update, s, &Refusal{UpdateFailed, api.DockerAPIError, res.Detail}, o)
	}
	r.Tracks.Update.Failure = nil
	if res.Detail == "" {
		return nil
	}
	takenBack(r, tried, last, res, o)
	return append(crash(r, o.Current, last, exit{ended: UpdateFailed}, o.At), updateFailed(r, res.Detail, "was taken back"))
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
	f := &Refusal{UpdateFailed, api.DockerAPIError, TakenBack(r)}
	r.Tracks.Update.Failure = &store.Failure{Input: input(r, Update), Action: string(Rollback), Reason: f.Reason, ErrorType: f.Type, Message: f.Message, Attempts: t.Attempts,
		At: o.At.Wall(o.At.Now), Wait: store.Wait{Since: o.At.Now, Length: RetryDelay(r.ID, t.Attempts)}, Generation: r.Generation}
}

// editExit is edit for the end of a run.
func editExit(r *store.Record, s *Step, res *Result, o *Observation) []api.Event {
	e := judgeExit(r, s.On)
	events := warnings(r, &r.Status, s.On)
	if ended(r, s.On) != EndCounted {
		events = append(crash(r, s.On, res.Exit, e, o.At), events...)
	}
	if s.On.Alive() {
		r.Status.Health = s.On.Health
	}
	copyExit(&r.Status, s.On)
	applyExit(r, s, res, o.At)
	r.Status.NextRestartAt = nextRestart(r, o)
	return events
}

// settle notes what holds when there is nothing to do now. A failure of what is not to be done any more is over.
func settle(r *store.Record, s *Step, o *Observation) {
	for track := range tracks {
		t := TrackOf(r, track)
		if f := t.Failure; f != nil && (f.Input != input(r, track) || s.Rests[track].over()) {
			t.Failure = nil
		}
	}
	c := o.Current
	if c == nil || !c.Alive() {
		return
	}
	if o.Ready && r.Spec.Readiness == api.ReadinessSocket {
		r.Run.Ready = Run(c)
	}
	r.Run.Connected = r.Run.Connected || o.Connected
	if n := &r.Run; ended(r, c) == EndCounted && n.Ended != "" && available(r, o, c) {
		n.ID, n.End, n.Ended = "", "", "" // it was given up, and is well again by itself: its end will be another one
	}
	if available(r, o, c) && r.Handover == nil && r.Run.Available != Run(c) && ended(r, c) == "" {
		r.Run.Available, r.Current.Stable = Run(c), true
	}
}

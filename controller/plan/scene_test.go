package plan

import (
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

var aTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// scene is a record with the containers that are there, as Plan sees both. It is aTime.
type scene struct {
	r     *store.Record
	c     *Container
	other *Container // the candidate, or the one of before
	also  []Container
	o     Observation // what is seen beside the containers
}

// newScene is a container that was declared running at generation 3 and runs as declared, since a minute.
func newScene() *scene {
	r := &store.Record{Container: api.Container{ID: "id", Name: "web", Generation: 3}, SpecGeneration: 3, TemplateGeneration: 3}
	r.Spec = api.Spec{Image: "app", DesiredState: api.DesiredRunning}
	r.Spec.Default("web")
	r.Status.ObservedGeneration = r.Generation
	r.Current = store.Placement{Token: "t1", DockerName: "web", DockerID: "d1", Generation: 3, TemplateHash: api.TemplateHash(&r.Spec), Resources: r.Spec.Resources, Stable: true}
	c := &Container{ID: "id", DockerID: "d1", Name: "web", Token: "t1", State: "running"}
	r.Run.Begun = true
	s := &scene{r: r, c: c, o: Observation{At: Instant{Now: aTime}, Uptime: time.Hour}}
	s.since(time.Minute)
	r.Run.Available = Run(c)
	return s
}

// since has the newest run have begun so long ago.
func (s *scene) since(age time.Duration) *scene {
	s.c.StartedAt, s.c.Began = aTime.Add(-age), aTime.Add(-age)
	return s
}

// declared is another wish than was observed last.
func (s *scene) declared(state string) *scene {
	s.r.Spec.DesiredState = state
	s.r.Generation++
	s.r.SpecGeneration = s.r.Generation
	return s
}

// long has a wish be an old one, observed already.
func (s *scene) long(state string) *scene {
	s.r.Spec.DesiredState = state
	return s
}

func (s *scene) policy(name string, attempts int) *scene {
	s.r.Spec.RestartPolicy = api.RestartPolicy{Name: name, MaxAttempts: attempts, OnUnhealthy: api.UnhealthyRestart}
	return s
}

func (s *scene) is(state string) *scene {
	s.c.State = state
	return s
}

// ended is an exit after a minute.
func (s *scene) ended(code int) *scene {
	s.c.State, s.c.ExitCode, s.c.FinishedAt, s.c.Lasted = "exited", code, aTime, aTime.Sub(s.c.Began)
	return s
}

// dealt is an end that was dealt with.
func (s *scene) dealt(end string) *scene {
	s.r.Run.ID, s.r.Run.End = Run(s.c), end
	return s
}

// counted is an exit that was judged: the policy starts it again, or leaves it alone because of ended.
func (s *scene) counted(ended string) *scene {
	s.r.Run.Ended, s.r.Run.EndedUnder, s.r.Run.Streak = ended, s.r.Spec.RestartPolicy, max(s.r.Run.Streak, 1)
	return s.dealt(EndCounted)
}

// following is a candidate, recorded under an id and in a state, or neither.
func (s *scene) following(dockerID, state string) *scene {
	s.r.Candidate = store.Placement{Token: "t2", DockerName: Aside(s.r, "t2"), DockerID: dockerID, TemplateHash: api.TemplateHash(&s.r.Spec), Resources: s.r.Spec.Resources, AskedBy: s.r.Code}
	if state != "" {
		s.other = &Container{ID: "id", DockerID: "d2", Name: s.r.Candidate.DockerName, Token: "t2", State: state}
	}
	return s
}

// trial is a container that took the place of one before, which still has the name.
func (s *scene) trial() *scene {
	retemplate(s)
	s.r.Previous = s.r.Current
	s.r.Current = store.Placement{Token: "t2", DockerName: Aside(s.r, "t2"), DockerID: "d2", TemplateHash: api.TemplateHash(&s.r.Spec), Resources: s.r.Spec.Resources}
	tried(s)
	before := *s.c
	before.State, before.FinishedAt = "exited", aTime
	s.other = &before
	s.c.DockerID, s.c.Token, s.c.Name = "d2", "t2", Aside(s.r, "t2")
	return s
}

// proving is a container on trial that has its name and runs.
func (s *scene) proving() *scene { return s.trial().with(renamed) }

// coded is a container that was declared with code and runs it.
func (s *scene) coded() *scene {
	s.r.Spec.Code, s.r.Code = &api.Code{Path: "/srv/app", Target: "/app"}, 3
	p := &s.r.Current
	p.TemplateHash, p.Code, p.Runs, p.AskedBy = api.TemplateHash(&s.r.Spec), "one", "one", s.r.Code
	return s
}

// fresh is a container that never ran.
func (s *scene) fresh() *scene {
	s.c.State, s.c.ExitCode = "created", 0
	s.c.StartedAt, s.c.Began, s.c.FinishedAt, s.c.Lasted = time.Time{}, time.Time{}, time.Time{}, 0
	return s
}

func (s *scene) with(edits ...func(s *scene)) *scene {
	for _, edit := range edits {
		edit(s)
	}
	return s
}

func (s *scene) deleted() *scene {
	at := aTime
	s.r.DeletedAt = &at
	s.r.Generation++
	return s
}

// seen is all that Plan is told beside the record.
func (s *scene) seen() *Observation {
	var all []Container
	for _, c := range []*Container{s.c, s.other} {
		if c != nil {
			all = append(all, *c)
		}
	}
	o := Classify(s.r, append(all, s.also...))
	around := s.o
	around.Current, around.Candidate, around.Previous, around.Superseded, around.Foreign = o.Current, o.Candidate, o.Previous, o.Superseded, o.Foreign
	return &around
}

func (s *scene) next() Step { return Plan(s.r, s.seen()) }

// told names a step with its cause, or what is waited for and how long.
func told(next Step) string {
	if !next.Resting() {
		if next.Cause == "" {
			return string(next.Action)
		}
		return string(next.Action) + " for " + next.Cause
	}
	var all []string
	for _, w := range next.Rests {
		switch {
		case w.Left > 0:
			all = append(all, strings.TrimSpace(w.Reason+" "+w.Left.String()))
		case w.Reason != "":
			all = append(all, w.Reason)
		}
	}
	return strings.Join(all, ", ")
}

// failing is a step of a track that did not work, and is tried again in four seconds.
func failing(track TrackID, action Action, reason string) func(s *scene) {
	return func(s *scene) {
		TrackOf(s.r, track).Failure = &store.Failure{Input: input(s.r, track), Action: string(action), Reason: reason, ErrorType: api.DockerAPIError,
			Message: "it does not work", Attempts: 1, At: aTime, Wait: *soon(), Generation: s.r.Generation}
	}
}

// failedBeside are failures of all that may not hold up the process.
func failedBeside(s *scene) {
	s.with(failing(Update, IntendReplacement, "ImageNotFound"), failing(Settings, Limit, "LimitsRefused"), failing(Name, Rename, api.ReasonNameConflict))
}

// soon is a wait of which four seconds are left, over one of which none are.
func soon() *store.Wait {
	return &store.Wait{Since: aTime.Add(-6 * time.Second), Length: 10 * time.Second}
}

func over() *store.Wait {
	return &store.Wait{Since: aTime.Add(-11 * time.Second), Length: 10 * time.Second}
}

func backoff(s *scene) { s.r.Run.Backoff = soon() }

func unwell(s *scene) { s.c.Health = api.HealthUnhealthy }

func interruption(s *scene) { s.c.Interrupted = true }

// recoded is other code that is asked for.
func recoded(s *scene) {
	s.r.Generation++
	s.r.Code, s.r.TemplateGeneration = s.r.Generation, s.r.Generation
}

// switched is other code that was given to a container and that its next start runs.
func switched(s *scene) {
	recoded(s)
	switchCode(s.r, &Step{On: s.c}, "two", s.seen())
	s.r.Run.Begun = true
}

func runsNew(s *scene) { s.r.Current.Runs = "two" }

func explicitStart(s *scene) {
	s.r.Generation++
	s.r.Asked.Start = s.r.Generation
}

func restart(s *scene) {
	s.r.Generation++
	s.r.Asked.Restart = s.r.Generation
}

// noted is a restart whose run is noted.
func noted(s *scene) {
	restart(s)
	s.r.Done.Restart, s.r.Run.RestartFrom = s.r.Asked.Restart, Run(s.c)
}

// another is a run that began after the noted one.
func another(s *scene) { s.since(0) }

func retemplate(s *scene) {
	s.r.Spec.Image = "app:2"
	s.r.Generation++
	s.r.SpecGeneration, s.r.TemplateGeneration = s.r.Generation, s.r.Generation
}

func thirdTemplate(s *scene) { s.r.Spec.Image = "app:3" }

func firstTemplate(s *scene) { s.r.Spec.Image = "app" }

// tried is an attempt that was written down.
func tried(s *scene) {
	s.r.Handover = &store.Handover{Token: "t2", Trial: true}
	s.r.NoteTrial(store.Trial{Template: Template(s.r), Attempts: 1, Token: "t2"})
}

func renamed(s *scene) { s.c.Name, s.other.Name = "web", former(s.r, "t1") }

func justStarted(s *scene) { s.since(0) }

func removedByOthers(s *scene) { s.c = nil }

func takenBackOnce(s *scene) {
	s.r.NoteTrial(store.Trial{Template: Template(s.r), Attempts: 1, Token: "t2", Failed: "it exited with code 1"})
}

// formerRuns is a superseded container that runs still.
func formerRuns(s *scene) {
	s.r.Superseded = []store.Placement{{Token: "t0", DockerName: "web", DockerID: "d0"}}
	s.also = append(s.also, Container{ID: "id", DockerID: "d0", Name: "web.t0", Token: "t0", State: "running", StartedAt: aTime.Add(-time.Hour)})
}

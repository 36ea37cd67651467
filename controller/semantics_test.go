package controller

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// scene is a record with the container that stands for it, as plan sees both.
type scene struct {
	r     *store.Record
	o     *Observed
	other *Observed // the next one, or the one of before
	s     sight
}

// newScene is a container that was declared running and runs as declared, since a minute.
func newScene() *scene {
	r := &store.Record{Container: api.Container{ID: "id", Name: "web", Generation: 3}}
	r.Spec = api.Spec{Image: "app", DesiredState: api.DesiredRunning}
	r.Spec.Default("web")
	r.Status.ObservedGeneration = r.Generation
	r.Placement = store.Placement{Token: "t1", DockerName: "web", DockerID: "d1", Generation: 3, TemplateHash: api.TemplateHash(&r.Spec), Resources: r.Spec.Resources, Stable: true}
	return &scene{r: r, o: &Observed{ID: "id", DockerID: "d1", Name: "web", Token: "t1", State: "running", StartedAt: aTime.Add(-time.Minute)}}
}

// declared is another wish than was observed last.
func (s *scene) declared(state string) *scene {
	s.r.Spec.DesiredState = state
	s.r.Generation++
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
	s.o.State = state
	return s
}

// ended is an exit after a minute.
func (s *scene) ended(code int) *scene {
	s.o.State, s.o.ExitCode, s.o.FinishedAt = "exited", code, aTime
	return s
}

// counted is an exit that was judged.
func (s *scene) counted(ended string) *scene {
	s.r.Handled, s.r.Ended, s.r.EndedUnder = run(s.o), ended, s.r.Spec.RestartPolicy
	return s
}

// following is a next container, recorded under an id and in a state, or neither.
func (s *scene) following(dockerID, state string) *scene {
	s.r.Next = store.Placement{Token: "t2", DockerName: aside(s.r, "t2"), DockerID: dockerID, TemplateHash: api.TemplateHash(&s.r.Spec), Resources: s.r.Spec.Resources, AskedBy: s.r.Code}
	if state != "" {
		s.other = &Observed{ID: "id", DockerID: "d2", Name: s.r.Next.DockerName, Token: "t2", State: state}
	}
	return s
}

// trial is a container that took the place of one before, which still has the name.
func (s *scene) trial() *scene {
	retemplate(s)
	s.r.Prev = s.r.Placement
	s.r.Prev.DockerName = former(s.r, "t1")
	s.r.Placement = store.Placement{Token: "t2", DockerName: "web", DockerID: "d2", TemplateHash: api.TemplateHash(&s.r.Spec), Resources: s.r.Spec.Resources}
	s.r.NoteTrial(store.Trial{Template: template(s.r), Attempts: 1, Token: "t2"})
	before := *s.o
	before.State, before.FinishedAt = "exited", aTime
	s.other = &before
	s.o.DockerID, s.o.Token, s.o.Name = "d2", "t2", aside(s.r, "t2")
	return s
}

// coded is a container that was declared with code and runs it.
func (s *scene) coded() *scene {
	s.r.Spec.Code, s.r.Code = &api.Code{Path: "/srv/app", Target: "/app"}, 3
	p := &s.r.Placement
	p.TemplateHash, p.Code, p.Runs, p.AskedBy = api.TemplateHash(&s.r.Spec), "one", "one", s.r.Code
	return s
}

// fresh is a container that never ran.
func (s *scene) fresh() *scene {
	s.o.State, s.o.StartedAt, s.o.FinishedAt, s.o.ExitCode = "created", time.Time{}, time.Time{}, 0
	return s
}

func (s *scene) with(edit func(s *scene)) *scene {
	edit(s)
	return s
}

func (s *scene) deleted() *scene {
	s.r.DeletedAt = &aTime
	s.r.Generation++
	return s
}

// next is what plan decides, and what the status says then.
func (s *scene) next() (did, state, reason string) {
	var seen []Observed
	for _, o := range []*Observed{s.o, s.other} {
		if o != nil {
			seen = append(seen, *o)
		}
	}
	sees := look(s.r, seen)
	if sees.standing != nil {
		sees.standing.Interrupted = s.o.Interrupted
	}
	sees.deaf, sees.ready, sees.look, sees.copying, sees.checking = s.s.deaf, s.s.ready, s.s.look, s.s.copying, s.s.checking
	next := plan(s.r, sees, aTime)
	did = string(next.action)
	if next.cause != "" {
		did += " for " + next.cause
	}
	if !next.until.IsZero() {
		did += fmt.Sprint(" ", next.until.Sub(aTime))
	}
	after := *s.r
	observe(&after, sees, next, aTime)
	return did, after.Status.State, after.Status.Condition(api.Ready).Reason
}

var (
	soon  = aTime.Add(4 * time.Second)
	since = aTime.Add(-time.Second)
)

// What the loop does in each case, one row a rule: first the states, then by what happened.
func TestPlan_CaseByCase(t *testing.T) {
	tests := []struct {
		name   string
		scene  *scene
		did    string
		state  string
		reason string
	}{
		// States, the first that fits.
		{"removing: deleted", newScene().deleted(), "stop for declaration", "removing", "Removing"},
		{"running", newScene(), "", "running", "Running"},
		{"running: health starting", newScene().with(func(s *scene) { s.o.Health = api.HealthStarting }), "", "running", "HealthStarting"},
		{"running: unhealthy, reported only", newScene().with(unwell).with(func(s *scene) { s.r.Spec.RestartPolicy.OnUnhealthy = api.UnhealthyReport }), "", "running", "Unhealthy"},
		{"running: not ready before the flow says so", newScene().with(func(s *scene) { s.r.Spec.Readiness = api.ReadinessSocket }), "", "running", "WaitingForFlow"},
		{"running: the flow has said that it is ready", newScene().with(func(s *scene) { s.r.Spec.Readiness, s.s.ready = api.ReadinessSocket, true }), "", "running", "Running"},
		{"running: the flow said so before", newScene().with(func(s *scene) { s.r.Spec.Readiness, s.r.ReadyRun = api.ReadinessSocket, run(s.o) }), "", "running", "Running"},
		{"running: it may be silent until then", newScene().with(func(s *scene) { s.s.look = soon }), " 4s", "running", "Running"},
		{"paused", newScene().long(api.DesiredPaused).is("paused"), "", "paused", "Paused"},
		{"restarting: a start is due", newScene().ended(1).counted("").with(func(s *scene) { s.r.Status.NextRestartAt = &soon }), "wait 4s", "restarting", "BackOff"},
		{"stopped", newScene().long(api.DesiredStopped).ended(0), "", "stopped", "Stopped"},
		{"created: declared so", newScene().long(api.DesiredCreated).with(func(s *scene) { s.o.State, s.o.StartedAt = "created", time.Time{} }), "", "created", "Created"},
		{"created: not made yet", newScene().with(func(s *scene) { s.o, s.r.Placement = nil, store.Placement{} }), "intend for declaration", "created", "Created"},
		{"exited: completed", newScene().policy(api.RestartNever, 0).ended(0).counted("Completed"), "", "exited", "Completed"},
		{"exited: failed", newScene().policy(api.RestartNever, 0).ended(1).counted("Failed"), "", "exited", "Failed"},
		{"exited: interrupted", newScene().policy(api.RestartNever, 0).ended(137).counted("Interrupted"), "", "exited", "Interrupted"},
		{"exited: gave up", newScene().policy(api.RestartAlways, 2).ended(1).counted("GaveUp"), "", "exited", "GaveUp"},
		{"dead: taken away and made anew", newScene().is("dead"), "remove for drift", "dead", "Dead"},
		{"removal under way: waited for", newScene().is("removing"), "wait for drift 1s", "restarting", "BackOff"},

		// created and stopped are one thing to the planner.
		{"declared created while it runs", newScene().declared(api.DesiredCreated), "stop for declaration", "running", "Running"},
		{"declared stopped while it runs", newScene().declared(api.DesiredStopped), "stop for declaration", "running", "Running"},
		{"declared stopped while it waits for its restart", newScene().declared(api.DesiredStopped).ended(1).counted("").with(func(s *scene) { s.r.Status.NextRestartAt = &soon }), "", "stopped", "Stopped"},
		{"stopped, started by an outside hand", newScene().long(api.DesiredStopped), "stop for drift", "running", "Running"},
		{"stopped, paused by an outside hand", newScene().long(api.DesiredStopped).is("paused"), "unpause for drift", "paused", "Paused"},
		{"asked to stop: its grace", newScene().declared(api.DesiredStopped).with(func(s *scene) { s.r.StopDeadline = &soon }), "wait 4s", "running", "Running"},
		{"asked to stop: its grace is over", newScene().declared(api.DesiredStopped).with(func(s *scene) { s.r.StopDeadline = &since }), "kill for declaration", "running", "Running"},
		{"asked to stop, and has", newScene().declared(api.DesiredStopped).ended(0).with(func(s *scene) { s.r.StopDeadline = &soon }), "settle", "stopped", "Stopped"},
		{"started while it is still being stopped", newScene().declared(api.DesiredRunning).with(func(s *scene) { s.r.StopDeadline = &soon }), "wait 4s", "running", "Running"},

		// paused is running, then paused.
		{"declared paused while it runs", newScene().declared(api.DesiredPaused), "pause for declaration", "running", "Running"},
		{"declared paused and never started", newScene().declared(api.DesiredPaused).with(func(s *scene) { s.o.State, s.o.StartedAt = "created", time.Time{} }), "start for declaration", "created", "Created"},
		{"paused, and the host was rebooted: counted", newScene().long(api.DesiredPaused).ended(137).with(interruption), "exit for recovery", "restarting", "BackOff"},
		{"paused, and the host was rebooted: started", newScene().long(api.DesiredPaused).ended(137).with(interruption).with(func(s *scene) { s.r.Handled = interrupted(s.o) }), "start for recovery", "restarting", "BackOff"},
		{"declared running while it is paused", newScene().declared(api.DesiredRunning).is("paused"), "unpause for declaration", "paused", "Paused"},

		// An exit is what ended a process that we did not ask to end, an outside hand's stop and kill included.
		{"an exit is counted once", newScene().ended(0), "exit for exit", "restarting", "BackOff"},
		{"an exit that was counted is followed by a start", newScene().ended(1).counted(""), "start for exit", "restarting", "BackOff"},
		{"docker stop", newScene().ended(143), "exit for exit", "restarting", "BackOff"},
		{"docker kill", newScene().ended(137), "exit for exit", "restarting", "BackOff"},
		{"a completed one stays", newScene().policy(api.RestartOnFailure, 0).ended(0).counted("Completed"), "", "exited", "Completed"},
		{"a completed one that a hand started, and that failed", newScene().policy(api.RestartOnFailure, 0).ended(1).with(func(s *scene) {
			s.counted("Completed").o.StartedAt = aTime
		}), "exit for exit", "exited", "Completed"},
		{"another policy asks anew", newScene().policy(api.RestartNever, 0).ended(0).counted("Completed").policy(api.RestartAlways, 0), "exit for declaration", "exited", "Completed"},
		{"an explicit start of what has ended", newScene().ended(1).counted("GaveUp").with(func(s *scene) { s.r.Wake = 1 }), "wake", "exited", "GaveUp"},
		{"started explicitly after its end", newScene().declared(api.DesiredRunning).ended(1).with(func(s *scene) { s.r.Handled = asked(s.o) }), "start for declaration", "restarting", "BackOff"},

		// One that is not well is restarted, and shares the backoff of exits.
		{"unhealthy: counted", newScene().with(unwell), "exit for unhealthy", "running", "Unhealthy"},
		{"unhealthy and counted: stopped", newScene().with(unwell).counted(""), "stop for unhealthy", "running", "Unhealthy"},
		{"unhealthy and stopped: waits like after a crash", newScene().ended(143).counted("").with(func(s *scene) { s.r.Status.NextRestartAt = &soon }), "wait 4s", "restarting", "BackOff"},
		{"unhealthy, well again, and counted: still stopped", newScene().counted(""), "stop for unhealthy", "running", "Running"},
		{"unhealthy, and given up", newScene().with(unwell).counted("GaveUp"), "", "running", "Unhealthy"},
		{"unhealthy under never", newScene().policy(api.RestartNever, 0).with(unwell), "", "running", "Unhealthy"},
		{"unhealthy and declared to rest", newScene().declared(api.DesiredStopped).with(unwell), "stop for declaration", "running", "Unhealthy"},

		// Interrupted.
		{"interrupted, always", newScene().ended(137).with(interruption), "exit for recovery", "restarting", "BackOff"},
		{"interrupted with code 0, on-failure", newScene().policy(api.RestartOnFailure, 0).ended(0).with(interruption), "exit for recovery", "restarting", "BackOff"},
		{"interrupted and counted: started at once", newScene().ended(137).with(interruption).with(func(s *scene) { s.r.Handled = interrupted(s.o) }), "start for recovery", "restarting", "BackOff"},
		{"counted as an exit before it was known that it was interrupted", newScene().ended(137).counted("").with(interruption), "exit for recovery", "restarting", "BackOff"},

		// Drift.
		{"removed", newScene().with(func(s *scene) { s.o = nil }), "intend for drift", "created", "Created"},
		{"removed, and it shall rest", newScene().long(api.DesiredStopped).with(func(s *scene) { s.o = nil }), "intend for drift", "stopped", "Stopped"},
		{"paused behind our back", newScene().is("paused"), "unpause for drift", "paused", "Paused"},
		{"unpaused behind our back", newScene().long(api.DesiredPaused), "pause for drift", "running", "Running"},
		{"renamed", newScene().with(func(s *scene) { s.o.Name = "away" }), "rename for drift", "running", "Running"},
		{"the engine restarts it: at work, not at rest", newScene().is("restarting"), "", "running", "Running"},
		{"its socket was taken away", newScene().with(func(s *scene) { s.s.deaf = true }), "listen for recovery", "running", "Running"},
		{"its socket is opened before a start", newScene().ended(1).counted("").with(func(s *scene) { s.s.deaf = true }), "listen for recovery", "restarting", "BackOff"},

		// Restart: another run of the same container than the one noted.
		{"restart: its run is noted", newScene().with(restart), "renew for restart", "running", "Running"},
		{"restart: the noted run is stopped", newScene().with(noted), "stop for restart", "running", "Running"},
		{"restart: the noted run is over", newScene().with(noted).ended(143), "start for restart", "restarting", "BackOff"},
		{"restart: another run has begun", newScene().with(noted).with(func(s *scene) { s.o.StartedAt = aTime }), "renewed for restart", "running", "Running"},
		{"restart: another run was begun and ended by others, unseen", newScene().with(noted).with(func(s *scene) { s.o.StartedAt = aTime }).ended(0), "renew for restart", "restarting", "BackOff"},
		{"restart: the run that it led to is over already", newScene().with(noted).with(func(s *scene) { s.o.StartedAt, s.r.RestartAsked = aTime, true }).ended(0), "renewed for restart", "restarting", "BackOff"},
		{"restart: a stop came after it", newScene().with(noted).declared(api.DesiredStopped), "renewed for restart", "running", "Running"},
		{"restart of a paused one: it must hear", newScene().with(noted).is("paused"), "unpause for restart", "paused", "Paused"},

		// Replacement: the next one is made beside what stands, which is stopped only then.
		{"another template: the next one is intended", newScene().with(retemplate), "prepare for declaration", "running", "Running"},
		{"the next one is made", newScene().with(retemplate).following("", ""), "create for declaration", "running", "Running"},
		{"the next one is recorded", newScene().with(retemplate).following("", "created"), "record for recovery", "running", "Running"},
		{"the next one was removed by others", newScene().with(retemplate).following("d2", ""), "prepare for declaration", "running", "Running"},
		{"the attempt is counted before what runs is stopped", newScene().with(retemplate).following("d2", "created"), "attempt for declaration", "running", "Running"},
		{"what runs is stopped for it", newScene().with(retemplate).following("d2", "created").with(tried), "stop for declaration", "running", "Running"},
		{"what runs has its grace", newScene().with(retemplate).following("d2", "created").with(tried).with(func(s *scene) { s.r.StopDeadline = &soon }), "wait 4s", "running", "Running"},
		{"what ran has stopped", newScene().with(retemplate).following("d2", "created").with(tried).ended(143).with(func(s *scene) { s.r.StopDeadline = &soon }), "swap for declaration", "restarting", "BackOff"},
		{"what rests is replaced without a stop", newScene().long(api.DesiredStopped).ended(0).with(retemplate).following("d2", "created"), "swap for declaration", "stopped", "Stopped"},
		{"what crashes again and again is replaced at once", newScene().ended(1).counted("").with(func(s *scene) { s.r.Status.NextRestartAt, s.r.Status.CrashStreak = &soon, 2 }).with(retemplate).following("d2", "created"), "swap for declaration", "restarting", "BackOff"},
		{"what has just taken over again, and is about to be started, is kept", newScene().ended(143).with(func(s *scene) { s.r.Handled = asked(s.o) }).with(retemplate).following("d2", "created"), "attempt for declaration", "restarting", "BackOff"},
		{"what has done its work is replaced", newScene().ended(0).counted("Completed").with(retemplate).following("d2", "created"), "swap for declaration", "exited", "Completed"},
		{"what stands was removed by others meanwhile", newScene().with(retemplate).following("d2", "created").with(func(s *scene) { s.o = nil }), "swap for declaration", "created", "Created"},
		{"yet another template: the next one of before is not it", newScene().with(retemplate).following("d2", "created").with(func(s *scene) { s.r.Spec.Image = "app:3" }), "prepare for declaration", "running", "Running"},
		{"the template of what stands is declared again", newScene().with(retemplate).following("d2", "created").with(func(s *scene) { s.r.Spec.Image = "app" }), "discard", "running", "Running"},
		{"the next one cannot be made: what stands goes on", newScene().with(retemplate).with(failure).with(func(s *scene) { s.r.Failure.Update = true }), "wait 4s", "running", "Running"},
		{"the next one cannot be made, and what stands has crashed", newScene().ended(1).counted("").with(retemplate).with(failure).with(func(s *scene) { s.r.Failure.Update = true }), "start for exit", "restarting", "BackOff"},

		// On trial: what stood before is kept until the new one has proven itself.
		{"names are changed before the start", newScene().trial().ended(143).fresh(), "rename for declaration", "created", "Created"},
		{"it is started", newScene().trial().fresh().with(renamed), "start for declaration", "created", "Created"},
		{"it is watched", newScene().trial().with(renamed).with(justStarted), "wait 5s", "running", "Running"},
		{"it has run long enough", newScene().trial().with(renamed), "accept for declaration", "running", "Running"},
		{"it is watched until it is healthy", newScene().trial().with(renamed).with(func(s *scene) { s.o.Health = api.HealthStarting }), "wait 3m5s", "running", "HealthStarting"},
		{"it was not healthy in time", newScene().trial().with(renamed).with(func(s *scene) { s.o.Health, s.o.StartedAt = api.HealthUnhealthy, aTime.Add(-time.Hour) }), "revert for exit", "running", "Unhealthy"},
		{"it has exited", newScene().trial().with(renamed).ended(1), "revert for exit", "restarting", "BackOff"},
		{"it has exited well, and its policy starts it again", newScene().trial().with(renamed).ended(0), "revert for exit", "restarting", "BackOff"},
		{"it has done its work", newScene().trial().with(renamed).policy(api.RestartOnFailure, 0).ended(0), "accept for declaration", "restarting", "BackOff"},
		{"it could not be started", newScene().trial().with(renamed).fresh().with(failure).with(unstarted), "revert for exit", "created", "Created"},
		{"it has failed, and the policy leaves it as it is", newScene().trial().with(renamed).ended(1).with(func(s *scene) { s.r.Spec.UpdatePolicy.OnFailure = api.OnFailurePause }), "accept for declaration", "restarting", "BackOff"},
		{"the host was rebooted: not its fault", newScene().trial().with(renamed).ended(137).with(interruption), "exit for recovery", "restarting", "BackOff"},
		{"it was stopped by declaration: watched on once it is started", newScene().trial().with(renamed).ended(143).with(func(s *scene) { s.r.Handled = asked(s.o) }), "start for declaration", "restarting", "BackOff"},
		{"what stood before is declared again", newScene().trial().with(renamed).with(func(s *scene) { s.r.Spec.Image = "app" }), "revert for declaration", "running", "Running"},
		{"yet another template while it is on trial", newScene().trial().with(renamed).with(func(s *scene) { s.r.Spec.Image = "app:3" }), "prepare for declaration", "running", "Running"},

		{"a hand starts what stood before", newScene().trial().with(renamed).with(func(s *scene) { s.other.State = "running" }), "kill for drift", "running", "Running"},
		{"a hand starts the next one", newScene().with(retemplate).following("d2", "running"), "kill for drift", "running", "Running"},

		{"what is on trial was removed by others, before the names were changed", newScene().trial().with(func(s *scene) { s.o = nil }), "rename for declaration", "created", "Created"},

		// Taken back: what stood before goes on, and is what is made anew where it has to be.
		{"taken back: not tried again", newScene().with(retemplate).with(takenBackOnce), "", "running", "Running"},
		{"taken back: asked to be tried again", newScene().with(retemplate).with(takenBackOnce).with(func(s *scene) { s.r.Retry = s.r.Generation }), "again", "running", "Running"},
		{"taken back: another attempt is allowed", newScene().with(retemplate).with(takenBackOnce).with(func(s *scene) { s.r.Spec.UpdatePolicy.MaxAttempts = 2 }), "prepare for declaration", "running", "Running"},
		{"taken back: what stands has crashed", newScene().ended(1).counted("").with(retemplate).with(takenBackOnce), "start for exit", "restarting", "BackOff"},
		{"taken back: what stood was removed by others", newScene().with(retemplate).with(takenBackOnce).with(func(s *scene) { s.o = nil }), "intend for drift", "created", "Created"},
		{"taken back, and yet another template", newScene().with(retemplate).with(takenBackOnce).with(func(s *scene) { s.r.Spec.Image = "app:3" }), "prepare for declaration", "running", "Running"},

		// Stable is what has run for as long as an update is watched.
		{"not long enough yet", newScene().with(justStarted).with(func(s *scene) { s.r.Placement.Stable = false }), " 5s", "running", "Running"},
		{"long enough", newScene().with(func(s *scene) { s.r.Placement.Stable = false }), "prove", "running", "Running"},
		{"limits: in place", newScene().with(func(s *scene) { s.r.Spec.Resources.MemoryBytes = 64 << 20 }), "limit for declaration", "running", "Running"},
		{"a limit taken away: replaced", newScene().with(func(s *scene) { s.r.Placement.Resources.MemoryBytes = 64 << 20 }), "prepare for declaration", "running", "Running"},
		{"policies cost nothing", newScene().policy(api.RestartNever, 3), "", "running", "Running"},

		// Other code is another run of the same container.
		{"code as declared", newScene().coded(), "", "running", "Running"},
		{"other code is asked for", newScene().coded().with(recoded), "recode for declaration", "running", "Running"},
		{"it is being read: what stands goes on", newScene().coded().with(recoded).with(func(s *scene) { s.s.copying = true }), "copying", "running", "Running"},
		{"it is being read, and what stands has crashed", newScene().coded().ended(1).counted("").with(recoded).with(func(s *scene) { s.s.copying = true }), "start for exit", "restarting", "BackOff"},
		{"it is being read back before a start", newScene().coded().ended(1).counted("").with(func(s *scene) { s.s.checking = true }), "copying for exit", "restarting", "BackOff"},
		{"it cannot be had: what stands goes on", newScene().coded().with(recoded).with(failure).with(func(s *scene) { s.r.Failure.Update = true }), "wait 4s", "running", "Running"},
		{"what runs is stopped for it", newScene().coded().with(swapped), "stop for declaration", "running", "Running"},
		{"what runs has stopped by itself meanwhile: that is no exit", newScene().coded().with(swapped).ended(1), "settle", "restarting", "BackOff"},
		{"what ran has stopped", newScene().coded().with(swapped).ended(143).with(func(s *scene) { s.r.Handled = asked(s.o) }), "start for declaration", "restarting", "BackOff"},
		{"what rests is not started for it", newScene().coded().long(api.DesiredStopped).ended(0).with(recoded), "recode for declaration", "stopped", "Stopped"},
		{"what rests has it for its next start", newScene().coded().long(api.DesiredStopped).ended(0).counted("").with(swapped), "", "stopped", "Stopped"},
		{"it is watched like any update", newScene().coded().with(swapped).with(justStarted).with(runsNew), "wait 5s", "running", "Running"},
		{"it has run long enough", newScene().coded().with(swapped).with(runsNew), "accept for declaration", "running", "Running"},
		{"it does not stay up", newScene().coded().with(swapped).with(runsNew).ended(1), "revert for exit", "restarting", "BackOff"},
		{"the code of before is declared again while it is on trial", newScene().coded().with(swapped).with(runsNew).with(func(s *scene) { s.r.Code = s.r.Prev.AskedBy }), "revert for declaration", "running", "Running"},
		{"taken back: not tried again", newScene().coded().with(recoded).with(takenBackOnce), "", "running", "Running"},
		{"taken back: it still runs", newScene().coded().with(recoded).with(takenBackOnce).with(func(s *scene) { s.r.Placement.Runs = "two" }), "stop for declaration", "running", "Running"},
		{"other code and another template: replaced", newScene().coded().with(recoded).with(retemplate), "prepare for declaration", "running", "Running"},
		{"the next one was made for the code of before", newScene().coded().with(retemplate).following("d2", "created").with(recoded), "prepare for declaration", "running", "Running"},

		// After a crash of the manager between any two steps.
		{"an intent without a container", newScene().with(func(s *scene) { s.o, s.r.Placement.DockerID = nil, "" }), "create for drift", "created", "Created"},
		{"a container that nobody recorded", newScene().with(func(s *scene) { s.r.Placement.DockerID = "" }), "record for recovery", "running", "Running"},
		{"a former one is retired first", newScene().with(func(s *scene) {
			s.r.Superseded, s.r.Placement.Token = []store.Placement{s.r.Placement}, "t2"
		}), "stop for declaration", "created", "Created"},
		{"a former one that is gone is forgotten", newScene().with(func(s *scene) { s.r.Superseded = []store.Placement{{Token: "t0", DockerID: "d0"}} }), "forget", "running", "Running"},

		// Delete wins over anything under way.
		{"deleted in a backoff", newScene().ended(1).counted("").with(func(s *scene) { s.r.Status.NextRestartAt = &soon }).deleted(), "remove for declaration", "removing", "Removing"},
		{"deleted after a failure", newScene().ended(1).with(failure).deleted(), "remove for declaration", "removing", "Removing"},
		{"deleted while it is being stopped", newScene().with(func(s *scene) { s.r.StopDeadline = &soon }).deleted(), "wait 4s", "removing", "Removing"},
		{"deleted while it is being stopped, its grace over", newScene().with(func(s *scene) { s.r.StopDeadline = &since }).deleted(), "kill for declaration", "removing", "Removing"},
		{"deleted during a restart", newScene().with(noted).deleted(), "stop for declaration", "removing", "Removing"},
		{"deleted while paused", newScene().is("paused").deleted(), "unpause for declaration", "removing", "Removing"},
		{"deleted and gone", newScene().with(func(s *scene) { s.o = nil }).deleted(), "bury for declaration", "removing", "Removing"},
		{"deleted without its socket: none is opened", newScene().with(func(s *scene) { s.s.deaf = true }).deleted(), "stop for declaration", "removing", "Removing"},

		// Failures belong to a generation.
		{"a failure is retried when due", newScene().ended(1).with(failure), "wait 4s", "restarting", "BackOff"},
		{"a newer declaration does not wait for it", newScene().ended(1).with(failure).declared(api.DesiredStopped), "", "stopped", "Stopped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			did, state, reason := tt.scene.next()
			if did != tt.did || state != tt.state || reason != tt.reason {
				t.Errorf("got %q, state %s, %s; want %q, state %s, %s", did, state, reason, tt.did, tt.state, tt.reason)
			}
		})
	}
}

func unwell(s *scene) { s.o.Health = api.HealthUnhealthy }

func interruption(s *scene) { s.o.Interrupted = true }

// recoded is other code that is asked for.
func recoded(s *scene) {
	s.r.Generation++
	s.r.Code = s.r.Generation
}

// swapped is other code that was given to a container and that its next start runs.
func swapped(s *scene) {
	recoded(s)
	giveCode(s.r, "two", true)
}

func runsNew(s *scene) { s.r.Placement.Runs = "two" }

func restart(s *scene) {
	s.r.Generation++
	s.r.Restart = s.r.Generation
}

func noted(s *scene) {
	restart(s)
	s.r.RestartSeen, s.r.RestartFrom = s.r.Restart, run(s.o)
}

func retemplate(s *scene) {
	s.r.Spec.Image = "app:2"
	s.r.Generation++
}

func tried(s *scene) {
	s.r.NoteTrial(store.Trial{Template: template(s.r), Attempts: 1, Token: "t2"})
}

func renamed(s *scene) { s.o.Name, s.other.Name = "web", former(s.r, "t1") }

func justStarted(s *scene) { s.o.StartedAt = aTime }

func unstarted(s *scene) {
	s.r.Failure.Action = string(start)
	s.r.Status.LastError = &api.LastError{Message: "no such command"}
}

func takenBackOnce(s *scene) {
	s.r.NoteTrial(store.Trial{Template: template(s.r), Attempts: 1, Token: "t2", Failed: "it exited with code 1"})
}

func failure(s *scene) {
	s.r.Failure = &store.Failure{Generation: s.r.Generation, Attempts: 1, Reason: "StartFailed", RetryAt: soon}
}

// That a flow says it is ready is written down where something waits for it, and else is no reason to write.
func TestObserve_ReadyIsKeptWhereItIsWaitedFor(t *testing.T) {
	for _, waits := range []string{api.ReadinessNone, api.ReadinessSocket} {
		s := newScene()
		s.r.Spec.Readiness = waits
		before, after := *s.r, *s.r
		for _, says := range []bool{false, true} {
			sees := look(s.r, []Observed{*s.o})
			sees.ready = says
			before, after = after, *s.r
			observe(&after, sees, plan(&after, sees, aTime), aTime)
		}
		if wrote := !reflect.DeepEqual(before, after); wrote != (waits == api.ReadinessSocket) || wrote && after.ReadyRun != run(s.o) {
			t.Errorf("readiness %s: written: %t, ready in run %q", waits, wrote, after.ReadyRun)
		}
	}
}

// What the restart policy makes of an end, one row a rule.
func TestJudge_CaseByCase(t *testing.T) {
	tests := []struct {
		name   string
		scene  *scene
		streak int // before
		ended  string
		after  int // streak
		wait   time.Duration
	}{
		{"always, code 0: at once", newScene().ended(0), 0, "", 1, 0},
		{"always, code 1: at once", newScene().ended(1), 0, "", 1, 0},
		{"the second in a row waits 1 s", newScene().ended(1), 1, "", 2, time.Second},
		{"the third 2 s", newScene().ended(1), 2, "", 3, 2 * time.Second},
		{"the fifth 8 s", newScene().ended(1), 4, "", 5, 8 * time.Second},
		{"never more than 300 s", newScene().ended(1), 400, "", 401, 300 * time.Second},
		{"a run of ten minutes is no link of a row", newScene().ended(1).with(func(s *scene) { s.o.StartedAt = aTime.Add(-10 * time.Minute) }), 7, "", 1, 0},
		{"on-failure, code 0", newScene().policy(api.RestartOnFailure, 0).ended(0), 0, "Completed", 1, 0},
		{"on-failure, code 1", newScene().policy(api.RestartOnFailure, 0).ended(1), 0, "", 1, 0},
		{"never, code 0", newScene().policy(api.RestartNever, 0).ended(0), 0, "Completed", 1, 0},
		{"never, code 1", newScene().policy(api.RestartNever, 0).ended(1), 0, "Failed", 1, 0},
		{"as many attempts as allowed", newScene().policy(api.RestartAlways, 2).ended(1), 1, "", 2, time.Second},
		{"one more than allowed", newScene().policy(api.RestartAlways, 2).ended(1), 2, "GaveUp", 3, 0},
		{"interrupted, always: no streak", newScene().ended(137).with(interruption), 3, "", 3, 0},
		{"interrupted, on-failure, code 0: started", newScene().policy(api.RestartOnFailure, 0).ended(0).with(interruption), 0, "", 0, 0},
		{"interrupted, never: at most once", newScene().policy(api.RestartNever, 0).ended(137).with(interruption), 0, "Interrupted", 0, 0},
		{"interrupted, found out after it was counted: taken back", newScene().ended(137).counted("").with(interruption), 3, "", 2, 0},
		{"interrupted, and so was the one before, which was counted: taken back", newScene().ended(137).with(interruption).with(func(s *scene) { s.o.InterruptedBefore = true }), 3, "", 2, 0},
		{"unhealthy, on-failure: a failure", newScene().policy(api.RestartOnFailure, 0).with(unwell), 1, "", 2, time.Second},
		{"unhealthy once too often", newScene().policy(api.RestartAlways, 2).with(unwell), 2, "GaveUp", 3, 0},
		{"another policy, counted already: not counted twice", newScene().policy(api.RestartNever, 0).ended(1).counted("Failed").policy(api.RestartAlways, 0), 2, "", 2, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.scene.r.Status.CrashStreak = tt.streak
			v := judge(tt.scene.r, tt.scene.o, aTime)
			if v.ended != tt.ended || v.streak != tt.after {
				t.Errorf("got %q and streak %d, want %q and %d", v.ended, v.streak, tt.ended, tt.after)
			}
			if pause := v.next.Sub(aTime); tt.ended == "" && (pause < tt.wait*9/10 || pause > tt.wait*11/10) {
				t.Errorf("waits %v, want %v within a tenth", pause, tt.wait)
			}
		})
	}
}

package plan

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// That a flow says it is ready is written down where something waits for it, and else is no reason to write.
func TestApply_ReadyIsKeptWhereItIsWaitedFor(t *testing.T) {
	for _, readiness := range []string{api.ReadinessNone, api.ReadinessSocket} {
		s := newScene()
		s.r.Spec.Readiness = readiness
		s.reserve()
		s.rests(t)
		before := api.Encode(s.r.Tracking)
		s.o.Ready = true
		s.rests(t)
		waits := readiness == api.ReadinessSocket
		if wrote := string(before) != string(api.Encode(s.r.Tracking)); wrote != waits || wrote && s.r.Run.Ready != Run(s.c) {
			t.Errorf("readiness %s: written: %t, ready in run %q", readiness, wrote, s.r.Run.Ready)
		}
	}
}

// A failure is over once there is nothing left to be done that it could hold up, also where silence is listened for.
func TestApply_AFailureEndsOnceNothingIsLeftToDo(t *testing.T) {
	for _, silence := range []time.Duration{0, time.Minute} {
		s := newScene().with(failing(Process, Listen, "SocketFailed"))
		s.r.Tracks.Process.Failure.Wait = *over()
		s.o.SilenceLeft = silence
		s.rests(t)
		if s.r.Tracks.Process.Failure != nil || s.r.Status.Condition(api.Degraded).Status == api.True {
			t.Errorf("silence may last %v: still %+v", silence, s.r.Tracks.Process.Failure)
		}
	}
	s := newScene().with(retemplate, failing(Update, IntendReplacement, "ImageNotFound"))
	s.rests(t)
	if s.r.Tracks.Update.Failure == nil || s.r.Status.Condition(api.Degraded).Reason != "ImageNotFound" {
		t.Error("a failure that is waited over has ended")
	}
}

// An update goes back to what was available, or is in its first run without an exit that was counted, however short that is.
func TestApply_WhatAnUpdateGoesBackTo(t *testing.T) {
	tests := []struct {
		name  string
		scene *scene
		keeps bool
	}{
		{"it is available", newScene(), true},
		{"it is in its first run", newScene().since(time.Second).with(func(s *scene) { s.r.Current.Stable, s.r.Run.Available = false, "" }), true},
		{"it is available, after it had ended again and again", newScene().with(func(s *scene) { s.r.Run.Streak = 5 }), true},
		{"it was available, and has ended once since", newScene().since(time.Second).with(func(s *scene) { s.r.Run.Streak = 1 }), true},
		{"it was available once, and ends again and again", newScene().since(time.Second).with(func(s *scene) { s.r.Run.Streak = 2 }), false},
		{"it was never available, and has ended", newScene().since(time.Second).with(func(s *scene) { s.r.Current.Stable, s.r.Run.Streak = false, 1 }), false},
		{"it is paused", newScene().long(api.DesiredPaused).is("paused"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.scene.with(retemplate).following("d2", "created")
			s.does(t, Attempt, &Result{})
			s.is("exited")
			s.does(t, Promote, &Result{})
			if kept := s.r.Previous.Token == "t1"; kept != tt.keeps || kept == (len(s.r.Superseded) > 0) || OnTrial(s.r) != tt.keeps {
				t.Errorf("kept: %t", kept)
			}
		})
	}
}

// What could not be stopped for an update was not tried, and the next attempt waits longer each time.
func TestApply_AnAttemptCountsFromTheStop(t *testing.T) {
	s := newScene().with(retemplate).following("d2", "created")
	refused := &Result{Refused: &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "no"}}
	for n := 1; n <= 3; n++ {
		s.does(t, Attempt, &Result{})
		s.does(t, Stop, refused)
		s.does(t, Abandon, &Result{Detail: "no"})
		if f := s.r.Tracks.Update.Failure; f == nil || f.Attempts != n || f.Reason != api.ReasonUpdateFailed {
			t.Fatalf("after %d attempts: %+v", n, f)
		}
		if trial := s.r.Trial(Template(s.r)); trial.Attempts != 0 {
			t.Fatalf("%d attempts are counted against it", trial.Attempts)
		}
		s.rests(t)
		s.o.At.Now = s.o.At.Now.Add(RetryDelay("id", n))
	}
	s.does(t, Attempt, &Result{})
	s.does(t, Stop, &Result{})
	s.ended(143)
	s.does(t, Promote, &Result{})
	if trial := s.r.Trial(Template(s.r)); trial.Attempts != 1 {
		t.Errorf("%d attempts are counted", trial.Attempts)
	}
}

// A stop for an update that took effect though it failed is no exit of the run's own, whatever code it leaves.
func TestApply_AStopThatFailedAfterTakingEffectIsNoExit(t *testing.T) {
	s := newScene().policy(api.RestartOnFailure, 0).with(retemplate).following("d2", "created")
	s.does(t, Attempt, &Result{})
	s.does(t, Stop, &Result{Refused: &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "no"}})
	s.ended(0)
	s.does(t, Abandon, &Result{Detail: "no"})
	s.other = nil
	for n := 0; n < 5 && s.next().Action != Start; n++ {
		s.does(t, s.next().Action, &Result{})
	}
	if next := s.next(); next.Action != Start || s.r.Run.Ended != "" || s.r.Run.Streak != 0 {
		t.Errorf("%s is next, and its run has ended %q, streak %d", told(next), s.r.Run.Ended, s.r.Run.Streak)
	}
}

// Code that what runs cannot be stopped for is taken back, and what runs goes on as the run that it was.
func TestApply_WhatRunsOnGoesOnBeingJudged(t *testing.T) {
	s := newScene().coded().since(time.Second)
	s.r.Run.Available = ""
	s.with(recoded)
	s.does(t, SwitchCode, &Result{Code: &store.Taken{Code: s.r.Code, Digest: "two"}})
	s.does(t, Stop, &Result{Refused: &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "no"}})
	s.does(t, Rollback, &Result{Detail: "no"})
	s.o.At.Now = s.o.At.Now.Add(900 * time.Millisecond)
	s.rests(t)
	if ended(s.r, s.c) != "" {
		t.Error("its end is dealt with, and it runs")
	}
	s.r.Spec.UpdatePolicy.MaxAttempts = 1
	s.ended(1)
	if next := s.next(); next.Action != RecordExit {
		t.Errorf("%s is next", told(next))
	}
}

// Who removes a container again and again is answered ever more rarely.
func TestPlan_ARemovalByOthersBacksOff(t *testing.T) {
	s := newScene()
	var waits []time.Duration
	for n := range 8 {
		s.c = nil
		next := s.next()
		for next.Resting() {
			waits = append(waits, next.Left())
			s.o.At.Now = s.o.At.Now.Add(next.Left())
			next = s.next()
		}
		p := s.r.Current
		p.DockerID, p.Token = "", p.Token+"'"
		s.does(t, Intend, &Result{Placement: &p})
		s.does(t, Forget, &Result{})
		s.does(t, Create, &Result{DockerID: p.Token})
		s.c = &Container{ID: "id", DockerID: p.Token, Name: "web", Token: p.Token, State: "running", StartedAt: s.o.At.Now, Began: s.o.At.Now}
		s.r.Run.Begun = true
		s.rests(t)
		if n < freeRepairs && len(waits) > 0 {
			t.Errorf("the removal %d waits", n+1)
		}
	}
	if len(waits) < 4 || waits[len(waits)-1] < 4*time.Second {
		t.Errorf("waits: %v", waits)
	}
}

// What is asked for again while it is being carried out is carried out again.
func TestApply_ANewerRequestIsNotDone(t *testing.T) {
	ask := func(edit func(q *store.Requests, generation int64)) func(s *scene) {
		return func(s *scene) {
			s.r.Generation++
			edit(&s.r.Asked, s.r.Generation)
		}
	}
	tests := []struct {
		action Action
		ask    func(s *scene)
		done   func(q store.Requests) int64
	}{
		{ExplicitStart, ask(func(q *store.Requests, g int64) { q.Start = g }), func(q store.Requests) int64 { return q.Start }},
		{BeginRestart, ask(func(q *store.Requests, g int64) { q.Restart = g }), func(q store.Requests) int64 { return q.Restart }},
		{Resolve, ask(func(q *store.Requests, g int64) { q.Pull = g }), func(q store.Requests) int64 { return q.Pull }},
		{ResetTrial, ask(func(q *store.Requests, g int64) { q.Retry = g }), func(q store.Requests) int64 { return q.Retry }},
	}
	for _, tt := range tests {
		t.Run(string(tt.action), func(t *testing.T) {
			s := newScene().with(tt.ask)
			o := s.seen()
			next := Plan(s.r, o)
			s.with(tt.ask)
			Apply(s.r, &next, &Result{Seen: s.c, Image: &store.Resolved{Template: api.TemplateHash(&s.r.Spec)}}, o)
			if got := tt.done(s.r.Done); next.Action != tt.action || got != 4 || tt.done(s.r.Asked) != 5 {
				t.Errorf("%s marks %d as done", next.Action, got)
			}
		})
	}
}

// A name that is taken at a create is done without.
func TestApply_ATakenNameIsDoneWithout(t *testing.T) {
	s := newScene().with(removedByOthers)
	s.r.Current.DockerID = ""
	s.does(t, Create, &Result{Refused: &Refusal{Reason: api.ReasonNameConflict, Type: api.ConflictError, Message: "taken"}})
	if f := s.r.Tracks.Name.Failure; s.r.Current.DockerName != Aside(s.r, "t1") || f == nil || s.r.Tracks.Update.Failure != nil {
		t.Errorf("it is to be made as %s; %+v", s.r.Current.DockerName, s.r.Tracks)
	}
	s.does(t, Create, &Result{DockerID: "d1"})
	s.c = newScene().fresh().c
	s.c.Name = s.r.Current.DockerName
	s.does(t, Start, &Result{})
}

// What runs at most once for each explicit start does not run again because others have removed it.
func TestApply_WhatRunsOnceIsNotRunAgain(t *testing.T) {
	s := newScene().policy(api.RestartNever, 0).with(removedByOthers)
	p := s.r.Current
	p.Token, p.DockerID = "t2", ""
	s.does(t, Intend, &Result{Placement: &p})
	if s.r.Run.Ended != Interrupted {
		t.Errorf("it has ended %q", s.r.Run.Ended)
	}
}

// The first of two steps of a handover that does not work ends it: the record that others read stays as it is.
func TestApply_ARefusedStepOfAHandoverGoesBack(t *testing.T) {
	s := newScene().proving().fresh()
	shared := s.r.Handover
	s.does(t, Start, &Result{Refused: &Refusal{Reason: api.ReasonStartFailed, Type: api.DockerAPIError, Message: "no such command"}})
	if shared.Failed != "" || s.r.Handover.Failed != "no such command" || s.r.Tracks.Update.Failure != nil {
		t.Errorf("shared %+v, now %+v", shared, s.r.Handover)
	}
	s.does(t, Rollback, &Result{Detail: "no such command"})
	if s.r.Current.Token != "t1" || !Exhausted(s.r) || s.r.Handover != nil || s.r.Tracks.Update.Failure != nil {
		t.Errorf("%s stands: %+v", s.r.Current.Token, s.r.Tracks.Update.Failure)
	}
}

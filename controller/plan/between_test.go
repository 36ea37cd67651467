package plan

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// between takes the next step, and has something be declared before it is written.
func (s *scene) between(t *testing.T, want Action, res *Result, declare ...func(s *scene)) {
	t.Helper()
	o := s.seen()
	next := Plan(s.r, o)
	if next.Action != want {
		t.Fatalf("%s would be next, not %s", told(next), want)
	}
	s.with(declare...)
	res.Detail, res.Seen = next.Detail, next.On
	Apply(s.r, &next, res, o)
}

// Code that is declared while other code is switched to is switched to after that.
func TestApply_NewerCodeIsNotTakenForTheOneThatWasSwitchedTo(t *testing.T) {
	s := newScene().coded().with(recoded)
	s.between(t, SwitchCode, &Result{Code: &store.Taken{Code: s.r.Code, Digest: "two"}}, recoded)
	if Serving(s.r) {
		t.Fatalf("code %q counts as that of request %d", s.r.Current.Code, s.r.Code)
	}
	s.does(t, SwitchCode, &Result{Code: &store.Taken{Code: s.r.Code, Digest: "three"}})
	if !Serving(s.r) || s.r.Current.Code != "three" || s.r.Taken(4) != "two" {
		t.Errorf("%+v", s.r.Current)
	}
}

// Limits that are declared while others are set are set after that, and not because of an outside hand.
func TestApply_NewerLimitsAreNotTakenForThoseThatWereSet(t *testing.T) {
	limit := func(bytes int64) func(s *scene) {
		return func(s *scene) {
			s.r.Spec.Resources.MemoryBytes = bytes
			s.declared(api.DesiredRunning)
		}
	}
	s := newScene().with(limit(64 << 20))
	s.between(t, Limit, &Result{}, limit(128<<20))
	if next := s.next(); told(next) != "limit for declaration" {
		t.Errorf("%s is next", told(next))
	}
}

// What is declared while an attempt is written down was not tried.
func TestApply_AnAttemptIsOneAtWhatWasMade(t *testing.T) {
	s := newScene().with(retemplate).following("d2", "created")
	s.between(t, Attempt, &Result{}, retemplate, thirdTemplate)
	if trial := s.r.Trial(Template(s.r)); trial.Attempts != 0 {
		t.Errorf("%d attempts are counted against what was declared since", trial.Attempts)
	}
	s.does(t, Abandon, &Result{})
	if len(s.r.Trials) != 0 {
		t.Errorf("nothing was stopped: %+v", s.r.Trials)
	}
}

// A run that was counted because it was not well, and is being stopped, is no failure of the code that comes after it.
func TestPlan_CodeIsNotJudgedByTheRunBefore(t *testing.T) {
	s := newScene().coded().with(unwell)
	s.does(t, RecordExit, &Result{Exit: &store.Exit{Unhealthy: true}})
	s.does(t, Stop, &Result{})
	s.with(recoded)
	s.does(t, SwitchCode, &Result{Code: &store.Taken{Code: s.r.Code, Digest: "two"}})
	s.c.Health = ""
	s.ended(143)
	s.does(t, RecordStop, &Result{})
	if next := s.next(); next.Action != IntendStart {
		t.Errorf("%s is next: %s", told(next), next.Detail)
	}
}

// Code that cannot be started is no crash of the run that was stopped for it.
func TestApply_AStopForAnUpdateIsNoCrash(t *testing.T) {
	s := newScene().coded().with(recoded)
	s.does(t, SwitchCode, &Result{Code: &store.Taken{Code: s.r.Code, Digest: "two"}})
	s.does(t, Stop, &Result{})
	s.ended(143)
	s.does(t, RecordStop, &Result{})
	s.does(t, IntendStart, &Result{})
	s.does(t, Start, &Result{Refused: &Refusal{Reason: api.ReasonStartFailed, Type: api.DockerAPIError, Message: "no such network"}})
	o := s.seen()
	next := Plan(s.r, o)
	events := Apply(s.r, &next, &Result{Detail: next.Detail, Exit: &store.Exit{Code: 143, Cause: "signal 15"}}, o)
	for _, e := range events {
		if e.Name == api.ContainerCrashed {
			t.Errorf("it is told to have crashed: %s", e.Data)
		}
	}
	if trial := s.r.Trial(Template(s.r)); next.Action != Rollback || trial.Failed != "no such network" || trial.Exit != nil {
		t.Errorf("%s: %+v", next.Action, trial)
	}
}

// An image that is looked up anew was not tried, also by a container with code.
func TestApply_AnotherImageWasNotTried(t *testing.T) {
	s := newScene().coded()
	s.r.Current.ImageID = "sha256:one"
	s.r.NoteTrial(store.Trial{Template: Template(s.r), Attempts: 1, Token: "t2", Failed: "it exited with code 1"})
	s.r.Generation++
	s.r.Asked.Pull = s.r.Generation
	s.does(t, Resolve, &Result{Image: &store.Resolved{Template: api.TemplateHash(&s.r.Spec), ID: "sha256:three"}})
	if next := s.next(); next.Action != IntendReplacement {
		t.Errorf("%s is next: %s", told(next), TakenBack(s.r))
	}
}

// A candidate of an image that means another one by now is made anew.
func TestApply_AnotherImageIsForTheCandidateToo(t *testing.T) {
	s := newScene().with(retemplate).following("d2", "created")
	s.r.Candidate.ImageID = "sha256:one"
	s.r.Generation++
	s.r.Asked.Pull = s.r.Generation
	s.does(t, Resolve, &Result{Image: &store.Resolved{Template: api.TemplateHash(&s.r.Spec), ID: "sha256:two"}})
	if next := s.next(); next.Action != IntendReplacement {
		t.Errorf("%s is next", told(next))
	}
}

// A retry that is asked for while the update is on trial does not forget that it is.
func TestApply_ARetryDoesNotForgetWhatIsOnTrial(t *testing.T) {
	for _, onFailure := range []string{api.OnFailureRollback, api.OnFailurePause} {
		s := newScene().proving()
		s.r.Spec.UpdatePolicy.OnFailure = onFailure
		s.r.Generation++
		s.r.Asked.Retry = s.r.Generation
		s.does(t, ResetTrial, &Result{})
		s.ended(1)
		o := s.seen()
		next := Plan(s.r, o)
		Apply(s.r, &next, &Result{Detail: next.Detail}, o)
		if TakenBack(s.r) == "" {
			t.Errorf("%s: nothing is known of the failure: %+v, %+v", onFailure, s.r.Trials, s.r.Tracks.Update.Failure)
		}
	}
}

// What cannot be taken away holds up nothing else that is to go.
func TestPlan_WhatCannotBeRemovedHoldsUpNoOther(t *testing.T) {
	s := newScene().with(formerRuns).deleted()
	s.also[0].State = "exited"
	refused := &Result{Refused: &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "device or resource busy"}}
	stopped := false
	for range 4 {
		o := s.seen()
		next := Plan(s.r, o)
		if next.Resting() {
			s.o.At.Now = s.o.At.Now.Add(next.Left())
			continue
		}
		if stopped = stopped || next.Action == Stop && next.On.DockerID == "d1"; stopped {
			return
		}
		Apply(s.r, &next, refused, o)
	}
	t.Error("what is deleted runs on")
}

// A stop is not done while what stood before is still being stopped.
func TestJudge_AStopIsOfAllThatRuns(t *testing.T) {
	s := newScene().fresh().with(formerRuns).stops()
	s.r.Superseded[0].Stop = soon()
	s.rests(t)
	if o := Judge(s.r, s.r.Accepted[0]); o != nil {
		t.Errorf("it is told to be %s, and a former container runs", o.State)
	}
	s.also, s.r.Superseded = nil, nil
	s.rests(t)
	if o := Judge(s.r, s.r.Accepted[0]); o == nil || o.State != api.StateStopped {
		t.Errorf("it has stopped: %+v", o)
	}
}

// What somebody else has started after it had ended runs.
func TestJudge_WhatWasStartedByOthersRuns(t *testing.T) {
	s := newScene().policy(api.RestartOnFailure, 0).ended(0).counted(Completed).since(time.Second).is("running")
	s.asks(store.IntentRunning)
	s.rests(t)
	if o := Judge(s.r, s.r.Accepted[0]); o == nil || o.State != api.StateRunning {
		t.Errorf("%+v", o)
	}
	o := s.seen()
	next := Plan(s.r, o)
	if why := Because(s.r, o, &next); why != "it is as declared" {
		t.Errorf("why: %s", why)
	}
}

// An engine that was lost long before says nothing of a container that has run well since.
func TestApply_ASuspicionEndsWithALongRun(t *testing.T) {
	for _, age := range []time.Duration{time.Minute, LongRun} {
		s := newScene().since(age).with(func(s *scene) { s.r.Run.Suspected = 1 }).ended(1)
		s.does(t, RecordExit, &Result{})
		if suspected := s.r.Run.Suspected > 0; suspected != (age < LongRun) {
			t.Errorf("after a run of %s it is suspected: %t", age, suspected)
		}
	}
}

// Code that what runs could not be asked to stop for was not tried: it is tried again, later each time.
func TestApply_CodeIsTriedOnceWhatRunsWasAskedToStop(t *testing.T) {
	s := newScene().coded().with(recoded)
	for n := 1; n <= 3; n++ {
		s.does(t, SwitchCode, &Result{Code: &store.Taken{Code: s.r.Code, Digest: "two"}})
		s.does(t, Stop, &Result{Refused: &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "no"}})
		s.does(t, Rollback, &Result{Detail: "no"})
		if f := s.r.Tracks.Update.Failure; f == nil || f.Attempts != n || f.Reason != api.ReasonUpdateFailed || f.Message != "no" || Exhausted(s.r) {
			t.Fatalf("after %d attempts: %+v, %+v", n, f, s.r.Trials)
		}
		s.rests(t)
		s.o.At.Now = s.o.At.Now.Add(RetryDelay("id", n))
	}
}

// Nothing takes the place of what is being stopped: its record would be told to be stopped while it runs.
func TestPlan_WhatIsBeingStoppedKeepsItsPlace(t *testing.T) {
	s := newScene().with(retemplate).following("d2", "created").declared(api.DesiredStopped)
	s.does(t, Stop, &Result{})
	if next := s.next(); !next.Resting() || !next.Open() {
		t.Errorf("%s is next", told(next))
	}
	s.ended(0)
	s.does(t, RecordStop, &Result{})
	s.does(t, Promote, &Result{})
}

// A start that failed waits no longer once other limits are declared.
func TestPlan_OtherLimitsAreAnotherStart(t *testing.T) {
	s := newScene().ended(1).dealt(EndAsked).with(failing(Process, Start, api.ReasonStartFailed))
	s.r.Spec.Resources.MemoryBytes = 64 << 20
	s.declared(api.DesiredRunning)
	s.does(t, Limit, &Result{})
	s.does(t, Start, &Result{})
}

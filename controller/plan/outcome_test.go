package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// asks is a request that led to the newest generation.
func (s *scene) asks(intent store.Intent) *scene {
	s.r.Accepted = append(s.r.Accepted, store.Accepted{Generation: s.r.Generation, Intent: intent})
	return s
}

// starts, restarts, updates, stops, pauses and resumes are requests as clients make them.
func (s *scene) starts() *scene {
	return s.with(explicitStart).long(api.DesiredRunning).asks(store.IntentRunning)
}

func (s *scene) restarts() *scene {
	return s.with(restart).long(api.DesiredRunning).asks(store.IntentRestart)
}

func (s *scene) updates() *scene {
	s.r.Spec.Environment = map[string]string{"update": s.r.Spec.Environment["update"] + "+"}
	return s.with(retemplate).asks(store.IntentSpec)
}

func (s *scene) stops() *scene { return s.declared(api.DesiredStopped).asks(store.IntentStopped) }

func (s *scene) pauses() *scene { return s.declared(api.DesiredPaused).asks(store.IntentPaused) }

func (s *scene) resumes() *scene { return s.declared(api.DesiredRunning).asks(store.IntentRunning) }

// An interruption is no crash, and is not told as one.
func TestJudge_Interrupted(t *testing.T) {
	s := newScene().policy(api.RestartNever, 0).ended(137).counted(Interrupted).starts()
	s.r.Done.Start = s.r.Asked.Start
	s.rests(t)
	got := Judge(s.r, s.r.Accepted[0])
	if got == nil || got.ErrorType != api.DockerAPIError || got.Details["reason"] != api.ReasonInterrupted || !strings.HasPrefix(got.Message, "the container was interrupted") {
		t.Errorf("%+v", got)
	}
}

// rests takes the steps that are only noted until there is nothing to do now, and writes that.
func (s *scene) rests(t *testing.T) {
	t.Helper()
	for range 10 {
		o := s.seen()
		next := Plan(s.r, o)
		if mayFail(next.Action) {
			t.Fatalf("%s would be next", told(next))
		}
		Apply(s.r, &next, &Result{Detail: next.Detail, Seen: next.On}, o)
		if next.Resting() {
			return
		}
	}
	t.Fatal("no rest")
}

// does takes the next step, which is to be this one, whatever it meets.
func (s *scene) does(t *testing.T, want Action, res *Result) {
	t.Helper()
	o := s.seen()
	next := Plan(s.r, o)
	if next.Action != want {
		t.Fatalf("%s is next, and not %s", told(next), want)
	}
	Apply(s.r, &next, res, o)
}

// came is what became of a request: how far it has come, the container's state then, and what is wrong.
type came struct {
	level  store.Level
	state  string
	err    api.ErrorType
	reason any
}

func (s *scene) came(generation int64) came {
	return cameOf(Judge(s.r, store.Accepted{Generation: generation, Intent: s.r.IntentOf(generation)}))
}

func cameOf(o *store.Outcome) came {
	if o == nil {
		return came{}
	}
	return came{o.Level, o.State, o.ErrorType, o.Details["reason"]}
}

func lasting(state string) came { return came{level: store.LevelAvailable, state: state} }

func refusedFor(reason string) came { return came{err: api.DockerAPIError, reason: reason} }

func noImage(s *scene) { s.with(failing(Update, IntendReplacement, "ImageNotFound")) }

func healthStarting(s *scene) { s.c.Health = api.HealthStarting }

// looping is a container that has ended twice in a row.
func looping(s *scene) {
	s.r.Run.Streak, s.r.Run.Exit = 2, &store.Exit{Code: 3, Cause: "it exited with code 3", Lines: []string{"a line", "no such table"}}
	s.justStarted().ended(3).counted("").with(backoff)
}

func (s *scene) justStarted() *scene { return s.since(0) }

// What each request came to by how the container stands, one row a rule. The request is that of generation 4.
func TestJudge_ByHowItStands(t *testing.T) {
	tests := []struct {
		name  string
		scene *scene
		want  came
	}{
		// What is asked of the process is judged by the process.
		{"a start, while an update's image is missing", newScene().starts().updates().with(noImage), lasting(api.StateRunning)},
		{"a stop, while an update's image is missing", newScene().stops().with(retemplate, noImage).ended(0).dealt(EndAsked), lasting(api.StateStopped)},
		{"a pause, while an update's image is missing", newScene().pauses().with(retemplate, noImage).is("paused"), lasting(api.StatePaused)},
		{"a start, while an update is pulling", newScene().starts().updates().with(pulling), lasting(api.StateRunning)},
		{"a start, while limits are refused and the name is taken", newScene().starts().with(failing(Settings, Limit, "LimitsRefused"), failing(Name, Rename, api.ReasonNameConflict)).with(func(s *scene) {
			s.r.Spec.Resources.MemoryBytes, s.c.Name = 64<<20, "away"
			s.with(failing(Settings, Limit, "LimitsRefused"))
		}), lasting(api.StateRunning)},
		{"a start that the engine refuses", newScene().starts().ended(0).dealt(EndAsked).with(done, failing(Process, Start, api.ReasonStartFailed)), refusedFor(api.ReasonStartFailed)},
		{"a start of what could never be made, for its image is missing", newScene().starts().with(removedByOthers).with(func(s *scene) { s.r.Current = store.Placement{} }, noImage), refusedFor("ImageNotFound")},
		{"a start of what the engine is lost over", newScene().starts().with(done).ended(1).counted("").with(func(s *scene) { s.r.Run.Suspected = 2 }), refusedFor("EngineLost")},
		{"a stop that has its grace", newScene().stops().with(func(s *scene) { s.r.Current.Stop = soon() }), came{}},
		{"a stop that the engine refuses", newScene().stops().with(failing(Process, Stop, "EngineError")), refusedFor("EngineError")},
		{"a restart whose run has its grace", newScene().restarts().with(done).with(func(s *scene) { s.r.Run.RestartFrom, s.r.Current.Stop = Run(s.c), soon() }), came{}},
		{"a restart whose stop the engine refuses", newScene().restarts().with(done).with(func(s *scene) { s.r.Run.RestartFrom = Run(s.c) }, failing(Process, Stop, "EngineError")), refusedFor("EngineError")},
		{"a pause", newScene().pauses().is("paused"), lasting(api.StatePaused)},
		{"a start of what ends at once waits for its backoff", newScene().starts().with(done).ended(1).counted("").with(backoff), came{}},

		// What is asked of the spec is judged by what serves it.
		{"an update that stands", newScene().updates().with((*scene).reserve), lasting(api.StateRunning)},
		{"an image that is being looked up anew", newScene().with(func(s *scene) { s.r.Generation++; s.r.Asked.Pull = s.r.Generation }).asks(store.IntentSpec).with(pulling), came{}},
		{"an update that is pulling", newScene().updates().with(pulling), came{}},
		{"an update that waits for what runs to end", newScene().updates().following("d2", "created").with(tried).with(func(s *scene) { s.r.Current.Stop = soon() }), came{}},
		{"an update on trial", newScene().updates().trialOf().since(time.Second), came{}},
		{"an update whose image is missing", newScene().updates().with(noImage), refusedFor("ImageNotFound")},
		{"an update whose limits are refused", newScene().with(func(s *scene) { s.r.Spec.Resources.MemoryBytes = 64 << 20; s.r.Generation++ }).asks(store.IntentSpec).with(failing(Settings, Limit, "LimitsRefused")), refusedFor("LimitsRefused")},
		{"an update whose name is taken", newScene().updates().with((*scene).reserve).with(func(s *scene) { s.c.Name = "away" }, failing(Name, Rename, api.ReasonNameConflict)), lasting(api.StateRunning)},
		{"an update that was taken back", newScene().updates().with(takenBackOnce), refusedFor(api.ReasonUpdateFailed)},
		{"an update of what rests", newScene().long(api.DesiredStopped).updates().with((*scene).reserve).ended(0).dealt(EndAsked), lasting(api.StateStopped)},
		{"an update of what rests, whose image is missing", newScene().long(api.DesiredStopped).updates().ended(0).dealt(EndAsked).with(noImage), refusedFor("ImageNotFound")},

		// How far it has come.
		{"it runs", newScene().starts().with(healthStarting), came{level: store.LevelSeen, state: api.StateRunning}},
		{"it is ready", newScene().starts().since(time.Second), came{level: store.LevelReady, state: api.StateRunning}},
		{"it has lasted", newScene().starts(), lasting(api.StateRunning)},
		{"it has lasted, and is not ready yet", newScene().starts().with(func(s *scene) { s.r.Spec.Readiness = api.ReadinessSocket }), came{level: store.LevelSeen, state: api.StateRunning}},

		// Ends.
		{"it has ended twice in a row", newScene().starts().with(done, looping), refusedFor("CrashLoop")},
		{"it has ended twice in a row, and runs again", newScene().starts().with(done).with(looping).is("running").since(time.Second), refusedFor("CrashLoop")},
		{"it has given up", newScene().policy(api.RestartAlways, 2).starts().with(done).ended(1).counted(GaveUp), refusedFor(GaveUp)},
		{"it has failed, and is not restarted", newScene().policy(api.RestartNever, 0).starts().with(done).ended(1).counted(Failed), refusedFor(Failed)},
		{"it has completed", newScene().policy(api.RestartOnFailure, 0).starts().with(done).ended(0).counted(Completed), lasting(api.StateExited)},
		{"it has completed after it had failed", newScene().policy(api.RestartOnFailure, 0).starts().with(done, looping).ended(0).counted(Completed), lasting(api.StateExited)},

		// Requests that came later.
		{"another start", newScene().starts().starts(), lasting(api.StateRunning)},
		{"another restart", newScene().restarts().restarts().with(done).since(time.Second), came{level: store.LevelReady, state: api.StateRunning}},
		{"a start, and a stop", newScene().starts().stops().ended(0).dealt(EndAsked), came{err: api.ConflictError}},
		{"a restart, a stop, and a start", newScene().restarts().stops().starts().with(done), came{err: api.ConflictError}},
		{"a pause, a start, and a pause", newScene().pauses().resumes().pauses().is("paused"), came{err: api.ConflictError}},
		{"a stop, and a start", newScene().stops().starts(), came{err: api.ConflictError}},
		{"a pause, and it goes on", newScene().pauses().resumes(), came{err: api.ConflictError}},
		{"an update, and another one", newScene().updates().updates().with((*scene).reserve), came{err: api.ConflictError}},
		{"an update, and a start", newScene().updates().starts().with((*scene).reserve), lasting(api.StateRunning)},
		{"an update, and a restart", newScene().updates().restarts().with(done, (*scene).reserve), lasting(api.StateRunning)},
		{"a start, and a deletion", newScene().starts().deleted().asks(store.IntentDeleted).with(failing(Removal, Kill, "EngineError")), came{err: api.ConflictError}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.scene.rests(t)
			if got := tt.scene.came(4); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// done has all that was asked for be carried out.
func done(s *scene) { s.r.Done = s.r.Asked; s.r.Run.Begun = true }

// trialOf is trial for a template that is declared already.
func (s *scene) trialOf() *scene {
	s.r.Previous = s.r.Current
	s.r.Current = store.Placement{Token: "t2", DockerName: "web", DockerID: "d2", TemplateHash: api.TemplateHash(&s.r.Spec), Resources: s.r.Spec.Resources}
	tried(s)
	before := *s.c
	before.State, before.FinishedAt = "exited", aTime
	s.other = &before
	s.c.DockerID, s.c.Token = "d2", "t2"
	return s.with(renamed)
}

// An earlier request that what is declared still contains has an outcome of its own.
func TestJudge_IncludedRequestsHaveTheirOwn(t *testing.T) {
	s := newScene().starts().updates().with(noImage)
	s.rests(t)
	if start, update := s.came(4), s.came(5); start != lasting(api.StateRunning) || update != refusedFor("ImageNotFound") {
		t.Errorf("a start came to %+v, the update after it to %+v", start, update)
	}
	s = newScene().restarts()
	s.r.Done.Restart = 4
	s.rests(t)
	s.restarts().with(func(s *scene) { s.r.Done.Restart, s.r.Run.RestartFrom, s.r.Current.Stop = 5, Run(s.c), soon() })
	s.rests(t)
	if first, second := s.came(4), s.came(5); first != lasting(api.StateRunning) || second != (came{}) {
		t.Errorf("a restart came to %+v, the one after it to %+v", first, second)
	}
}

// What came to be superseded says by what.
func TestJudge_SupersededSaysByWhat(t *testing.T) {
	s := newScene().starts().stops().ended(0).dealt(EndAsked)
	s.rests(t)
	o := Judge(s.r, store.Accepted{Generation: 4, Intent: store.IntentRunning})
	if o == nil || o.ErrorType != api.ConflictError || o.Details["superseded_by"] != int64(5) {
		t.Errorf("it came to %+v", o)
	}
}

// An outcome that was told stands, whatever comes after it; that of the newest request may still come further.
func TestJudge_WhatWasToldStands(t *testing.T) {
	s := newScene().pauses().is("paused")
	s.rests(t)
	s.resumes().is("running")
	s.rests(t)
	if got := s.came(4); got != lasting(api.StatePaused) {
		t.Errorf("a pause that was told done came to %+v", got)
	}

	s = newScene().updates().with(noImage)
	s.rests(t)
	s.updates()
	s.r.Tracks.Update.Failure = nil
	s.with((*scene).reserve).rests(t)
	if first, second := s.came(4), s.came(5); first != refusedFor("ImageNotFound") || second != lasting(api.StateRunning) {
		t.Errorf("an update that had failed came to %+v, the one after it to %+v", first, second)
	}

	s = newScene().updates().with(noImage)
	s.rests(t)
	s.r.Tracks.Update.Failure = nil
	s.with((*scene).reserve).rests(t)
	if got := s.came(4); got != lasting(api.StateRunning) {
		t.Errorf("the newest update, whose image came after all, came to %+v", got)
	}

	s = newScene().starts().since(time.Second)
	s.rests(t)
	s.stops().ended(0).dealt(EndAsked).rests(t)
	if got := s.came(4); got != (came{level: store.LevelReady, state: api.StateRunning, err: api.ConflictError}) {
		t.Errorf("a start that was ready before it was stopped came to %+v", got)
	}
}

// A failure comes with the exit code and the last that the flow said.
func TestJudge_TellsLastWords(t *testing.T) {
	exit := &store.Exit{Code: 3, Cause: "it exited with code 3", Lines: []string{"a line", "no such table"}}
	crashes := newScene().starts().with(done, looping)
	crashes.rests(t)
	update := newScene().updates()
	update.r.NoteTrial(store.Trial{Template: Template(update.r), Attempts: 1, Token: "t2", Failed: "it exited with code 3", Exit: exit})
	update.rests(t)
	for name, s := range map[string]*scene{"crash loop": crashes, "update": update} {
		o := Judge(s.r, s.r.Accepted[0])
		if o == nil || o.Details["exit_code"] != 3 && !isThree(o.Details["exit_code"]) || cmp.Diff(o.Details["logs"], exit.Lines) != "" || o.Details["exit"] != exit.Cause {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func isThree(v any) bool { code, is := v.(*int); return is && *code == 3 }

// A deletion has an answer once nothing is left. Where that does not work, its asker hears so after the third attempt.
func TestJudge_Deletion(t *testing.T) {
	for attempts := 1; attempts <= 3; attempts++ {
		for reason, failed := range map[string]string{"EngineError": "container", api.VolumesNotRemoved: "volumes", api.SocketNotRemoved: "socket", api.CodeNotRemoved: "code"} {
			s := newScene().deleted().asks(store.IntentDeleted).with(failing(Removal, Kill, reason))
			s.r.Tracks.Removal.Failure.Attempts = attempts
			s.rests(t)
			o := Judge(s.r, s.r.Accepted[0])
			if (o != nil) != (attempts == 3) {
				t.Fatalf("after %d attempts: %+v", attempts, o)
			}
			if o == nil {
				continue
			}
			cleanup, state := o.Details["cleanup"].(map[string]string), "done"
			for _, part := range []string{"container", "volumes", "socket", "code"} {
				want := state
				if part == failed {
					want, state = "failed", "pending"
				}
				if cleanup[part] != want {
					t.Errorf("%s: %v", reason, cleanup)
				}
			}
		}
	}
	if got := cameOf(Judge(nil, store.Accepted{Generation: 4, Intent: store.IntentDeleted})); got != lasting("deleted") {
		t.Errorf("a deletion came to %+v", got)
	}
	if got := cameOf(Judge(nil, store.Accepted{Generation: 3, Intent: store.IntentRunning})); got != (came{err: api.ConflictError}) {
		t.Errorf("a start of what is deleted came to %+v", got)
	}
}

// What was told of before a request says nothing about it.
func TestJudge_NotByWhatWasBefore(t *testing.T) {
	t.Run("the status is from before the request", func(t *testing.T) {
		s := newScene()
		s.rests(t)
		if got := s.starts().came(4); got != (came{}) {
			t.Errorf("it came to %+v", got)
		}
	})
	t.Run("the record is from before the request", func(t *testing.T) {
		if o := JudgeNow(newScene().r, store.Accepted{Generation: 4, Intent: store.IntentPaused}); o != nil {
			t.Errorf("it came to %+v", o)
		}
	})
	t.Run("the run is the one that a restart replaces", func(t *testing.T) {
		s := newScene().restarts()
		s.does(t, BeginRestart, &Result{Seen: s.c})
		s.does(t, Stop, &Result{})
		s.rests(t) // its grace
		s.ended(143)
		s.does(t, RecordStop, &Result{})
		s.does(t, IntendStart, &Result{})
		s.does(t, Start, &Result{})
		s.is("running").justStarted()
		s.does(t, EndRestart, &Result{})
		if got := s.came(4); got != (came{}) {
			t.Errorf("it came to %+v", got)
		}
		s.rests(t)
		if got := s.came(4); got != (came{level: store.LevelReady, state: api.StateRunning}) {
			t.Errorf("it came to %+v", got)
		}
	})
	t.Run("the run is one that others have replaced", func(t *testing.T) {
		s := newScene().restarts()
		s.does(t, BeginRestart, &Result{Seen: s.c})
		s.does(t, Stop, &Result{Refused: &Refusal{Reason: "EngineError", Type: api.DockerAPIError, Message: "no"}})
		s.rests(t)
		s.r.Tracks.Process.Failure = nil
		s.justStarted()
		s.does(t, EndRestart, &Result{})
		if got := s.came(4); got.level != store.LevelNone {
			t.Errorf("it came to %+v", got)
		}
	})
	t.Run("the container is the one that an update has replaced", func(t *testing.T) {
		s := newScene().updates().with(pulling)
		s.rests(t)
		s.o.Pulling = false
		s.ended(1)
		s.does(t, RecordExit, &Result{Exit: &store.Exit{Code: 1}})
		s.r.Current.Stable = false
		s.following("d2", "created")
		s.does(t, Promote, &Result{})
		if got := s.came(4); got != (came{}) {
			t.Errorf("it came to %+v", got)
		}
	})
	t.Run("the run is over", func(t *testing.T) {
		s := newScene().policy(api.RestartOnFailure, 0).starts()
		s.does(t, ExplicitStart, &Result{Seen: s.c})
		s.with(healthStarting).rests(t)
		s.ended(0)
		s.does(t, RecordExit, &Result{Exit: &store.Exit{}})
		s.rests(t)
		if got := s.came(4); got != lasting(api.StateExited) {
			t.Errorf("it came to %+v", got)
		}
	})
}

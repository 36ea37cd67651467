package plan

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// failuresTold is after how many failed attempts a deletion's asker is told.
const failuresTold = 3

// Judge tells what became of a request that led to a generation, nil while nothing is known. r is nil once the container is
// gone. What was noted for the generation stands; the newest one may still come further.
func Judge(r *store.Record, request store.Accepted) *store.Outcome {
	if r == nil {
		return JudgeNow(r, request)
	}
	noted := r.Outcome(request.Generation)
	if noted != nil && noted.Intent != request.Intent {
		noted = nil
	}
	if Final(noted) && (noted.ErrorType == "" || request.Generation < r.Generation) {
		return noted
	}
	return merge(noted, JudgeNow(r, request))
}

// Final reports whether an outcome will not change any more while its generation is the newest: it has come all the way, or
// has failed.
func Final(o *store.Outcome) bool {
	return o != nil && (o.ErrorType != "" || o.Level == store.LevelAvailable)
}

// merge is an outcome after more has become known. What was reached stays reached.
func merge(noted, now *store.Outcome) *store.Outcome {
	switch {
	case now == nil:
		return noted
	case noted == nil:
		return now
	}
	next := *now
	if noted.Level >= now.Level {
		next.Level, next.State = noted.Level, noted.State
	}
	return &next
}

// JudgeNow is Judge by how the container stands now alone.
func JudgeNow(r *store.Record, request store.Accepted) *store.Outcome {
	o := &store.Outcome{Generation: request.Generation, Intent: request.Intent}
	switch {
	case r == nil && request.Intent == store.IntentDeleted:
		o.Level, o.State = store.LevelAvailable, "deleted"
		return o
	case r == nil:
		return superseded(o, "the container was deleted", 0)
	case r.Generation < request.Generation:
		return nil // a change from before the request
	case request.Intent == store.IntentDeleted:
		return undeleted(r, o)
	case r.DeletedAt != nil:
		return superseded(o, "the container is being deleted", r.Generation)
	case overtaken(r, request) > 0:
		return superseded(o, "a later request asked for something else", overtaken(r, request))
	case !included(r, request):
		return superseded(o, "a later request asked for something else", r.Generation)
	case !r.AtRest, r.Status.Condition(api.Ready).ObservedGeneration < request.Generation:
		return nil // the status is from before the request, or from before the newest step
	}
	return reached(r, o)
}

// conclude notes what became of the newest requests.
func conclude(r *store.Record) {
	for _, request := range r.Accepted {
		noted := r.Outcome(request.Generation)
		if next := Judge(r, request); next != nil && (noted == nil || !reflect.DeepEqual(*noted, *next)) {
			r.Conclude(*next)
		}
	}
}

// undeleted tells when a deletion has failed often enough for its asker to hear of it. It is tried on.
func undeleted(r *store.Record, o *store.Outcome) *store.Outcome {
	f := r.Tracks.Removal.Failure
	if f == nil || f.Attempts < failuresTold {
		return nil
	}
	o.ErrorType, o.Message = f.ErrorType, "the container cannot be deleted yet, and it is tried on: "+f.Message
	o.Details = map[string]any{"cleanup": cleanup(f.Reason)}
	return o
}

// cleanup tells how far a deletion has come that failed for a reason: what comes first is done before what comes later.
func cleanup(reason string) map[string]string {
	failed := map[string]string{api.VolumesNotRemoved: "volumes", api.SocketNotRemoved: "socket", api.CodeNotRemoved: "code"}[reason]
	parts, state := map[string]string{}, "done"
	for _, part := range []string{"container", "volumes", "socket", "code"} {
		parts[part] = state
		if part == cmp.Or(failed, "container") {
			parts[part], state = "failed", "pending"
		}
	}
	return parts
}

func superseded(o *store.Outcome, why string, by int64) *store.Outcome {
	o.ErrorType, o.Message = api.ConflictError, why
	o.Details = map[string]any{"superseded_by": by}
	return o
}

// overtaken is the generation of the first later request that asked something else of the process, 0 where none did. What was asked
// for after that one may be the same again, and is another request's.
func overtaken(r *store.Record, request store.Accepted) int64 {
	state := wanted(request.Intent)
	for _, later := range r.Accepted {
		if other := wanted(later.Intent); later.Generation > request.Generation && state != "" && other != "" && other != state {
			return later.Generation
		}
	}
	return 0
}

// wanted is what a request wants of the process, "" where it asks for nothing of that.
func wanted(intent store.Intent) string {
	switch intent {
	case store.IntentRunning, store.IntentRestart:
		return api.DesiredRunning
	case store.IntentPaused:
		return api.DesiredPaused
	case store.IntentStopped:
		return api.DesiredStopped
	}
	return ""
}

// included reports whether what is declared now still contains what was asked for.
func included(r *store.Record, request store.Accepted) bool {
	switch request.Intent {
	case store.IntentRunning, store.IntentRestart:
		return r.Spec.DesiredState == api.DesiredRunning
	case store.IntentPaused:
		return r.Spec.DesiredState == api.DesiredPaused
	case store.IntentStopped:
		return !WantsRun(r)
	}
	return r.SpecGeneration <= request.Generation
}

// reached judges a request that still stands. One about the process is judged by the process, one about the spec by what
// serves it.
func reached(r *store.Record, o *store.Outcome) *store.Outcome {
	switch o.Intent {
	case store.IntentStopped:
		return stoppedAs(r, o)
	case store.IntentSpec:
		if r.Status.ObservedGeneration < o.Generation {
			return nil
		}
		if failed := unserved(r, o); failed != nil {
			return failed
		}
		if !served(r) {
			return nil
		}
	}
	if !WantsRun(r) {
		return stoppedAs(r, o)
	}
	return running(r, o)
}

func refused(o *store.Outcome, f *store.Failure) *store.Outcome {
	o.ErrorType, o.Message, o.Details = f.ErrorType, f.Message, map[string]any{"reason": f.Reason}
	return o
}

// stoppedAs judges a container that is not to run.
func stoppedAs(r *store.Record, o *store.Outcome) *store.Outcome {
	st := &r.Status
	if f := r.Tracks.Removal.Failure; f != nil && stops(Action(f.Action)) {
		return refused(o, f)
	}
	if st.Condition(api.Progressing).Reason == api.ReasonStopping {
		return nil // the current one rests, and one that it took the place of is still being stopped
	}
	if st.State == api.StateCreated || st.State == api.StateStopped {
		o.Level, o.State = store.LevelAvailable, st.State
		return o
	}
	if f := r.Tracks.Process.Failure; f != nil {
		return refused(o, f)
	}
	return nil
}

// stops reports whether an action is one by which a container is stopped.
func stops(a Action) bool { return a == Stop || a == Kill || a == Unpause }

// unserved tells why what is declared does not stand, nil where it does, or may yet.
func unserved(r *store.Record, o *store.Outcome) *store.Outcome {
	if why := TakenBack(r); why != "" && r.Handover == nil && r.Tracks.Update.Failure == nil {
		o.ErrorType, o.Message, o.Details = api.DockerAPIError, why, map[string]any{"reason": api.ReasonUpdateFailed}
		lastWords(o, r.Trial(Template(r)).Exit)
		return o
	}
	for _, t := range []*store.Track{&r.Tracks.Update, &r.Tracks.Settings} {
		if t.Failure == nil {
			continue
		}
		failed := refused(o, t.Failure)
		if t.Failure.Reason == api.ReasonUpdateFailed {
			lastWords(failed, r.Trial(Template(r)).Exit)
		}
		return failed
	}
	return nil
}

// lastWords tells with an error how a run ended and what it said last.
func lastWords(o *store.Outcome, e *store.Exit) {
	if e != nil {
		o.Details["exit_code"], o.Details["exit"], o.Details["logs"] = e.Code, e.Cause, e.Lines
	}
}

// served reports whether what is declared stands: the template and the code in the current container, the limits at the
// engine, and no update is under way.
func served(r *store.Record) bool {
	return ofCurrent(r) && Serving(r) && r.Handover == nil && r.Current.Resources == r.Spec.Resources &&
		r.Done.Pull >= r.Asked.Pull && r.Done.Retry >= r.Asked.Retry
}

// ofCurrent reports whether the status tells of the container that stands now. It is written at rest, and an outcome at each step.
func ofCurrent(r *store.Record) bool {
	return r.Status.DockerID != "" && r.Status.DockerID == r.Current.DockerID
}

// ofRun reports whether the status tells of a run that is not over yet.
func ofRun(r *store.Record) bool {
	return ofCurrent(r) && r.Status.StartedAt != nil && r.Run.ID != Run(&Container{DockerID: r.Status.DockerID, StartedAt: *r.Status.StartedAt})
}

// running judges a container that is to run, or to be paused.
func running(r *store.Record, o *store.Outcome) *store.Outcome {
	st, n := &r.Status, &r.Run
	over := n.Ended != "" && !(ofRun(r) && st.State != api.StateExited) // and nobody else has started it since
	switch {
	case r.Tracks.Process.Failure != nil:
		return refused(o, r.Tracks.Process.Failure)
	case st.DockerID == "" && r.Tracks.Update.Failure != nil:
		return refused(o, r.Tracks.Update.Failure)
	case r.Asked.Start > r.Done.Start, r.Asked.Restart > r.Done.Restart, n.RestartFrom != "":
		return nil
	case n.Suspected >= engineLost:
		o.ErrorType, o.Message, o.Details = api.DockerAPIError, st.Condition(api.Degraded).Message, map[string]any{"reason": api.ReasonEngineLost}
		return o
	case over && n.Ended == Completed:
		o.Level, o.State = store.LevelAvailable, api.StateExited
		return o
	case over, CrashLoops(r):
		return crashed(r, o)
	case !ofRun(r):
		return nil
	case st.State == api.StatePaused && r.Spec.DesiredState == api.DesiredPaused:
		o.Level, o.State = store.LevelAvailable, st.State
		return o
	case st.State == api.StateRunning && r.Spec.DesiredState == api.DesiredRunning:
		o.Level, o.State = level(st), st.State
		return o
	}
	return nil
}

func level(st *api.Status) store.Level {
	switch {
	case st.Condition(api.Available).Status == api.True:
		return store.LevelAvailable
	case st.Condition(api.Ready).Status == api.True:
		return store.LevelReady
	}
	return store.LevelSeen
}

// crashed tells of a container that does not stay up.
func crashed(r *store.Record, o *store.Outcome) *store.Outcome {
	o.ErrorType = api.DockerAPIError
	o.Message = fmt.Sprintf("the container does not stay up: %s; look at its output and its command", ExitSaid(r))
	if r.Run.Ended == Interrupted {
		o.Message = "the container was interrupted, and its restart policy never starts it again; start it explicitly"
	}
	o.Details = map[string]any{"reason": cmp.Or(r.Run.Ended, api.ReasonCrashLoop), "exit_code": r.Status.ExitCode, "crash_streak": r.Run.Streak}
	lastWords(o, r.Run.Exit)
	return o
}

package plan

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
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


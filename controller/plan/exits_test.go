package plan

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// What the restart policy makes of an end, one row a rule.
func TestJudgeExit_CaseByCase(t *testing.T) {
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
		{"a run of ten minutes is no link of a row", newScene().since(10 * time.Minute).ended(1), 7, "", 1, 0},
		{"on-failure, code 0: no link of a row either", newScene().policy(api.RestartOnFailure, 0).ended(0), 1, Completed, 0, 0},
		{"on-failure, code 1", newScene().policy(api.RestartOnFailure, 0).ended(1), 0, "", 1, 0},
		{"never, code 0", newScene().policy(api.RestartNever, 0).ended(0), 0, Completed, 0, 0},
		{"never, code 1", newScene().policy(api.RestartNever, 0).ended(1), 0, Failed, 1, 0},
		{"as many attempts as allowed", newScene().policy(api.RestartAlways, 2).ended(1), 1, "", 2, time.Second},
		{"one more than allowed", newScene().policy(api.RestartAlways, 2).ended(1), 2, GaveUp, 3, 0},
		{"interrupted, always: no streak", newScene().ended(137).with(interruption), 3, "", 3, 0},
		{"interrupted, on-failure, code 0: started", newScene().policy(api.RestartOnFailure, 0).ended(0).with(interruption), 0, "", 0, 0},
		{"interrupted, never: at most once", newScene().policy(api.RestartNever, 0).ended(137).with(interruption), 0, Interrupted, 0, 0},
		{"interrupted, found out after it was counted: taken back", newScene().ended(137).counted("").with(interruption).with(func(s *scene) {
			s.r.Run.Count(store.CountedEnd{Run: Run(s.c), At: aTime})
		}), 3, "", 2, 0},
		{"unhealthy, on-failure: a failure", newScene().policy(api.RestartOnFailure, 0).with(unwell), 1, "", 2, time.Second},
		{"unhealthy once too often", newScene().policy(api.RestartAlways, 2).with(unwell), 2, GaveUp, 3, 0},
		{"another policy, counted already: not counted twice", newScene().policy(api.RestartNever, 0).ended(1).counted(Failed).policy(api.RestartAlways, 0), 2, "", 2, time.Second},
		{"another policy, and nothing is left to see of the end", newScene().policy(api.RestartNever, 0).ended(1).counted(Failed).fresh().policy(api.RestartAlways, 0), 2, "", 2, 0},
		{"another policy of one that has completed", newScene().policy(api.RestartOnFailure, 0).ended(0).counted(Completed).policy(api.RestartAlways, 0), 0, "", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.scene
			s.r.Run.Streak = tt.streak
			s.does(t, RecordExit, &Result{})
			n := &s.r.Run
			if n.Ended != tt.ended || n.Streak != tt.after {
				t.Errorf("got %q and streak %d, want %q and %d", n.Ended, n.Streak, tt.ended, tt.after)
			}
			if left := n.Backoff.Left(aTime); tt.ended == "" && (left < tt.wait*9/10 || left > tt.wait*11/10) {
				t.Errorf("waits %v, want %v within a tenth", left, tt.wait)
			}
		})
	}
}

// An outage takes back every end that it explains, and what they led to.
func TestForgiveOutage(t *testing.T) {
	s := newScene().policy(api.RestartAlways, 2).ended(137).counted(GaveUp)
	for i := range 3 {
		s.r.Run.Count(store.CountedEnd{Run: Run(&Container{DockerID: "d1", StartedAt: aTime.Add(time.Duration(i) * time.Second)}), At: aTime.Add(time.Duration(i-10) * time.Second), Own: i == 0})
	}
	s.r.Run.Streak = 3
	s.o.Outages = []Outage{{From: aTime.Add(-time.Minute), To: aTime}}
	s.does(t, Forgive, &Result{})
	if n := s.r.Run; n.Streak != 1 || n.Ended != "" || len(n.Counted) != 1 || !n.Counted[0].Own {
		t.Errorf("%+v", n)
	}
	done := newScene().policy(api.RestartOnFailure, 0).ended(0).counted(Completed)
	done.r.Run.Count(store.CountedEnd{Run: Run(done.c), At: aTime.Add(-time.Second)})
	done.o.Outages = s.o.Outages
	done.does(t, Forgive, &Result{})
	if n := done.r.Run; n.Ended != Completed || n.End != EndCounted {
		t.Errorf("what was told as completed is now %+v", n)
	}
}

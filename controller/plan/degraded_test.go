package plan

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// While the store cannot be written, crash restarts go on and nothing else is done.
func TestPlanDegraded(t *testing.T) {
	tests := []struct {
		name string
		edit func(s *scene)
		want string
	}{
		{"a crash that was counted", func(*scene) {}, "start for exit"},
		{"a crash that was not", func(s *scene) { s.r.Run.ID = "" }, "record-exit for exit"},
		{"an interruption", interruption, "record-exit for recovery"},
		{"an interruption that was noted", func(s *scene) { s.with(interruption).dealt(EndInterrupted) }, "start for recovery"},
		{"an outage explains it", func(s *scene) {
			s.r.Run.Count(store.CountedEnd{Run: Run(s.c), At: aTime})
			s.o.Outages = []Outage{{From: aTime.Add(-time.Second)}}
		}, "forgive for recovery"},
		{"its restart is not due", backoff, "BackOff 4s"},
		{"it was not well", func(s *scene) { s.r.Run.Exit = &store.Exit{Unhealthy: true} }, "start for unhealthy"},
		{"its last start failed", failing(Process, Start, api.ReasonStartFailed), "Retrying 4s"},
		{"its update, its limits and its name failed", failedBeside, "start for exit"},
		{"it has ended for good", func(s *scene) { s.counted(GaveUp) }, ""},
		{"another template is declared", retemplate, "start for exit"},
		{"it runs", func(s *scene) { s.is("running") }, ""},
		{"it was not started yet", func(s *scene) { s.fresh() }, ""},
		{"it was never started since it was asked for", func(s *scene) { s.r.Run.Begun = false }, ""},
		{"it is dead", func(s *scene) { s.is("dead") }, ""},
		{"its Docker id is not recorded", func(s *scene) { s.r.Current.DockerID = "" }, ""},
		{"it is to be deleted", func(s *scene) { s.deleted() }, ""},
		{"it is to be stopped", func(s *scene) { s.declared(api.DesiredStopped) }, ""},
		{"it is to be paused", func(s *scene) { s.declared(api.DesiredPaused) }, ""},
		{"it was asked to stop", func(s *scene) { s.r.Current.Stop = soon() }, ""},
		{"it is being restarted", noted, ""},
		{"an explicit start was done already", func(s *scene) { s.dealt(EndAsked) }, ""},
		{"it is to run other code", func(s *scene) { s.r.Current.Code = "two" }, ""},
		{"an update owns the process", func(s *scene) { s.with(retemplate).following("d2", "created").with(tried) }, ""},
		{"another one of its containers is alive", formerRuns, "WaitingForStop"},
		{"the host was rebooted: what will run is noted", func(s *scene) { s.o.Boot = "two" }, "intend-start for exit"},
		{"its socket is missing", func(s *scene) { s.o.SocketMissing = true }, "listen for recovery"},
		{"it was taken off its network", func(s *scene) { s.c.Networks = []string{} }, "connect for recovery"},
		{"its network cannot be had", func(s *scene) { s.c.Networks = []string{}; s.with(failing(Settings, Connect, "NetworkNotFound")) }, "start for exit"},
		{"it is not there", func(s *scene) { s.c.Token = "foreign" }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene().ended(1).counted("")
			tt.edit(s)
			if got := told(PlanDegraded(s.r, s.seen())); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

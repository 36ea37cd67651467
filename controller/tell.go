package controller

import (
	"cmp"
	"encoding/json"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// tell tells the log, at info, what an operator wants to know who was not there: what ended and how, what is not well, what was given
// up, taken back or made anew, and why.
func (k *Controller) tell(before, after *store.Record, step *plan.Step, res *plan.Result, events []api.Event) {
	log := func(operation string) *zerolog.Event { return k.logFor(after).Info().Str("operation", operation) }
	for _, e := range events {
		switch e.Name {
		case api.ContainerCrashed:
			tellCrash(log("crash"), after, e)
		case api.HealthWarned:
			var w api.HealthWarning
			_ = json.Unmarshal(e.Data, &w) // it is ours
			log("health").Str("health", w.Health).Int("failing_streak", w.FailingStreak).Msg("it is not healthy")
		}
	}
	if ended := after.Run.Ended; ended != before.Run.Ended && (ended == plan.GaveUp || ended == plan.Failed) {
		log("give_up").Str("reason", ended).Int("crash_streak", after.Run.Streak).Msg("it is not started again until somebody asks for that")
	}
	if res.Refused != nil {
		return
	}
	why := cmp.Or(res.Detail, step.Detail)
	switch step.Action {
	case plan.Rollback, plan.Abandon:
		log("rollback").Str("cause", step.Cause).Str("why", why).Msg("the update is taken back: what stood before runs on")
	case plan.Intend, plan.IntendReplacement:
		if before.Current.DockerID != "" || step.Cause != api.CauseDeclaration { // not the first one
			log("recreate").Str("cause", step.Cause).Str("why", cmp.Or(why, "something else is declared")).Msg("another container takes its place")
		}
	}
}

func tellCrash(line *zerolog.Event, r *store.Record, e api.Event) {
	var c api.Crash
	_ = json.Unmarshal(e.Data, &c) // it is ours
	line = line.Int("exit_code", c.ExitCode).Bool("oom_killed", c.OOMKilled).Int("crash_streak", r.Run.Streak).Str("why", c.Details.Error)
	if c.NextRestartAt != nil {
		line = line.Time("next_restart_at", *c.NextRestartAt)
	}
	line.Msg("it ended, and nobody asked it to")
}

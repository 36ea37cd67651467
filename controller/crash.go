package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

const (
	crashLines = 50
	crashBytes = 16 << 10
	// crashTimeout bounds the search for a crash's last lines: a restart must not wait for them.
	crashTimeout = 2 * time.Second
)

// crash are the events of an exit that nobody asked for; one with code 0 is no crash, nor is an interruption, nor what is
// decided anew about a container that never ran.
func (k *Controller) crash(ctx context.Context, r *store.Record, o *Observed, v verdict) []api.Event {
	if told := r.Handled == run(o); told || o.StartedAt.IsZero() || o.Interrupted || o.ExitCode == 0 && !o.OOMKilled {
		return nil
	}
	crash := api.Crash{
		ContainerID: r.ID, ExitCode: o.ExitCode, OOMKilled: o.OOMKilled, RestartCount: r.Status.RestartCount,
		Details: api.CrashDetails{Error: k.redactor(r).Text(crashCause(o)), Logs: k.lastLines(ctx, r, o)},
	}
	if v.ended == "" {
		crash.RestartCount, crash.NextRestartAt = crash.RestartCount+1, timePointer(v.next)
	}
	activity := api.Activity{ActivityType: api.ActivityCrash, ContainerID: r.ID, Message: r.Name + " crashed: " + crash.Details.Error,
		Details: map[string]any{"name": r.Name, "exit_code": o.ExitCode, "oom_killed": o.OOMKilled, "streak": v.streak, "ended": v.ended}}
	return []api.Event{crash.Event(), activity.Event()}
}

// redactor knows the secrets of whatever container stands for a record.
func (k *Controller) redactor(r *store.Record) api.Redactor {
	return api.NewRedactor(k.Store.Environments(r)...)
}

func crashCause(o *Observed) string {
	switch {
	case o.OOMKilled:
		return "the kernel killed it because it reached its memory limit"
	case o.StartError != "":
		return o.StartError
	case o.ExitCode > 128 && o.ExitCode < 128+65:
		return fmt.Sprintf("it ended by signal %d (exit code %d)", o.ExitCode-128, o.ExitCode)
	}
	return fmt.Sprintf("it exited with code %d", o.ExitCode)
}

// lastLines are missing where the engine does not give them in time; the crash is told all the same.
func (k *Controller) lastLines(ctx context.Context, r *store.Record, o *Observed) []string {
	ctx, cancel := context.WithTimeout(ctx, crashTimeout)
	defer cancel()
	lines, err := k.Runtime.LastLines(ctx, o.DockerID, crashLines, crashBytes)
	if err != nil {
		k.logFor(r).Warn().Err(err).Str("operation", "logs").Msg("the last lines before the crash cannot be read")
		return []string{}
	}
	if len(lines) == 0 {
		return []string{}
	}
	// Masked as one text: a secret may have several lines.
	return strings.Split(k.redactor(r).Text(strings.Join(lines, "\n")), "\n")
}

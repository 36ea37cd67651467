package plan

import (
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Why a restart policy leaves an ended container alone.
const (
	Completed   = api.ReasonCompleted
	Failed      = api.ReasonFailed
	GaveUp      = api.ReasonGaveUp
	Interrupted = api.ReasonInterrupted
)

// exit is what the restart policy says about the end of a run: a restart after a delay, or none because of ended.
type exit struct {
	end     string // how it was dealt with
	counted bool   // it counts for the streak
	streak  int
	delay   time.Duration
	ended   string
}

// judgeExit applies the restart policy to a run that ended by itself.
func judgeExit(r *store.Record, c *Container) exit {
	switch {
	case !c.Ran():
		return reconsider(r)
	case c.Interrupted:
		return excuse(r)
	}
	e := exit{end: EndCounted, counted: true, streak: r.Run.Streak}
	if ended(r, c) != EndCounted { // else it was counted, under another policy
		e.streak++
	}
	if c.Lasted >= LongRun {
		e.streak = 1
	}
	policy := r.Spec.RestartPolicy
	switch {
	case policy.Name == api.RestartNever, policy.Name == api.RestartOnFailure && c.ExitCode == 0 && !c.Alive():
		if e.ended = Failed; c.ExitCode == 0 {
			e = exit{end: EndCounted, ended: Completed} // nothing went wrong: a row of failures ends
		}
	case policy.MaxAttempts > 0 && e.streak > policy.MaxAttempts:
		e.ended = GaveUp
	default:
		e.delay = RestartDelay(r.ID, e.streak)
	}
	return e
}

// reconsider applies another restart policy to an end of which nothing is left to see, because the container was made anew
// since.
func reconsider(r *store.Record) exit {
	e := exit{end: r.Run.End, streak: r.Run.Streak, ended: r.Run.Ended}
	switch policy := r.Spec.RestartPolicy; {
	case policy.Name == api.RestartNever, policy.Name == api.RestartOnFailure && r.Run.Ended == Completed:
	case policy.MaxAttempts > 0 && e.streak > policy.MaxAttempts:
		e.ended = GaveUp
	default:
		e.ended = ""
	}
	return e
}

// excuse applies the restart policy to a run that was interrupted, which counts for no streak.
func excuse(r *store.Record) exit {
	e := exit{end: EndInterrupted, streak: r.Run.Streak}
	if r.Spec.RestartPolicy.Name == api.RestartNever {
		e.ended = Interrupted
	}
	return e
}

// ExitCause is a sentence about how a run ended. It may quote the engine.
func ExitCause(c *Container) string {
	switch {
	case c.Alive():
		return "it was not healthy"
	case c.OOMKilled:
		return "the kernel killed it because it reached its memory limit"
	case c.StartError != "":
		return c.StartError
	case c.ExitCode > 128 && c.ExitCode < 128+65:
		return fmt.Sprintf("it ended by signal %d (exit code %d)", c.ExitCode-128, c.ExitCode)
	}
	return fmt.Sprintf("it exited with code %d", c.ExitCode)
}

// applyExit writes what the restart policy makes of an exit.
func applyExit(r *store.Record, s *Step, res *Result, at Instant) {
	c, n := s.On, &r.Run
	clearSuspicion(n, c)
	e := judgeExit(r, c)
	decided := ended(r, c) == EndCounted && n.Ended == "" // to be restarted, and counted for it
	if c.Interrupted && c.Ran() {
		uncount(n, Run(c))
		e.streak = n.Streak
	}
	if c.Ran() {
		n.ID = Run(c)
	}
	n.End, n.Ended, n.EndedUnder, n.Streak, n.Backoff = e.end, e.ended, r.Spec.RestartPolicy, e.streak, nil
	if e.streak == 0 || e.counted && e.streak == 1 {
		n.Counted = nil
	}
	if e.counted {
		n.Count(store.CountedEnd{Run: Run(c), At: endedAt(c, at), Own: c.Own})
	}
	n.Killed = c.Killed
	if res.Exit != nil {
		n.Exit = res.Exit
	}
	if e.ended != "" {
		return
	}
	if e.delay > 0 {
		n.Backoff = &store.Wait{Since: at.Now, Length: e.delay}
	}
	if !decided {
		r.Status.RestartCount++
	}
}

// clearSuspicion forgets a loss of the engine that a run has outlasted by far: the start that led to it did the engine no harm.
// Of one that the engine interrupted it is not known how long it ran.
func clearSuspicion(n *store.Run, c *Container) {
	if c.Lasted >= LongRun && !c.Interrupted {
		n.Suspected = 0
	}
}

// endedAt is when a run ended by the engine's clock; what is about to be stopped ends now.
func endedAt(c *Container, at Instant) time.Time {
	if c.Alive() {
		return at.Wall(at.Now)
	}
	return c.FinishedAt.UTC()
}

// uncount takes the end of a run back, where it was counted.
func uncount(n *store.Run, id string) {
	kept := make([]store.CountedEnd, 0, len(n.Counted))
	for _, end := range n.Counted {
		if end.Run != id {
			kept = append(kept, end)
		}
	}
	n.Streak = max(0, n.Streak-(len(n.Counted)-len(kept)))
	n.Counted = kept
}

// forgiveOutage takes back the ends that an outage explains, and what they led to.
func forgiveOutage(r *store.Record, o *Observation) {
	n := &r.Run
	for _, end := range n.Counted {
		if !excused(o, end) {
			continue
		}
		uncount(n, end.Run)
		if n.ID == end.Run && n.End == EndCounted && n.Ended != Completed {
			n.End, n.Backoff = EndInterrupted, nil
			if n.Ended = ""; r.Spec.RestartPolicy.Name == api.RestartNever {
				n.Ended = Interrupted
			}
		}
	}
	if n.Ended == GaveUp && n.Streak <= r.Spec.RestartPolicy.MaxAttempts {
		n.Ended = ""
	}
}

// forgive forgets what earlier exits led to.
func forgive(r *store.Record) {
	n := &r.Run
	n.Streak, n.Counted, n.Exit, n.Ended, n.Backoff, n.Begun, n.Suspected = 0, nil, nil, "", nil, false, 0
	r.Tracks.Process.Failure = nil
}

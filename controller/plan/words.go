package plan

import (
	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Word is what people are told that an action is. What is only noted has a word for what it is noted for.
func Word(a Action) string {
	switch a {
	case Rest:
		return api.ActionNone
	case Stop, Kill, Remove, Start, Pause, Unpause, Create, Limit, Connect, Rename, Rollback:
		return string(a)
	case Forget, Finalize:
		return api.ActionRemove
	case Forgive, ExplicitStart, Suspect, IntendStart, RecordExit, Listen:
		return api.ActionStart
	case BeginRestart, EndRestart, Renew:
		return api.ActionRestart
	case RecordStop:
		return api.ActionStop
	case Intend, IntendReplacement, Adopt, Resolve:
		return api.ActionCreate
	}
	return api.ActionUpdate
}

// Because is a sentence about the next step.
func Because(r *store.Record, o *Observation, next *Step) string {
	w := next.Waiting()
	switch {
	case next.Resting() && w.Reason == retrying:
		reason, message := degraded(r, o)
		return "what did not work is tried again then: " + reason + ": " + message
	case next.Resting() && w.Reason != "":
		return w.Message
	case next.Resting():
		return asIs(r, o)
	case next.Detail != "":
		return next.Detail
	}
	return map[string]string{api.CauseDeclaration: "it was declared so", api.CauseDrift: "somebody else changed it", api.CauseExit: "it ended by itself",
		api.CauseUnhealthy: "it is not well", api.CauseRestart: "a restart was asked for", api.CauseRecovery: "what was under way is gone on with",
		api.CauseUpdate: "it is being updated"}[next.Cause]
}

// asIs is a sentence about a container for which there is nothing to do.
func asIs(r *store.Record, o *Observation) string {
	over := r.Run.Ended != "" && (o.Current == nil || !o.Current.Alive())
	switch reason, message := degraded(r, o); {
	case reason != api.ReasonAsExpected && !over:
		return message
	case over:
		return "the container has ended, and its restart policy leaves it alone: " + r.Run.Ended
	}
	return "it is as declared"
}

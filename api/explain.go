package api

import "time"

// The effects of a declaration, as a dry run tells them.
const (
	EffectNone     = "none"
	EffectInPlace  = "in-place"
	EffectRestart  = "restart"
	EffectRecreate = "recreate"
	EffectCreate   = "create"
	EffectDelete   = "delete"
)

// Effect is what a declaration would come to, and what would be lost by it.
type Effect struct {
	Effect string   `json:"effect"`
	Lost   []string `json:"lost"`
}

// Difference is one field in which what stands is not what is declared, and what it costs to change it.
type Difference struct {
	Field string `json:"field"`
	Cost  string `json:"cost"`
}

// Ending is how a run ended, and the last that it said; ExitCode is nil where it had not ended by itself, but was not healthy.
type Ending struct {
	ExitCode  *int     `json:"exit_code"`
	OOMKilled bool     `json:"oom_killed"`
	Message   string   `json:"message"`
	Logs      []string `json:"logs"`
}

// FailedUpdate is why what is declared does not stand, or stands though it failed, and how its newest trial ended.
type FailedUpdate struct {
	Reason string `json:"reason"`
	Ending
}

// Explanation is the body of container_explained.
type Explanation struct {
	ContainerID string `json:"container_id"`
	Name        string `json:"name"`
	Declared    struct {
		Generation int64 `json:"generation"`
		Spec       Spec  `json:"spec"`
	} `json:"declared"`
	Observed      Status       `json:"observed"`
	Differences   []Difference `json:"differences"`
	NextAction    string       `json:"next_action"`
	Why           string       `json:"why"`
	NextLookAt    *time.Time   `json:"next_look_at"`
	RecentActions []LastAction `json:"recent_actions"`
	// LastExit is how the newest run ended that nobody asked to end, nil once the container is Available again.
	LastExit *Ending `json:"last_exit"`
	// FailedUpdate is nil where what is declared has not failed.
	FailedUpdate *FailedUpdate `json:"failed_update"`
}

// ForViewer is e without what a viewer may not see; the spec and status of a record that is shown to one are masked already.
func (e Explanation) ForViewer() Explanation {
	e.Declared.Spec, e.Observed = e.Declared.Spec.forViewer(), e.Observed.forViewer()
	e.Why = mask(e.Why)
	actions := make([]LastAction, len(e.RecentActions))
	for i, a := range e.RecentActions {
		a.Detail = mask(a.Detail)
		actions[i] = a
	}
	e.RecentActions = actions
	if e.LastExit != nil {
		ending := e.LastExit.forViewer()
		e.LastExit = &ending
	}
	if e.FailedUpdate != nil {
		e.FailedUpdate = &FailedUpdate{e.FailedUpdate.Reason, e.FailedUpdate.Ending.forViewer()}
	}
	return e
}

func (e Ending) forViewer() Ending {
	e.Message, e.Logs = mask(e.Message), maskList(e.Logs)
	return e
}

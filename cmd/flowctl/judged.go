package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/flow-manager/flow-manager/api"
)

// judged is what counts of a container for whoever waits for it.
type judged struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation"`
	Spec       struct {
		Image string `json:"image"`
	} `json:"spec"`
	Status api.Status `json:"status"`
}

// is reports whether a container is seen to be as wanted, which what was seen before its newest declaration is not.
func (j *judged) is(wanted string) bool {
	s := &j.Status
	if s.ObservedGeneration < j.Generation {
		return false
	}
	switch wanted {
	case "available":
		return s.Condition(api.Available).Status == api.True
	case "ready":
		return s.Condition(api.Ready).Status == api.True
	case "completed":
		return s.State == api.StateExited && s.Condition(api.Ready).Reason == api.ReasonCompleted
	case "stopped":
		return s.State == api.StateStopped || s.State == api.StateExited
	}
	return s.State == wanted
}

// hopeless is why a container will not become as wanted by itself, "" where it may.
func (j *judged) hopeless(wanted string) string {
	s := &j.Status
	if s.ObservedGeneration < j.Generation || wanted == "stopped" || wanted == "deleted" {
		return ""
	}
	ended, trouble := s.Condition(api.Ready).Reason, s.Trouble()
	switch {
	case s.State == api.StateExited && slices.Contains([]string{api.ReasonFailed, api.ReasonGaveUp, api.ReasonInterrupted}, ended):
		return ended
	case s.State == api.StateExited && ended == api.ReasonCompleted && wanted != "completed":
		return ended
	case trouble == api.ReasonEngineLost:
		return trouble
	case trouble == api.ReasonCrashLoop && (wanted == "available" || wanted == "ready"):
		return trouble
	}
	return ""
}

// said is how a container is, and why it is not as it should be.
func (j *judged) said() string {
	s := &j.Status
	if d := s.Condition(api.Degraded); d.Status == api.True && d.Message != "" {
		return fmt.Sprintf("%s (%s: %s)", s.State, d.Reason, hints.Replace(d.Message))
	}
	ready, available := s.Condition(api.Ready), s.Condition(api.Available)
	if ready.Status == api.Unknown {
		return fmt.Sprintf("%s, as seen last (%s: %s)", s.State, ready.Reason, ready.Message)
	}
	reason := cmp.Or(s.Trouble(), ready.Reason)
	if s.Trouble() == "" && ready.Status == api.True && available.Status == api.False {
		reason = available.Reason
	}
	if reason == "" {
		return s.State
	}
	return fmt.Sprintf("%s (%s)", s.State, reason)
}

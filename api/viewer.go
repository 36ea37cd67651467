package api

import (
	"encoding/json"
	"slices"
)

// What a viewer may not see is masked by what it is, not by what it says: the environment, commands, messages and output of
// a container, and every text that may quote one of them, as the engine's do. Names, states, reasons and numbers stay.

// ForViewer is c without what a viewer may not see.
func (c Container) ForViewer() Container {
	c.Spec = c.Spec.forViewer()
	c.Status = c.Status.forViewer()
	return c
}

func (s Spec) forViewer() Spec {
	s.Environment = maskValues(s.Environment)
	s.Command, s.Entrypoint = maskList(s.Command), maskList(s.Entrypoint)
	if s.Healthcheck != nil {
		check := *s.Healthcheck
		check.Test = maskList(check.Test)
		s.Healthcheck = &check
	}
	return s
}

func (s Status) forViewer() Status {
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].Message = mask(s.Conditions[i].Message)
	}
	if s.LastError != nil {
		last := *s.LastError
		last.Message = mask(last.Message)
		s.LastError = &last
	}
	if s.LastAction != nil {
		last := *s.LastAction
		last.Detail = mask(last.Detail)
		s.LastAction = &last
	}
	return s
}

// ForViewer is e without what a viewer may not see; false: a viewer does not get it. An event that is not known here might
// carry anything, so it is not for viewers.
func (e Event) ForViewer() (Event, bool) {
	switch e.Name {
	case StatusChanged, EngineUnavailable, EngineAvailable, ImagePullProgress, ContainerUnreachable, ContainerReachable, CommunicationError, MessageFormatFlaw, LoggingFailed,
		EventsDropped:
		return e, true
	case MessageReceived:
		return edited(e, (*Received).maskForViewer)
	case ContainerStatusUpdate:
		return edited(e, (*StatusUpdate).maskForViewer)
	case ContainerChanged:
		return edited(e, (*ContainerChange).maskForViewer)
	case HealthWarned:
		return edited(e, (*HealthWarning).maskForViewer)
	case ContainerCrashed:
		return edited(e, (*Crash).maskForViewer)
	case ActivityLog:
		return edited(e, (*Activity).maskForViewer)
	}
	return Event{}, false
}

// edited is e with its body decoded as a B, changed by edit, and encoded again; what B does not have is left out.
func edited[B any](e Event, edit func(*B)) (Event, bool) {
	body := new(B)
	if json.Unmarshal(e.Data, body) != nil {
		return Event{}, false // an older version's, perhaps
	}
	edit(body)
	return Event{e.Name, Encode(body)}, true
}

func (r *Received) maskForViewer() { r.Message = Encode(map[string]string{"type": Filtered}) }

func (w *HealthWarning) maskForViewer() { w.Output = mask(w.Output) }

func (c *Crash) maskForViewer() {
	c.Details = CrashDetails{Error: mask(c.Details.Error), Logs: maskList(c.Details.Logs)}
}

// maskForViewer leaves whole what this program says in its own words about names and states.
func (a *Activity) maskForViewer() {
	switch a.ActivityType {
	case ActivityDeclared, ActivityCreated, ActivityStarted, ActivityStopped, ActivityUpdated, ActivityDeleted, ActivityStatus, ActivityHealth:
	case ActivityError, ActivityCrash:
		a.Message = mask(a.Message)
	default:
		a.Message, a.Details = mask(a.Message), map[string]any{}
	}
}

func mask(text string) string {
	if text == "" {
		return ""
	}
	return Filtered
}

// maskList does not tell how many there were.
func maskList(list []string) []string {
	if len(list) == 0 {
		return list
	}
	return []string{Filtered}
}

func maskValues(values map[string]string) map[string]string {
	masked := make(map[string]string, len(values))
	for key := range values {
		masked[key] = Filtered
	}
	return masked
}

package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The bounds of a subscription.
const (
	maxWatchedContainers = 1000
	maxWatchedLabels     = 20
	maxWatchedEvents     = 50
	maxVersionBytes      = 256
)

// SubscribeRequest is subscribe: what a session wants to be sent, of all that it may see. What is left out or empty narrows nothing.
type SubscribeRequest struct {
	Asked
	ContainerIDs []string          `json:"container_ids"`
	Labels       map[string]string `json:"labels"`
	Events       []string          `json:"events"`
	// ResourceVersion asks for all durable events after it.
	ResourceVersion string `json:"resource_version"`
	// Since asks for all of these that are kept from a time on.
	Since string `json:"since"`
}

// UnsubscribeRequest is unsubscribe: what of a subscription is to end; all of it where nothing is named.
type UnsubscribeRequest struct {
	Asked
	ContainerIDs []string `json:"container_ids"`
	Events       []string `json:"events"`
}

// WatchableEvents are those that a session can subscribe to, sorted. Answers and errors always come.
func WatchableEvents() []string {
	return []string{
		ActivityLog, CommunicationError, ContainerChanged, ContainerCrashed, HealthWarned, ContainerReachable, ContainerStatusUpdate, ContainerUnreachable,
		EngineAvailable, EngineUnavailable, ImagePullProgress, LoggingFailed, MessageFormatFlaw, MessageReceived, StatusChanged,
	}
}

// Validate refuses what can never be sent, by its name.
func (r *SubscribeRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.watched(r.ContainerIDs, r.Events)
	v.check(len(r.Labels) <= maxWatchedLabels, "labels", "has %d entries; use at most %d", len(r.Labels), maxWatchedLabels)
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		v.check(len(key) <= maxKeyBytes && len(r.Labels[key]) <= maxStringBytes, "labels."+clip(key), "is longer than a label can be: %d bytes and %d of its value", maxKeyBytes, maxStringBytes)
	}
	v.check(len(r.ResourceVersion) <= maxVersionBytes, "resource_version", "may have at most %d bytes", maxVersionBytes)
	v.moment("since", r.Since)
	v.check(r.Since == "" || r.ResourceVersion == "", "since", "does not go with resource_version; give one of them")
	return v.bad
}

// Validate is as that of a subscription.
func (r *UnsubscribeRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.watched(r.ContainerIDs, r.Events)
	return v.bad
}

func (v *validation) watched(ids, events []string) {
	v.check(len(ids) <= maxWatchedContainers, "container_ids", "has %d entries; use at most %d, or labels", len(ids), maxWatchedContainers)
	v.check(len(events) <= maxWatchedEvents, "events", "has %d entries; use at most %d", len(events), maxWatchedEvents)
	if len(v.bad) > 0 {
		return
	}
	for i, id := range ids {
		v.check(id != "" && len(id) <= maxReferenceBytes, fmt.Sprintf("container_ids[%d]", i), "must be a container's id, name or Docker id")
	}
	for i, event := range events {
		if !slices.Contains(WatchableEvents(), event) {
			v.check(false, fmt.Sprintf("events[%d]", i), "there is no event %q to subscribe to; these are: %s", clip(event), strings.Join(WatchableEvents(), ", "))
		}
	}
}

// ContainerChange is the body of container_changed. The container is that of the event's resource version, or, where an older change is
// told again, a newer one; of a deleted one it is the last that was known, as viewers see it.
type ContainerChange struct {
	Type      string    `json:"type"`
	Container Container `json:"container"`
}

// Event makes c into an event.
func (c ContainerChange) Event() Event {
	c.Container.Labels = orEmpty(c.Container.Labels)
	return Event{ContainerChanged, Encode(c)}
}

func (c *ContainerChange) maskForViewer() { c.Container = c.Container.ForViewer() }

// StatusReport is what get_container_status and container_status_update tell.
type StatusReport struct {
	ContainerID       string      `json:"container_id"`
	Name              string      `json:"name"`
	State             string      `json:"state"`
	Status            string      `json:"status"`
	Health            string      `json:"health"`
	Uptime            string      `json:"uptime"`
	UptimeSeconds     int64       `json:"uptime_seconds"`
	SocketConnected   bool        `json:"socket_connected"`
	LastCommunication *time.Time  `json:"last_communication"`
	ResourceUsage     Usage       `json:"resource_usage"`
	RestartCount      int         `json:"restart_count"`
	NextRestartAt     *time.Time  `json:"next_restart_at"`
	Conditions        []Condition `json:"conditions"`
}

// StatusUpdate is the body of container_status_update.
type StatusUpdate struct {
	ContainerID string       `json:"container_id"`
	Status      StatusReport `json:"status"`
}

// Event makes u into an event.
func (u StatusUpdate) Event() Event { return Event{ContainerStatusUpdate, Encode(u)} }

func (u *StatusUpdate) maskForViewer() {
	for i := range u.Status.Conditions {
		u.Status.Conditions[i].Message = mask(u.Status.Conditions[i].Message)
	}
}

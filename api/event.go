package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api/rawjson"
)

// Events that clients send.
const (
	CreateContainer    = "create_container"
	ApplyContainer     = "apply_container"
	StartContainer     = "start_container"
	StopContainer      = "stop_container"
	RestartContainer   = "restart_container"
	PauseContainer     = "pause_container"
	UnpauseContainer   = "unpause_container"
	UpdateContainer    = "update_container"
	RollbackContainer  = "rollback_container"
	DeleteContainer    = "delete_container"
	WaitContainer      = "wait_container"
	GetContainer       = "get_container"
	ExplainContainer   = "explain_container"
	GetContainerStatus = "get_container_status"
	GetStatus          = "get_status" // an alias of GetContainerStatus
	ListContainers     = "list_containers"
	SendMessage        = "send_message"
	Subscribe          = "subscribe"
	Unsubscribe        = "unsubscribe"
	GetActivity        = "get_activity"
	GetLogs            = "get_logs"
	StopLogs           = "stop_logs"
)

// Events that answer the session that asked.
const (
	ContainerCreated   = "container_created"
	ContainerUpdated   = "container_updated"
	ContainerStarted   = "container_started"
	ContainerStopped   = "container_stopped"
	ContainerRestart   = "container_restarted"
	ContainerPaused    = "container_paused"
	ContainerUnpaused  = "container_unpaused"
	ContainerDeleted   = "container_deleted"
	ContainerObject    = "container"
	ContainerExplained = "container_explained"
	ContainerStatus    = "container_status"
	ContainerList      = "container_list"
	MessageSent        = "message_sent"
	Subscribed         = "subscribed"
	PastActivity       = "activity_history"
	ContainerLogs      = "container_logs"
	ErrorEvent         = "error"
	MessageFormatFlaw  = "message_format_error"
)

// Events that every session gets; viewers only those that Event.ForViewer knows.
const (
	Connected            = "connected"
	StatusChanged        = "status_changed"
	ContainerCrashed     = "container_crashed"
	HealthWarned         = "container_health_warning"
	ActivityLog          = "activity_log"
	MessageReceived      = "message_received"
	CommunicationError   = "communication_error"
	EngineUnavailable    = "engine_unavailable"
	EngineAvailable      = "engine_available"
	ContainerUnreachable = "container_unreachable"
	ContainerReachable   = "container_reachable"
	EventsDropped        = "events_dropped"
	LoggingFailed        = "logging_error"
)

// ContainerChanged goes to sessions that have subscribed.
const ContainerChanged = "container_changed"

// Events of which the newest about their subject is what counts.
const (
	ContainerStatusUpdate = "container_status_update"
	ImagePullProgress     = "image_pull_progress"
)

// Types of activity.
const (
	ActivityDeclared = "container_declared"
	ActivityCreated  = "container_created"
	ActivityStarted  = "container_started"
	ActivityStopped  = "container_stopped"
	ActivityUpdated  = "container_updated"
	ActivityDeleted  = "container_deleted"
	ActivityHealth   = "health_warning"
	ActivityError    = "container_error"
	ActivityCrash    = "container_crash"
	ActivityStatus   = "status_change"
	ActivityActor    = "actor_event"
	ActivitySent     = "message_sent"
	ActivityReceived = "message_received"
)

// Event is one thing that happened, as the store keeps it and clients get it: Data is the whole body of the event named
// Name, without the fields that are known only at its commit (timestamp, resource_version).
type Event struct {
	Name string          `json:"name"`
	Data json.RawMessage `json:"data"`
}

// StatusChange is the body of status_changed.
type StatusChange struct {
	ContainerID        string `json:"container_id"`
	Name               string `json:"name"`
	OldState           string `json:"old_state"`
	NewState           string `json:"new_state"`
	Health             string `json:"health"`
	Reason             string `json:"reason"`
	Cause              string `json:"cause"`
	Generation         int64  `json:"generation"`
	ObservedGeneration int64  `json:"observed_generation"`
	RestartCount       int    `json:"restart_count"`
}

// Received is the body of message_received; Message is the flow's object.
type Received struct {
	ContainerID string          `json:"container_id"`
	Message     json.RawMessage `json:"message"`
}

// Activity is the body of activity_log.
type Activity struct {
	ActivityType string         `json:"activity_type"`
	ContainerID  string         `json:"container_id"`
	Message      string         `json:"message"`
	Details      map[string]any `json:"details"`
}

// HealthWarning is the body of container_health_warning.
type HealthWarning struct {
	ContainerID   string `json:"container_id"`
	Health        string `json:"health"`
	FailingStreak int    `json:"failing_streak"`
	Output        string `json:"output"`
}

// Event is w as an event.
func (w HealthWarning) Event() Event { return Event{HealthWarned, Encode(w)} }

// Crash is the body of container_crashed.
type Crash struct {
	ContainerID   string       `json:"container_id"`
	ExitCode      int          `json:"exit_code"`
	OOMKilled     bool         `json:"oom_killed"`
	RestartCount  int          `json:"restart_count"`
	NextRestartAt *time.Time   `json:"next_restart_at"`
	Details       CrashDetails `json:"crash_details"`
}

// CrashDetails are a crash's cause as far as it is known, and the last lines of output before it.
type CrashDetails struct {
	Error string   `json:"error"`
	Logs  []string `json:"logs"`
}

// Event makes r into an event. The flow's object stays as it came, byte for byte, and is not read again: it may be long.
func (r Received) Event() Event {
	return Event{MessageReceived, rawjson.Object{rawjson.Pair("container_id", Encode(r.ContainerID)), rawjson.Pair("message", r.Message)}.Encode()}
}

// Reach is the body of container_unreachable and container_reachable.
type Reach struct {
	ContainerID string `json:"container_id"`
	Message     string `json:"message"`
}

// ReachNews is the event that messages do not get to a flow, or do again.
func ReachNews(id string, reachable bool) Event {
	if reachable {
		return Event{ContainerReachable, Encode(Reach{id, "the flow is connected again"})}
	}
	return Event{ContainerUnreachable, Encode(Reach{id, "a message waited out its time and the flow did not connect; this is told once, until it is back"})}
}

// Traffic is what one of the aggregated activities about messages stands for: how many there were, of how many bytes, and of
// what type the last one was.
type Traffic struct {
	Count    int
	Bytes    int
	LastType string
}

// Activity is t about a container; activityType says which way the messages went, or that they were actor events.
func (t Traffic) Activity(activityType, id string) Activity {
	what := "messages (%d bytes) sent to"
	switch activityType {
	case ActivityReceived:
		what = "messages (%d bytes) received from"
	case ActivityActor:
		what = "more actor events (%d bytes) raised by"
	}
	return Activity{ActivityType: activityType, ContainerID: id, Message: fmt.Sprintf("%d "+what+" the flow", t.Count, t.Bytes),
		Details: map[string]any{"count": t.Count, "bytes": t.Bytes, "last_type": t.LastType}}
}

// Fault is the body of communication_error and message_format_error: what is wrong with a flow's connection.
type Fault struct {
	ContainerID string    `json:"container_id"`
	ErrorType   ErrorType `json:"error_type"`
	Message     string    `json:"message"`
}

// Event makes f into the event of its type.
func (f Fault) Event() Event {
	if f.ErrorType == MessageFormatError {
		return Event{MessageFormatFlaw, Encode(f)}
	}
	return Event{CommunicationError, Encode(f)}
}

// EngineNews is the event that the engine went away, for the reason away, or came back, where that is nil.
func EngineNews(away error) Event {
	name, message := EngineAvailable, "the engine is listed again"
	if away != nil {
		name, message = EngineUnavailable, Redactor{}.Text(away.Error())
	}
	return Event{name, Encode(map[string]string{"message": message})}
}

// LogLoss is the body of logging_error: how many lines of the manager's log were lost since when, and why the last of them was.
type LogLoss struct {
	Message string    `json:"message"`
	Dropped int       `json:"dropped"`
	Since   time.Time `json:"since"`
}

// Event makes l into an event.
func (l LogLoss) Event() Event { return Event{LoggingFailed, Encode(l)} }

// PullProgress is the body of image_pull_progress: how far one layer is, in bytes where they are known, or, where Layer is
// empty, what is said of the whole image.
type PullProgress struct {
	Image   string `json:"image"`
	Layer   string `json:"layer"`
	Status  string `json:"status"`
	Current int64  `json:"current"`
	Total   int64  `json:"total"`
}

// Missed is the body of events_dropped: how many events a client was not sent, from one resource version to another.
type Missed struct {
	Events int    `json:"events"`
	From   string `json:"from"`
	To     string `json:"to"`
}

// Event makes m into an event.
func (m Missed) Event() Event { return Event{EventsDropped, Encode(m)} }

// Event makes p into an event.
func (p PullProgress) Event() Event { return Event{ImagePullProgress, Encode(p)} }

// Event makes c into an event.
func (c Crash) Event() Event { return Event{ContainerCrashed, Encode(c)} }

// Event makes a into an event. What is a secret by its form is masked; those of the container's environment are for Masked.
func (a Activity) Event() Event { return Event{ActivityLog, Encode(a.Masked(Redactor{}))} }

// Masked is a without secrets.
func (a Activity) Masked(r Redactor) Activity {
	a.Message, a.Details = r.Text(a.Message), r.members(a.Details)
	return a
}

// Event makes c into an event.
func (c StatusChange) Event() Event { return Event{StatusChanged, Encode(c)} }

// Stamped is e's body with the fields of its commit; resourceVersion is empty for an event that is not durable.
func (e Event) Stamped(at time.Time, resourceVersion string) json.RawMessage {
	stamp := `"timestamp":"` + at.UTC().Format(time.RFC3339Nano) + `"`
	if resourceVersion != "" {
		stamp += `,"resource_version":"` + resourceVersion + `"`
	}
	return Merge(e.Data, json.RawMessage("{"+stamp+"}"))
}

// Merge appends the members of the object more to the object base without decoding either; they must share no key.
func Merge(base, more json.RawMessage) json.RawMessage {
	switch {
	case len(more) <= len("{}"):
		return base
	case len(base) <= len("{}"):
		return more
	}
	merged := make(json.RawMessage, 0, len(base)+len(more))
	merged = append(merged, base[:len(base)-1]...)
	merged = append(merged, ',')
	return append(merged, more[1:]...)
}

// Usage is what a container consumes: percent of one CPU and of the memory limit, bytes, processes. All are zero while it
// does not run.
type Usage struct {
	CPUPercent     float64   `json:"cpu_percent"`
	MemoryUsage    uint64    `json:"memory_usage"`
	MemoryLimit    uint64    `json:"memory_limit"`
	MemoryPercent  float64   `json:"memory_percent"`
	NetworkRxBytes uint64    `json:"network_rx_bytes"`
	NetworkTxBytes uint64    `json:"network_tx_bytes"`
	DiskReadBytes  uint64    `json:"disk_read_bytes"`
	DiskWriteBytes uint64    `json:"disk_write_bytes"`
	Pids           uint64    `json:"pids"`
	Timestamp      time.Time `json:"timestamp"`
}

// ListItem is one line of container_list, flat.
type ListItem struct {
	ID              string              `json:"id"`
	ContainerID     string              `json:"container_id"`
	Name            string              `json:"name"`
	Status          string              `json:"status"`
	Available       bool                `json:"available"`        // this run is ready and has lasted
	Reason          string              `json:"reason,omitempty"` // why it is not as declared
	Image           string              `json:"image"`
	Created         time.Time           `json:"created"`
	SocketPath      string              `json:"socket_path"`
	Ports           map[string]HostPort `json:"ports"`
	Environment     map[string]string   `json:"environment"`
	Labels          map[string]string   `json:"labels"`
	Generation      int64               `json:"generation"`
	ResourceVersion string              `json:"resource_version"`
	Health          string              `json:"health"`
	RestartCount    int                 `json:"restart_count"`
	DeletedAt       *time.Time          `json:"deleted_at,omitempty"` // since when it is being deleted
}

// Item is c as a line of container_list.
func (c *Container) Item() ListItem {
	return ListItem{
		ID: c.ID, ContainerID: c.ID, Name: c.Name, Status: c.Status.State, Available: c.Status.Condition(Available).Status == True, Reason: c.Status.Trouble(), Image: c.Spec.Image, Created: c.CreatedAt,
		SocketPath: c.Status.SocketPath, Ports: orEmpty(c.Status.Ports), Environment: orEmpty(c.Spec.Environment),
		Labels: orEmpty(c.Labels), Generation: c.Generation, ResourceVersion: c.ResourceVersion,
		Health: c.Status.Health, RestartCount: c.Status.RestartCount, DeletedAt: c.DeletedAt,
	}
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

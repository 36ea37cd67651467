package api

import (
	"time"
)

// The states that a client may declare.
const (
	DesiredCreated = "created"
	DesiredRunning = "running"
	DesiredStopped = "stopped"
	DesiredPaused  = "paused"
)

// The states that the controller observes.
const (
	StateCreated    = "created"
	StateRunning    = "running"
	StateStopped    = "stopped"
	StatePaused     = "paused"
	StateRestarting = "restarting"
	StateRemoving   = "removing"
	StateExited     = "exited"
	StateDead       = "dead"
)

// States lists the states that the controller observes.
func States() []string {
	return []string{StateCreated, StateRunning, StateStopped, StatePaused, StateRestarting, StateRemoving, StateExited, StateDead}
}

// The restart policies, and what an unhealthy container gets.
const (
	RestartAlways    = "always"
	RestartOnFailure = "on-failure"
	RestartNever     = "never"
	UnhealthyRestart = "restart"
	UnhealthyReport  = "report"
)

// The healths of a container; one without a healthcheck has none.
const (
	HealthNone      = "none"
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
)

// The image pull policies.
const (
	PullIfNotPresent = "if-not-present"
	PullAlways       = "always"
	PullNever        = "never"
)

// Networks that need not be named by a person first.
const (
	NetworkBridge = "bridge"
	NetworkNone   = "none"
	NetworkHost   = "host"
)

// IsEnginesNetwork tells whether a network is one of these, as it is where none was named.
func IsEnginesNetwork(name string) bool {
	return name == "" || name == NetworkBridge || name == NetworkNone || name == NetworkHost
}

// Container is the declared object: what clients want in Spec, what the controller saw in Status.
type Container struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Labels          map[string]string `json:"labels"`
	CreatedAt       time.Time         `json:"created_at"`
	CreatedBy       string            `json:"created_by"`
	DeletedAt       *time.Time        `json:"deleted_at,omitempty"`
	Generation      int64             `json:"generation"`
	ResourceVersion string            `json:"resource_version"`
	Spec            Spec              `json:"spec"`
	Status          Status            `json:"status"`
}

// Spec is what a client declares. Pointers are fields whose zero value differs from their default; Default fills them.
type Spec struct {
	Image           string              `json:"image"`
	Environment     map[string]string   `json:"environment,omitempty"`
	Volumes         map[string]string   `json:"volumes,omitempty"`
	Ports           map[string]HostPort `json:"ports,omitempty"`
	Command         []string            `json:"command,omitempty"`
	Entrypoint      []string            `json:"entrypoint,omitempty"`
	WorkingDir      string              `json:"working_dir,omitempty"`
	User            string              `json:"user,omitempty"`
	Hostname        string              `json:"hostname,omitempty"`
	Init            *bool               `json:"init,omitempty"`
	DesiredState    string              `json:"desired_state,omitempty"`
	RestartPolicy   RestartPolicy       `json:"restart_policy,omitzero"`
	StopSignal      string              `json:"stop_signal,omitempty"`
	StopGrace       *int                `json:"stop_grace_seconds,omitempty"`
	Code            *Code               `json:"code,omitempty"`
	Resources       Resources           `json:"resources,omitzero"`
	Healthcheck     *Healthcheck        `json:"healthcheck,omitempty"`
	Readiness       string              `json:"readiness,omitempty"`
	Liveness        *Liveness           `json:"liveness,omitempty"`
	ImagePullPolicy string              `json:"image_pull_policy,omitempty"`
	Network         string              `json:"network,omitempty"`
	UpdatePolicy    UpdatePolicy        `json:"update_policy,omitzero"`
}

// RestartPolicy says what follows an exit; MaxAttempts 0 never gives up.
type RestartPolicy struct {
	Name        string `json:"name,omitempty"`
	MaxAttempts int    `json:"max_attempts,omitempty"`
	OnUnhealthy string `json:"on_unhealthy,omitempty"`
}

// Code is a host folder whose snapshot is mounted read-only at Target.
type Code struct {
	Path   string `json:"path"`
	Target string `json:"target,omitempty"`
}

// Resources are limits: bytes, billionths of a CPU, processes. Zero memory or CPU is no limit.
type Resources struct {
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	NanoCPUs    int64 `json:"nano_cpus,omitempty"`
	PidsLimit   int64 `json:"pids_limit,omitempty"`
}

// Healthcheck is run inside the container by the engine; Test begins with NONE, CMD or CMD-SHELL.
type Healthcheck struct {
	Test        []string `json:"test"`
	Interval    int      `json:"interval_seconds,omitempty"`
	Timeout     int      `json:"timeout_seconds,omitempty"`
	Retries     int      `json:"retries,omitempty"`
	StartPeriod int      `json:"start_period_seconds,omitempty"`
}

// Liveness makes a flow that is silent on its socket for Heartbeat seconds unhealthy.
type Liveness struct {
	Heartbeat int `json:"heartbeat_seconds"`
}

// UpdatePolicy says how long an update is watched and what its failure leads to.
type UpdatePolicy struct {
	Monitor     *int   `json:"monitor_seconds,omitempty"`
	Deadline    int    `json:"deadline_seconds,omitempty"`
	OnFailure   string `json:"on_failure,omitempty"`
	MaxAttempts int    `json:"max_attempts,omitempty"`
}

// Status is what the controller observed.
type Status struct {
	State              string              `json:"state"`
	Health             string              `json:"health"`
	Conditions         []Condition         `json:"conditions"`
	ObservedGeneration int64               `json:"observed_generation"`
	RunningGeneration  int64               `json:"running_generation"`
	DockerID           string              `json:"docker_id,omitempty"`
	ImageID            string              `json:"image_id,omitempty"`
	ImageDigest        string              `json:"image_digest,omitempty"`
	Ports              map[string]HostPort `json:"ports,omitempty"`
	StartedAt          *time.Time          `json:"started_at,omitempty"`
	FinishedAt         *time.Time          `json:"finished_at,omitempty"`
	ExitCode           *int                `json:"exit_code,omitempty"`
	OOMKilled          bool                `json:"oom_killed,omitempty"`
	RestartCount       int                 `json:"restart_count"`
	CrashStreak        int                 `json:"crash_streak"`
	NextRestartAt      *time.Time          `json:"next_restart_at,omitempty"`
	CodeRevision       string              `json:"code_revision,omitempty"`
	SocketPath         string              `json:"socket_path,omitempty"`
	LastError          *LastError          `json:"last_error,omitempty"`
	LastAction         *LastAction         `json:"last_action,omitempty"`
}

// Trouble is the reason for which a container is not as declared, "" where it is, or may become so by itself.
func (s *Status) Trouble() string {
	if c := s.Condition(Degraded); c.Status == True {
		return c.Reason
	}
	return ""
}

// LastError is the newest failure found while reconciling; it is gone once the container is as declared.
type LastError struct {
	ErrorType ErrorType `json:"error_type"`
	Message   string    `json:"message"`
	At        time.Time `json:"at"`
}

// LastAction is the newest thing that the controller did to the container, and why.
type LastAction struct {
	Action string    `json:"action"`
	Cause  string    `json:"cause"`
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

// The condition types, and the values of a condition's status.
const (
	Ready       = "Ready"
	Progressing = "Progressing"
	Degraded    = "Degraded"
	// Available is Ready for as long as an update is watched.
	Available = "Available"

	True    = "True"
	False   = "False"
	Unknown = "Unknown"
)

// Condition is one aspect of the state, as of ObservedGeneration.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	ObservedGeneration int64     `json:"observed_generation"`
	LastTransitionAt   time.Time `json:"last_transition_at"`
}

// Condition finds the condition of type t; absent ones are Unknown.
func (s *Status) Condition(t string) Condition {
	for _, c := range s.Conditions {
		if c.Type == t {
			return c
		}
	}
	return Condition{Type: t, Status: Unknown}
}

// SetCondition replaces the condition of c's type; the transition time moves only when the status does.
func (s *Status) SetCondition(c Condition) {
	next := make([]Condition, 0, len(s.Conditions)+1)
	for _, old := range s.Conditions {
		if old.Type != c.Type {
			next = append(next, old)
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionAt = old.LastTransitionAt
		}
		next = append(next, c)
		c.Type = ""
	}
	if c.Type != "" {
		next = append(next, c)
	}
	s.Conditions = next
}

// Reasons for which a deletion is not complete, in the order of its steps.
const (
	VolumesNotRemoved = "VolumesNotRemoved"
	SocketNotRemoved  = "SocketNotRemoved"
	CodeNotRemoved    = "CodeNotRemoved"
)

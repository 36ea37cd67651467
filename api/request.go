package api

import "encoding/json"

// Asked is what any request may carry.
type Asked struct {
	RequestID string `json:"request_id"`
}

// Declaring is what any request that declares may carry.
type Declaring struct {
	Asked
	IdempotencyKey *string `json:"idempotency_key"`
	IfGeneration   *int64  `json:"if_generation"`
	Waiting
	// DryRun asks what would become of it, and declares nothing.
	DryRun bool `json:"dry_run"`
}

// Waiting delays the acknowledgement until the outcome is known: for up to Wait seconds, and until what runs has come as far as
// For says.
type Waiting struct {
	Wait *int   `json:"wait_seconds"`
	For  string `json:"wait_for"`
}

// What a request can wait for where a container is to run. Absent is WaitForAvailable.
const (
	WaitForRunning   = "running"   // it runs
	WaitForReady     = "ready"     // and is ready
	WaitForAvailable = "available" // and has been so for as long as an update is watched
)

// DeclareRequest is create_container and apply_container: the spec's fields, flat.
type DeclareRequest struct {
	Declaring
	Spec
	Name            string            `json:"name"`
	Labels          map[string]string `json:"labels"`
	ResourceVersion string            `json:"resource_version"`
}

// ContainerRequest is start_container and stop_container.
type ContainerRequest struct {
	Declaring
	ContainerID string `json:"container_id"`
}

// UpdateRequest is update_container: Spec is a JSON merge patch; CodePath, where it is not "", asks for the code that is there
// now, of the same path too.
type UpdateRequest struct {
	Declaring
	ContainerID string          `json:"container_id"`
	CodePath    string          `json:"code_path"`
	Spec        json.RawMessage `json:"spec"`
	Pull        bool            `json:"pull"`
	Retry       bool            `json:"retry"`
}

// RollbackRequest is rollback_container; without ToGeneration it goes back to the newest other template.
type RollbackRequest struct {
	Declaring
	ContainerID  string `json:"container_id"`
	ToGeneration *int64 `json:"to_generation"`
}

// DeleteRequest is delete_container. Force drops the record at once, whatever the engine says: what is left is taken away
// when it can be.
type DeleteRequest struct {
	Declaring
	ContainerID   string `json:"container_id"`
	RemoveVolumes bool   `json:"remove_volumes"`
	Force         bool   `json:"force"`
}

// ReadRequest is get_container and get_container_status.
type ReadRequest struct {
	Asked
	ContainerID string `json:"container_id"`
}

// WaitRequest is wait_container.
type WaitRequest struct {
	Asked
	ContainerID string `json:"container_id"`
	Generation  int64  `json:"generation"`
	Waiting
}

// ListRequest is list_containers.
type ListRequest struct {
	Asked
	Labels   map[string]string `json:"labels"`
	States   []string          `json:"states"`
	Limit    int               `json:"limit"`
	Continue string            `json:"continue"`
}

// MessageRequest is send_message; Timeout is in seconds.
type MessageRequest struct {
	Asked
	ContainerID string          `json:"container_id"`
	Message     json.RawMessage `json:"message"`
	Timeout     *float64        `json:"timeout_seconds"`
	ExpectReply bool            `json:"expect_reply"`
}

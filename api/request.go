package api

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Asked is what any request may carry.
type Asked struct {
	RequestID string `json:"request_id"`
}

// Declaring is what any request that declares may carry.
type Declaring struct {
	Asked
	IdempotencyKey string `json:"idempotency_key"`
	IfGeneration   *int64 `json:"if_generation"`
	Wait           *int   `json:"wait_seconds"`
	// DryRun asks what would become of it, and declares nothing.
	DryRun bool `json:"dry_run"`
}

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

// UpdateRequest is update_container: Spec is a JSON merge patch.
type UpdateRequest struct {
	Declaring
	ContainerID string          `json:"container_id"`
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

// DeleteRequest is delete_container.
type DeleteRequest struct {
	Declaring
	ContainerID   string `json:"container_id"`
	RemoveVolumes bool   `json:"remove_volumes"`
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
	Wait        *int   `json:"wait_seconds"`
}

// Validate checks the bounds of a wait_container.
func (w *WaitRequest) Validate() []FieldError {
	v := validation{}
	v.check(w.Generation > 0, "generation", "is required: the generation whose outcome is waited for, 1 or more")
	v.check(w.Wait != nil, "wait_seconds", fmt.Sprintf("is required: how long to wait at most, 1 to %d", maxWaitSeconds))
	v.wait(w.Wait)
	return v.bad
}

// maxWaitSeconds is how long an acknowledgement can be waited for.
const maxWaitSeconds = 600

func (v *validation) wait(seconds *int) {
	if seconds != nil {
		v.between("wait_seconds", *seconds, 1, maxWaitSeconds)
	}
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

// Validate checks what every declaring request may carry.
func (d *Declaring) Validate() []FieldError {
	v := validation{}
	v.check(len(d.RequestID) <= 256, "request_id", "may have at most 256 bytes")
	if n := utf8.RuneCountInString(d.IdempotencyKey); n > 0 {
		v.check(n >= 16 && n <= 128, "idempotency_key", "must have 16 to 128 characters")
		v.text("idempotency_key", d.IdempotencyKey)
	}
	v.wait(d.Wait)
	return v.bad
}

package api

import (
	"fmt"
	"unicode/utf8"
)

// The bounds of requests, beside those of a declaration.
const (
	MaxPage           = 500 // containers on one page of the list
	maxWaitSeconds    = 600 // that an acknowledgement or a message can be waited for
	maxReferenceBytes = 256 // of a request_id or container_id: both are echoed
)

// Validate checks a whole declaration; what it leaves out is taken as its default.
func (r *DeclareRequest) Validate() []FieldError {
	v := validation{}
	v.declaring(&r.Declaring)
	name := r.Name
	if name == "" {
		name = "unnamed"
	} else {
		v.bad = append(v.bad, ValidateName(name)...)
	}
	v.bad = append(v.bad, ValidateLabels(r.Labels)...)
	spec := r.Spec
	orString(&spec.DesiredState, DesiredCreated)
	if len(v.bad) > 0 {
		spec.Hostname = "unnamed" // a bad name is told of once, not again as the host name that would come of it
	}
	spec.Default(name)
	return append(v.bad, spec.Validate()...)
}

// Validate checks what a request about one container carries.
func (r *ContainerRequest) Validate() []FieldError { return about(&r.Declaring, r.ContainerID).bad }

// Validate checks all but the patch, which has a meaning only together with what it changes.
func (r *UpdateRequest) Validate() []FieldError {
	v := about(&r.Declaring, r.ContainerID)
	v.check(len(r.Spec) > 0 || r.CodePath != "" || r.Retry || r.Pull, "spec", "is required, or code_path, pull or retry: what shall change, as a JSON merge patch")
	if r.CodePath != "" {
		v.absolute("code_path", r.CodePath)
	}
	v.check(len(r.Spec) == 0 || kind(r.Spec) == "an object", "spec", "must be an object, a JSON merge patch, not %s", kind(r.Spec))
	return v.bad
}

// Validate checks that the generation can be one.
func (r *RollbackRequest) Validate() []FieldError {
	v := about(&r.Declaring, r.ContainerID)
	v.check(r.ToGeneration == nil || *r.ToGeneration >= 1, "to_generation", "is out of range; use 1 or more")
	return v.bad
}

// Validate checks what a deletion carries.
func (r *DeleteRequest) Validate() []FieldError { return about(&r.Declaring, r.ContainerID).bad }

// Validate checks what a request to read carries.
func (r *ReadRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.container(r.ContainerID)
	return v.bad
}

// Validate checks the bounds of a wait_container.
func (r *WaitRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.container(r.ContainerID)
	v.check(r.Generation > 0, "generation", "is required: the generation whose outcome is waited for, 1 or more")
	v.check(r.Wait != nil, "wait_seconds", "is required: how long to wait at most, 1 to %d", maxWaitSeconds)
	v.wait(&r.Waiting)
	return v.bad
}

// Validate refuses states that there are not: nothing would ever be found in them.
func (r *ListRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	for i, state := range r.States {
		v.oneOf(fmt.Sprintf("states[%d]", i), state, States()...)
	}
	v.between("limit", r.Limit, 0, MaxPage)
	return v.bad
}

// Validate checks the envelope; which messages may be sent is for those to say who carry them.
func (r *MessageRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.container(r.ContainerID)
	v.check(len(r.Message) > 0, "message", "is required: the JSON object that the flow shall get")
	v.check(len(r.Message) == 0 || kind(r.Message) == "an object", "message", "must be an object, not %s", kind(r.Message))
	if r.Timeout != nil {
		v.check(*r.Timeout > 0 && *r.Timeout <= maxWaitSeconds, "timeout_seconds", "%v is out of range; use more than 0 and at most %d", *r.Timeout, maxWaitSeconds)
	}
	return v.bad
}

// about checks what every declaration about a standing container carries.
func about(d *Declaring, containerID string) *validation {
	v := &validation{}
	v.declaring(d)
	v.container(containerID)
	return v
}

func (v *validation) declaring(d *Declaring) {
	v.asked(&d.Asked)
	if d.IdempotencyKey != nil {
		n := utf8.RuneCountInString(*d.IdempotencyKey)
		v.check(n >= 16 && n <= 128, "idempotency_key", "has %d characters; use 16 to 128", n)
		v.text("idempotency_key", *d.IdempotencyKey)
	}
	v.check(d.IfGeneration == nil || *d.IfGeneration >= 0, "if_generation", "is out of range; use 0 (there is none yet) or more")
	v.wait(&d.Waiting)
}

func (v *validation) asked(a *Asked) {
	v.check(len(a.RequestID) <= maxReferenceBytes, "request_id", "may have at most %d bytes", maxReferenceBytes)
}

func (v *validation) container(id string) {
	v.check(id != "", "container_id", "is required: the container's id, name or Docker id")
	v.check(len(id) <= maxReferenceBytes, "container_id", "has %d bytes; ids and names have at most 64", len(id))
}

func (v *validation) wait(w *Waiting) {
	if w.Wait != nil {
		v.between("wait_seconds", *w.Wait, 1, maxWaitSeconds)
	}
	if w.For != "" {
		v.oneOf("wait_for", w.For, WaitForRunning, WaitForReady, WaitForAvailable)
	}
}

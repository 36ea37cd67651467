package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// ErrorType is the machine-readable code of an error.
type ErrorType string

// The error types of the wire. A client branches on these and shows the message to people.
const (
	ImageNotFound         ErrorType = "image_not_found"
	ContainerNotFound     ErrorType = "container_not_found"
	DockerAPIError        ErrorType = "docker_api_error"
	DockerUnavailable     ErrorType = "docker_unavailable"
	SocketError           ErrorType = "socket_error"
	SocketTimeoutError    ErrorType = "socket_timeout_error"
	SocketConnectionError ErrorType = "socket_connection_error"
	MessageFormatError    ErrorType = "message_format_error"
	ValidationError       ErrorType = "validation_error"
	ConflictError         ErrorType = "conflict_error"
	PermissionError       ErrorType = "permission_error"
	AuthenticationError   ErrorType = "authentication_error"
	PolicyError           ErrorType = "policy_error"
	RateLimitError        ErrorType = "rate_limit_error"
	ResourceExpiredError  ErrorType = "resource_expired_error"
	TimeoutError          ErrorType = "timeout_error"
	SystemError           ErrorType = "system_error"
)

// FieldError names one bad field of a request and what is wrong with it.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is what a client is told. Its message says what was wrong, with which value, and what to do.
type Error struct {
	Type        ErrorType
	Message     string
	Operation   string
	ContainerID string
	RequestID   string
	Fields      []FieldError
	Details     map[string]any
	// Err is the cause, for the log and for errors.Is; a client never sees it.
	Err error
}

// Errorf makes an error of type t whose message clients may read.
func Errorf(t ErrorType, format string, args ...any) *Error {
	return &Error{Type: t, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes a validation error out of fields, whose first three are spelled out in its message.
func Invalid(fields ...FieldError) *Error {
	return &Error{Type: ValidationError, Message: summary(fields), Fields: fields}
}

func summary(fields []FieldError) string {
	said := make([]string, 0, 3)
	for _, f := range fields[:min(len(fields), cap(said))] {
		said = append(said, f.Field+": "+f.Message)
	}
	message := strings.Join(said, "; ")
	if more := len(fields) - len(said); more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	return message
}

// AsError finds the Error in err's chain; any other error becomes a system error that tells a client nothing of its cause.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Type: SystemError, Message: "the manager could not do this; its log says why", Err: err}
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Type, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Type, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// With returns a copy of e that has detail key set to value.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = map[string]any{}
	}
	c.Details[key] = value
	return &c
}

// For returns a copy of e that names the operation, the request and the container it belongs to; empty arguments change nothing.
func (e *Error) For(operation, requestID, containerID string) *Error {
	c := *e
	if operation != "" {
		c.Operation = operation
	}
	if requestID != "" {
		c.RequestID = requestID
	}
	if containerID != "" {
		c.ContainerID = containerID
	}
	return &c
}

// Because returns a copy of e with err as its cause.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Masked returns a copy of e that tells no secrets. The cause stays as it is: it is for the log, which masks its lines.
func (e *Error) Masked(r Redactor) *Error {
	c := *e
	c.Message = r.Text(e.Message)
	if len(e.Fields) > 0 {
		c.Fields = make([]FieldError, len(e.Fields))
		for i, f := range e.Fields {
			c.Fields[i] = FieldError{r.Text(f.Field), r.Text(f.Message)}
		}
		c.Message = summary(c.Fields) // as a whole it would read like values that are given to keys
	}
	if e.Details != nil {
		c.Details = r.members(e.Details)
	}
	return &c
}

type errorBody struct {
	Error     bool           `json:"error"`
	ErrorType ErrorType      `json:"error_type"`
	Message   string         `json:"message"`
	Details   map[string]any `json:"details"`
	RequestID string         `json:"request_id,omitempty"`
	Timestamp time.Time      `json:"timestamp"`
}

// Body is the error object of the wire, stamped with now. What is a secret by its form is masked; the secrets of a
// container's environment are the caller's to mask.
func (e *Error) Body(now time.Time) json.RawMessage {
	e = e.Masked(Redactor{})
	details := maps.Clone(e.Details)
	if details == nil {
		details = map[string]any{}
	}
	if e.Operation != "" {
		details["operation"] = e.Operation
	}
	if e.ContainerID != "" {
		details["container_id"] = e.ContainerID
	}
	if len(e.Fields) > 0 {
		details["fields"] = e.Fields
	}
	return Encode(errorBody{true, e.Type, e.Message, details, e.RequestID, now.UTC()})
}

// Encode marshals v, one of this package's own types, without escaping HTML.
func Encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("api: encoding %T: %v", v, err)) // only a type of ours that cannot be encoded gets here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Failure is an error that the server told: a request it refused, or the end of something it had accepted.
type Failure struct {
	Type      api.ErrorType   `json:"error_type"`
	Message   string          `json:"message"`
	Details   json.RawMessage `json:"details"`
	RequestID string          `json:"request_id"`
}

// Error is the message, and the type in brackets.
func (f *Failure) Error() string {
	message := hints.Replace(f.Message)
	if f.Type == "" {
		return message
	}
	return fmt.Sprintf("%s (%s)", message, f.Type)
}

func (f *Failure) fields() []api.FieldError {
	var details struct {
		Fields []api.FieldError `json:"fields"`
	}
	if f == nil || json.Unmarshal(f.Details, &details) != nil {
		return nil // details of another shape: the message stands for them
	}
	return details.Fields
}

// failing is how what was declared has failed, as far as an error tells.
type failing struct {
	Reason   string   `json:"reason"`
	ExitCode *int     `json:"exit_code"`
	Logs     []string `json:"logs"`
}

func failingOf(err error) failing {
	if hopeless, ok := errors.AsType[*hopelessError](err); ok {
		return hopeless.failing
	}
	f, ok := errors.AsType[*Failure](err)
	var details failing
	if !ok || f.Type == api.AuthenticationError || json.Unmarshal(f.Details, &details) != nil {
		return failing{} // of a login, or of another shape: the message stands for them
	}
	return details
}

// hopelessError is a container that will not become by itself what is waited for.
type hopelessError struct {
	failing
	name    string
	message string
}

func (e *hopelessError) Error() string { return hints.Replace(e.message) }

// failureOf reads an error object; a body of another shape is quoted as it is.
func failureOf(body json.RawMessage) *Failure {
	f := &Failure{}
	if err := json.Unmarshal(body, f); err != nil || f.Message == "" {
		return &Failure{Type: f.Type, Message: fmt.Sprintf("the server told an error that cannot be read: %.200s", body)}
	}
	return f
}

// How a session of a watch may end.
var (
	errSeen = errors.New("all was seen that was waited for")
	errAnew = errors.New("this session is no longer whole")
)

// timeoutError is an answer that did not come in time.
type timeoutError struct {
	missed string
	after  time.Duration
	now    string // what it is instead, where that is known
}

func (e *timeoutError) Error() string {
	instead := ""
	if e.now != "" {
		instead = "; it is " + e.now
	}
	return fmt.Sprintf("%s within %s%s (%s)", e.missed, e.after, instead, api.TimeoutError)
}

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// connectionError is one that was not there, or is no longer.
type connectionError struct{ error }

func disconnected(format string, args ...any) error {
	return connectionError{fmt.Errorf(format, args...)}
}

func (e connectionError) Unwrap() error { return e.error }

// several are the errors of a run that went on behind the first.
type several []error

func (s several) Error() string { return errors.Join(s...).Error() }

// orNil is nil where nothing failed.
func (s several) orNil() error {
	if len(s) == 0 {
		return nil
	}
	return s
}

func each(err error) []error {
	if s, ok := err.(several); ok {
		return s
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// exitCode is 3 only where nothing worse than a time-out happened.
func exitCode(err error) int {
	code := exitOK
	for _, err := range each(err) {
		switch {
		case isTimeout(err):
			code = max(code, exitTimeout)
		case isUsage(err):
			return exitUsage
		default:
			return exitError
		}
	}
	return code
}

func isUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	return ok
}

func isTimeout(err error) bool {
	if _, ok := errors.AsType[*timeoutError](err); ok {
		return true
	}
	f, ok := errors.AsType[*Failure](err)
	return ok && (f.Type == api.TimeoutError || f.Type == api.SocketTimeoutError)
}

// refused tells whether err came from the server, which then still answers.
func refused(err error) bool {
	_, ok := errors.AsType[*Failure](err)
	return ok
}

func refusedAs(err error, kind api.ErrorType) bool {
	f, ok := errors.AsType[*Failure](err)
	return ok && f.Type == kind
}

// lost tells whether err was the connection's, or an answer's that did not come, so that another connection may do better.
func lost(err error) bool {
	_, broken := errors.AsType[connectionError](err)
	_, late := errors.AsType[*timeoutError](err)
	return broken || late
}

package api

import (
	"math"
	"slices"
	"strings"
	"time"
)

// RateLimited is what a client is told that asks for more than the limits allow.
func RateLimited(retryAfter time.Duration, format string, args ...any) *Error {
	return Errorf(RateLimitError, format, args...).With("retry_after", math.Ceil(retryAfter.Seconds()))
}

// UnknownEvent is what a client is told that sends an event of which there is none, or none for anybody.
func UnknownEvent(name string) *Error {
	if meant := Similar(name, slices.Values(Requests())); meant != "" {
		return Errorf(ValidationError, "there is no event %q; did you mean %s?", name, meant)
	}
	return Errorf(ValidationError, "there is no event %q; these are: %s", name, strings.Join(Requests(), ", "))
}

// InternalError is what a client is told whose request met a bug.
func InternalError() *Error {
	return Errorf(SystemError, "the manager met a bug while doing this; its log has the details")
}

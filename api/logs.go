package api

import (
	"regexp"
	"strings"
	"time"
)

// The bounds of what can be read back.
const (
	// MaxActivity is how many entries one get_activity gives, DefaultActivity how many where it does not say.
	MaxActivity     = 1000
	DefaultActivity = 100
	maxTail         = 100_000
)

// ActivityRequest is get_activity: the newest entries, of one container or of all.
type ActivityRequest struct {
	Asked
	ContainerID string `json:"container_id"`
	Since       string `json:"since"`
	Limit       int    `json:"limit"`
}

// Validate checks the bounds; an empty container is all of them.
func (r *ActivityRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.check(len(r.ContainerID) <= maxReferenceBytes, "container_id", "has %d bytes; ids and names have at most 64", len(r.ContainerID))
	v.moment("since", r.Since)
	v.between("limit", r.Limit, 0, MaxActivity)
	return v.bad
}

// LogsRequest is get_logs. Without Tail it gives all that the engine keeps. A LogID that the client chose is known to it before the
// acknowledgement, which may be handled later than the first lines.
type LogsRequest struct {
	Asked
	LogID       string `json:"log_id"`
	ContainerID string `json:"container_id"`
	Tail        *int   `json:"tail"`
	Since       string `json:"since"`
	Follow      bool   `json:"follow"`
	Timestamps  bool   `json:"timestamps"`
}

// Validate checks the bounds.
func (r *LogsRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.container(r.ContainerID)
	if r.Tail != nil {
		v.between("tail", *r.Tail, 0, maxTail)
	}
	v.moment("since", r.Since)
	v.check(r.LogID == "" || logIDForm.MatchString(r.LogID), "log_id", "must be 1 to 64 letters, digits, dots, dashes and underscores, or left out")
	return v.bad
}

// logIDForm is that of the ids that clients choose; those of the server have it too.
var logIDForm = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// StopLogsRequest is stop_logs.
type StopLogsRequest struct {
	Asked
	LogID string `json:"log_id"`
}

// Validate checks that it names something.
func (r *StopLogsRequest) Validate() []FieldError {
	v := validation{}
	v.asked(&r.Asked)
	v.check(r.LogID != "" && len(r.LogID) <= maxReferenceBytes, "log_id", "is required: the log_id that get_logs named, or was acknowledged with")
	return v.bad
}

// moment checks a time, where there is one.
func (v *validation) moment(field, text string) {
	_, ok := Moment(text)
	v.check(ok, field, "must be a time as 2006-01-02T15:04:05Z, fractions of a second and another offset allowed")
}

// Moment reads a time of RFC 3339; the empty text is the zero time.
func Moment(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil && !strings.Contains(text, ",") // which Go takes for a decimal point
}

// LogOptions say what to read of a container's output: the last Tail lines, -1 for all that are kept, not before Since, and with
// Follow what comes later too.
type LogOptions struct {
	Tail   int
	Since  time.Time
	Follow bool
}

// The streams of a container's output.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// LogLine is a line that a container wrote, without its end, or a piece of a long one. All pieces of a line have its time.
type LogLine struct {
	Stream string
	At     time.Time
	Text   string // as it was written; only whole lines need be UTF-8
	More   bool   // what comes next of the stream goes on with this line, if it has the same time
}

package api

import "time"

// EngineAway is why the engine is not known, or nothing is done by what it has, and since when.
type EngineAway struct {
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Error is the message, with the time.
func (a *EngineAway) Error() string {
	return a.Message + "; since " + a.Since.UTC().Format(time.RFC3339)
}

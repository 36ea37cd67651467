package docker

import (
	"strings"
	"testing"
)

func TestLeftTask(t *testing.T) {
	id := strings.Repeat("79c1", 16)
	tests := map[string]bool{
		"task " + id + ": already exists":          true,
		"task " + id + ": already exists: unknown": true,
		"":                           false,
		"no such command":            false,
		"task " + id + ": not found": false,
		"task " + strings.Repeat("0", 64) + ": already exists":             false,
		"driver failed: endpoint with name task already exists in network": false,
	}
	for text, want := range tests {
		if got := leftTask(id, text); got != want {
			t.Errorf("leftTask(%q) = %v", text, got)
		}
	}
}

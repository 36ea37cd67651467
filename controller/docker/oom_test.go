package docker

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lateEngine shows one container that has ended, and says what it hears of its memory when it is asked for events.
type lateEngine struct {
	ended       time.Time
	exitCode    int
	memory      int64
	oomKilled   bool
	hears       bool
	asked       int
	since, till string
}

func (e *lateEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		w.Header().Set("Api-Version", "1.41")
	case strings.HasSuffix(r.URL.Path, "/events"):
		e.asked++
		e.since, e.till = r.URL.Query().Get("since"), r.URL.Query().Get("until")
		if e.hears {
			fmt.Fprint(w, `{"Type":"container","Action":"oom","Actor":{"ID":"x"}}`)
		}
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{ // a client that hangs up fails its own test
			"Id": "x", "Config": map[string]any{}, "HostConfig": map[string]any{"Memory": e.memory},
			"State": map[string]any{"Status": "exited", "ExitCode": e.exitCode, "OOMKilled": e.oomKilled,
				"StartedAt": e.ended.Add(-time.Minute).Format(time.RFC3339Nano), "FinishedAt": e.ended.Format(time.RFC3339Nano)},
		})
	}
}

func TestRuntime_Inspect_MemoryThatTheEngineHearsOfLate(t *testing.T) {
	soon := time.Now().Add(time.Hour) // so that it is the end of the run and not now that says how long to listen
	tests := []struct {
		name   string
		engine lateEngine
		want   bool
		asked  int
	}{
		{"heard of late", lateEngine{exitCode: 137, memory: 1 << 25, hears: true}, true, 1},
		{"killed by somebody", lateEngine{exitCode: 137, memory: 1 << 25}, false, 1},
		{"heard of in time", lateEngine{exitCode: 137, memory: 1 << 25, oomKilled: true}, true, 0},
		{"no limit", lateEngine{exitCode: 137, hears: true}, false, 0},
		{"another end", lateEngine{exitCode: 1, memory: 1 << 25, hears: true}, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.engine.ended = soon
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: &tt.engine}
			go func() { _ = server.Serve(l) }() // it ends with Close
			t.Cleanup(func() { _ = server.Close() })
			r, err := New(Config{Host: "unix://" + socket})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			o, err := r.Inspect(t.Context(), "x")
			if err != nil || o.OOMKilled != tt.want || tt.engine.asked != tt.asked {
				t.Errorf("out of memory: %v (want %v), asked %d times, %v", o.OOMKilled, tt.want, tt.engine.asked, err)
			}
			if tt.asked > 0 && (tt.engine.since != eventTime(soon.Add(-time.Minute)) || tt.engine.till != eventTime(soon.Add(oomLag))) {
				t.Errorf("asked for %s to %s", tt.engine.since, tt.engine.till)
			}
		})
	}
}

func TestEventTime(t *testing.T) {
	if got := eventTime(time.Date(2026, 1, 2, 3, 4, 6, 678, time.UTC)); got != "1767323046.000000678" {
		t.Errorf("got %s", got)
	}
}

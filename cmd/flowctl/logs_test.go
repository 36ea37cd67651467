package main

import (
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestLogs(t *testing.T) {
	f := newFake(t)
	f.on["get_logs"] = func(s *session, r request) {
		s.emit("container_logs", `{"container_id":"id-a","log_id":"l","stream":"stdout","lines":["one","\ttwo\u001b[2J\r"]}`)
		s.ack(r, `{"ok":true,"log_id":"l"}`)
		s.emit("status_changed", `{}`)
		s.emit("container_logs", `{"container_id":"id-a","log_id":"l","stream":"stderr","lines":["oh no"]}`)
		s.emit("container_logs", `{"container_id":"id-a","log_id":"l","stream":"stdout","lines":[],"eof":true}`)
		s.emit("container_logs", `{"stream":"stdout","lines":["of another time"]}`)
	}
	wants(t, flowctl(t, "", "logs", "a"), result{Out: "one\n\ttwo\\x1b[2J\n", Err: "oh no\n"})
	wants(t, flowctl(t, "", "logs", "a", "-ft", "-n", "0", "--since", "2026-01-02T03:04:05+01:00", "-o", "json"), result{Out: `` +
		`{"container_id":"id-a","line":"one","stream":"stdout"}` + "\n" +
		`{"container_id":"id-a","line":"\ttwo\u001b[2J","stream":"stdout"}` + "\n" +
		`{"container_id":"id-a","line":"oh no","stream":"stderr"}` + "\n"})
	asked(t, f, request{Event: "get_logs", Body: map[string]any{"container_id": "a", "follow": false, "timestamps": false}},
		request{Event: "get_logs", Body: map[string]any{"container_id": "a", "follow": true, "timestamps": true, "tail": 0.0, "since": "2026-01-02T02:04:05Z"}})
}

func TestLogs_Follow(t *testing.T) {
	f := newFake(t)
	f.on["get_logs"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"log_id":"l"}`)
		s.emit("container_logs", `{"stream":"stdout","lines":["one"]}`)
	}
	w := begin(t, "logs", "a", "-f")
	w.shows("one")
	wants(t, w.interrupted(), result{Code: exitInterrupted})
}

// Over a lost connection a log goes on behind the last line that was shown. Who does not follow is told that it is not whole.
func TestLogs_Resumes(t *testing.T) {
	f := newFake(t)
	var sessions atomic.Int32
	f.on["get_logs"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"log_id":"l"}`)
		switch sessions.Add(1) {
		case 2:
			s.emit("container_logs", `{"stream":"stdout","lines":["2026-01-02T03:04:05.000000006Z one","2026-01-02T03:04:06.000000007Z two two"]}`)
		case 4:
			s.emit("container_logs", `{"stream":"stdout","lines":["2026-01-02T03:04:07.000000000Z three"]}`)
			s.emit("container_logs", `{"stream":"stdout","lines":[],"eof":true}`)
			return
		}
		_ = s.conn.Close()
	}
	lost := "lost the connection to " + f.url + ": websocket: close 1006 (abnormal closure): unexpected EOF"
	w := begin(t, "logs", "a", "-f", "-n", "5")
	w.shows("one", "two two", "three")
	wants(t, w.ends(), result{Err: strings.Repeat(lost+"; connecting again\n", 3)})
	body := map[string]any{"container_id": "a", "follow": true, "timestamps": true}
	first, next := maps.Clone(body), maps.Clone(body)
	first["tail"], next["since"] = 5.0, "2026-01-02T03:04:06.000000008Z"
	asked(t, f, request{Event: "get_logs", Body: first}, request{Event: "get_logs", Body: first}, request{Event: "get_logs", Body: next}, request{Event: "get_logs", Body: next})
	wants(t, flowctl(t, "", "logs", "a"), result{Code: exitError, Err: "error: " + lost + "\n"})
}

// Parts of a line are shown as the one line that they are, whole, wherever the connection is lost.
func TestLogs_ResumesWithinALine(t *testing.T) {
	const t1, t2, t3 = "2026-01-02T03:04:05.000000001Z", "2026-01-02T03:04:05.000000002Z", "2026-01-02T03:04:05.000000003Z"
	for name, more := range map[string]string{
		"the same parts": `"stream":"stdout","partial":true,"lines":["` + t1 + ` abc"]`,
		"other parts":    `"stream":"stdout","partial":true,"lines":["` + t1 + ` abcde"]`,
		"one":            `"stream":"stderr","lines":["` + t2 + ` oh no"]`,
	} {
		f := newFake(t)
		var sessions atomic.Int32
		f.on["get_logs"] = func(s *session, r request) {
			s.ack(r, `{"ok":true,"log_id":"l"}`)
			if sessions.Add(1) == 1 {
				s.emit("container_logs", `{"stream":"stdout","partial":true,"lines":["`+t1+` abc"]}`)
				s.emit("container_logs", `{"stream":"stderr","lines":["`+t2+` oh no"]}`)
				_ = s.conn.Close()
				return
			}
			rest := `"` + t1 + ` abcdefg"`
			s.emit("container_logs", `{`+more+`}`)
			switch name {
			case "the same parts":
				rest = `"` + t1 + ` defg"`
			case "other parts":
				rest = `"` + t1 + ` fg"`
			}
			s.emit("container_logs", `{"stream":"stdout","lines":[`+rest+`,"`+t3+` next"]}`)
			s.emit("container_logs", `{"stream":"stdout","lines":[],"eof":true}`)
		}
		w := begin(t, "logs", "a", "-f")
		w.shows("abcdefg", "next")
		got := w.ends()
		lost := "lost the connection to " + f.url + ": websocket: close 1006 (abnormal closure): unexpected EOF; connecting again\n"
		t.Run(name, func(t *testing.T) { wants(t, got, result{Err: "oh no\n" + lost}) })
		body := map[string]any{"container_id": "a", "follow": true, "timestamps": true}
		next := maps.Clone(body)
		next["since"] = t1
		asked(t, f, request{Event: "get_logs", Body: body}, request{Event: "get_logs", Body: next})
	}
}

func TestLogs_PartsAsJSON(t *testing.T) {
	f := newFake(t)
	f.on["get_logs"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"log_id":"l"}`)
		s.emit("container_logs", `{"container_id":"id-a","stream":"stdout","partial":true,"lines":["one","two"]}`)
		s.emit("container_logs", `{"container_id":"id-a","stream":"stdout","lines":["three"],"eof":true}`)
	}
	wants(t, flowctl(t, "", "logs", "a", "-o", "json"), result{Out: `` +
		`{"container_id":"id-a","line":"one","stream":"stdout"}` + "\n" +
		`{"container_id":"id-a","line":"two","partial":true,"stream":"stdout"}` + "\n" +
		`{"container_id":"id-a","line":"three","stream":"stdout"}` + "\n"})
}

func TestLogs_Err(t *testing.T) {
	f := newFake(t)
	tests := map[string]struct {
		answer func(s *session, r request)
		want   string
	}{
		"refused": {func(s *session, r request) { s.refuse(r, "container_not_found", "no a", `{}`) }, "error: no a (container_not_found)\n"},
		"later": {func(s *session, r request) {
			s.ack(r, `{"ok":true}`)
			s.answer(request{Body: map[string]any{"request_id": "other"}}, "error", `"message":"not ours"`)
			s.answer(r, "error", `"error_type":"docker_unavailable","message":"the engine is gone"`)
		}, "error: the engine is gone (docker_unavailable)\n"},
		"unreadable": {func(s *session, r request) { s.ack(r, `{}`); s.emit("container_logs", `{"lines":7}`) },
			`error: the server sent something that is not Socket.IO: container_logs "{\"lines\":7}"` + "\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f.on["get_logs"] = tt.answer
			wants(t, flowctl(t, "", "logs", "a", "-f"), result{Code: exitError, Err: tt.want})
		})
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"10m": now.Add(-10 * time.Minute), "0s": now, "2026-01-02T11:00:00Z": now.Add(-time.Hour)} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"-1s", "yesterday", "10"} {
		if got, err := parseSince(text, now); !isUsage(err) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

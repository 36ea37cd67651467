package main

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	f := newFake(t)
	f.on["list_containers"] = func(s *session, r request) {
		s.ack(r, `{"containers":[`+item("web", 0, "")+`,`+item("e\x1b[2Jvil", 0, "")+`]}`)
	}
	for args, want := range map[string]string{
		"stop|":                  "web\ne\\x1b[2Jvil\n:4\n",
		"get|web|":               "web\ne\\x1b[2Jvil\n:4\n",
		"logs|":                  "web\ne\\x1b[2Jvil\n:4\n",
		"logs|web|":              ":4\n",
		"send|web|":              ":4\n",
		"wait|web|--for|":        "available\nready\nrunning\nstopped\ncompleted\ndeleted\n:4\n",
		"get|--output|":          "table\njson\nyaml\n:4\n",
		"events|--type|status_c": "status_changed\n:4\n",
		"get|--context|":         ":4\n",
		"context|use|":           ":4\n",
	} {
		got := flowctl(t, "", append([]string{"__complete"}, strings.Split(args, "|")...)...)
		if args == "events|--type|status_c" {
			got.Out = strings.Join(strings.Split(got.Out, "\n")[len(strings.Split(got.Out, "\n"))-3:], "\n")
		}
		if got.Code != exitOK || got.Out != want {
			t.Errorf("%s: got %+v, want %q", args, got, want)
		}
	}
	inFile(t, "contexts: {lab: {server: '"+f.url+"'}, prod: {server: 'http://127.0.0.1:1'}}", 0o600)
	t.Setenv("FLOWCTL_SERVER", "http://127.0.0.1:1")
	for args, want := range map[string]string{
		"context|use|":     "lab\nprod\n:4\n",
		"context|delete|":  "lab\nprod\n:4\n",
		"context|use|lab|": ":4\n",
		"get|--context|":   "lab\nprod\n:4\n",
		"stop|":            ":4\n", // there is no server
		"stop|--server|" + f.url + "|--output|nonsense|": ":4\n",
	} {
		got := flowctl(t, "", append([]string{"__complete"}, strings.Split(args, "|")...)...)
		if got.Code != exitOK || !strings.HasSuffix(got.Out, want) {
			t.Errorf("%s: got %+v, want %q", args, got, want)
		}
	}
	got := flowctl(t, "", "__complete", "stop", "--context", "lab", "")
	if !strings.HasPrefix(got.Out, "web\n") {
		t.Errorf("by a context: %+v", got)
	}
	inFile(t, "a: [", 0o600)
	if got := flowctl(t, "", "__complete", "stop", ""); got.Code != exitOK || got.Out != ":4\n" {
		t.Errorf("with a broken file: %+v", got)
	}
}

func TestCompletion_Scripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := flowctl(t, "", "completion", shell); got.Code != exitOK || !strings.Contains(got.Out, "flowctl") {
			t.Errorf("%s: %d, %d bytes", shell, got.Code, len(got.Out))
		}
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUpdate_Members(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("patch.yaml", []byte("environment: {A: null}\nports: {8080: 0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	f.on["update_container"] = func(s *session, r request) { s.ack(r, declared("a", 2, 1, true)) }
	tests := []struct {
		args string
		want map[string]any
	}{
		{"--image app:2", map[string]any{"spec": map[string]any{"image": "app:2"}}},
		{"--code src --retry", map[string]any{"code_path": filepath.Join(dir, "src"), "retry": true}},
		{"--pull", map[string]any{"pull": true}},
		{`--patch {"user":"1","n":9007199254740993} --image app:2`, map[string]any{"spec": map[string]any{"image": "app:2", "user": "1", "n": 9007199254740993.0}}},
		{"--patch @patch.yaml", map[string]any{"spec": map[string]any{"environment": map[string]any{"A": nil}, "ports": map[string]any{"8080": 0.0}}}},
		{"--patch @-", map[string]any{"spec": map[string]any{"user": "2"}}},
	}
	for _, tt := range tests {
		got := flowctl(t, "user: '2'", append([]string{"update", "a"}, strings.Fields(tt.args)...)...)
		wants(t, got, result{Out: "a update accepted (generation 2)\n"})
		tt.want["container_id"] = "a"
		seen := f.seen()
		if diff := cmp.Diff(tt.want, seen[len(seen)-1].Body); diff != "" {
			t.Errorf("%s: %s", tt.args, diff)
		}
	}
	for args, want := range map[string]string{
		"":                                "say what to update: --image",
		`--patch {"image":"x"} --image y`: "--image and --patch both give an image",
		"--patch {":                       "--patch:1: not valid JSON",
		"--patch []":                      "--patch:1: a document must be an object",
		"--patch {}":                      "--patch must be one object that has something in it",
	} {
		got := flowctl(t, "", append([]string{"update", "a"}, strings.Fields(args)...)...)
		if got.Code != exitUsage || !strings.HasPrefix(got.Err, "error: "+want) {
			t.Errorf("%s: got %+v", args, got)
		}
	}
	if got := flowctl(t, "", "update", "a", "--patch", "@none.yaml"); got.Code != exitError || !strings.Contains(got.Err, "none.yaml: no such file") {
		t.Errorf("got %+v", got)
	}
}

func TestDeclaring_Members(t *testing.T) {
	f := newFake(t)
	for _, event := range []string{"delete_container", "rollback_container"} {
		f.on[event] = func(s *session, r request) { s.ack(r, declared("a", 2, 1, true)) }
	}
	for args, want := range map[string]map[string]any{
		"delete a":                          {},
		"delete a --force":                  {"force": true},
		"delete a --remove-volumes":         {"remove_volumes": true},
		"rollback a":                        {},
		"rollback a --to-generation 1":      {"to_generation": 1.0},
		"rollback a --dry-run":              {"dry_run": true},
		"delete a --dry-run --wait-timeout": nil,
		"rollback a --to-generation 0":      nil,
		"rollback a --wait --dry-run":       nil,
	} {
		got := flowctl(t, "", strings.Fields(args)...)
		if want == nil {
			if got.Code != exitUsage {
				t.Errorf("%s: %+v", args, got)
			}
			continue
		}
		want["container_id"] = "a"
		seen := f.seen()
		if diff := cmp.Diff(want, seen[len(seen)-1].Body); got.Code != exitOK || diff != "" {
			t.Errorf("%s: %+v %s", args, got, diff)
		}
	}
}

func TestRehearse(t *testing.T) {
	f := newFake(t)
	answers := map[string]string{
		"new":  `{"ok":true,"dry_run":true,"changed":true,"effect":"create","lost":[],"why":[]}`,
		"same": `{"ok":true,"dry_run":true,"changed":false,"effect":"none","lost":[],"why":[]}`,
		"old":  `{"ok":true,"dry_run":true,"changed":true,"effect":"recreate","lost":["the writable layer","its \u001b[1mvolumes"],"why":[{"field":"image","cost":"recreate"},{"field":"user","cost":"recreate"}]}`,
		"soft": `{"ok":true,"dry_run":true,"changed":true,"effect":"none","lost":[],"why":[{"field":"readiness","cost":"none"}]}`,
		"odd":  `{"ok":true,"dry_run":true,"changed":true,"effect":"melt"}`,
	}
	f.on["apply_container"] = func(s *session, r request) {
		if r.Body["dry_run"] != true {
			t.Error("it is declared")
		}
		if answer := answers[fmt.Sprint(r.Body["name"])]; answer != "" {
			s.ack(r, answer)
			return
		}
		s.refuse(r, "validation_error", "no such image", `{}`)
	}
	wants(t, flowctl(t, documents("new", "same", "bad", "old", "soft", "odd"), "apply", "-f", "-", "--dry-run"), result{Code: exitError, Err: "error: stdin:5: no such image (validation_error)\n",
		Out: `new would be created (dry run)
same would stay as it is (dry run)
old would be made anew for image (recreate), user (recreate), and lose the writable layer and its \x1b[1mvolumes (dry run)
soft would change without being touched for readiness (none) (dry run)
odd would melt (dry run)
`})
	got := flowctl(t, documents("same"), "apply", "-f", "-", "--dry-run", "-o", "yaml")
	wants(t, got, result{Out: "ok: true\ndry_run: true\nchanged: false\neffect: none\nlost: []\nwhy: []\n"})
}

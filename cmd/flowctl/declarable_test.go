package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// Whatever cannot be declared of several documents is told at once, with where it stands, and nothing is sent.
func TestApply_ErrUndeclarable(t *testing.T) {
	f := newFake(t)
	text := "name: good\nimage: x\n---\nname: bad\nimage: UPPER\nenvironment:\n  PASSWORD: 0123\nports:\n  80: 65536\n" +
		"---\nname: worse\nimage: x\nvolumes: {data: proc}\nhealthcheck:\n  test:\n    - CMD\n    - \"\"\n---\nimage: x\n---\nname: odd\nimage: x\nimag: y\n"
	wants(t, flowctl(t, text, "apply", "-f", "-"), result{Code: exitError, Err: `error: stdin:9: ports.80: 65536 is no port; use 0 (the manager picks one) to 65535
error: stdin:13: volumes.data: "proc" must be an absolute path without '.', '..', double or trailing slashes
error: stdin:17: healthcheck.test[1]: is empty; leave it out, or write what is to be run
error: stdin:19: name: is required: it says which container this is
error: stdin:23: imag: is not a known field; did you mean image?
`})
	wants(t, flowctl(t, `{"name":"ab","image":"x","environment":{"A":1.10}}`, "apply", "-f", "-"), result{Code: exitError,
		Err: "error: stdin:1: environment.A: must be a string, not 1.10\n"})
	asked(t, f)
}

func TestApply_ErrRequestMembers(t *testing.T) {
	f := newFake(t)
	text := "name: ab\nimage: x\ndry_run: true\n---\nname: cd\nimage: x\nwait_seconds: 5\nidempotency_key: x\nwait_for: ready\nif_generation: 1\nrequest_id: r\n"
	wants(t, flowctl(t, text, "apply", "-f", "-"), result{Code: exitError, Err: `error: stdin:3: dry_run: is of the request, and not of the container; give --dry-run
error: stdin:8: idempotency_key: is of the request, and not of the container; leave it out
error: stdin:10: if_generation: is of the request, and not of the container; leave it out
error: stdin:11: request_id: is of the request, and not of the container; leave it out
error: stdin:9: wait_for: is of the request, and not of the container; give --wait-for
error: stdin:7: wait_seconds: is of the request, and not of the container; give --wait and --wait-timeout
`})
	asked(t, f)
}

// What was printed for a viewer is not declared, for secrets are masked in it.
func TestApply_ErrMasked(t *testing.T) {
	f := newFake(t)
	text := "name: ab\nspec:\n  image: x\n  environment:\n    A: '[FILTERED]'\n  command: ['[FILTERED]']\n"
	got := flowctl(t, text, "apply", "-f", "-")
	if got.Code != exitError || !strings.HasPrefix(got.Err, "error: stdin:5: environment.A: is masked") || !strings.Contains(got.Err, "\nerror: stdin:6: command[0]: is masked") {
		t.Errorf("got %+v", got)
	}
	asked(t, f)
}

func TestGet_Export(t *testing.T) {
	f := newFake(t)
	container := `{"id":"d8fk2v6s3nvg00abcd0g","name":"web","labels":{"b":"1.10","a":"no"},"created_at":"2026-12-01T00:00:00Z","created_by":"me","generation":3,
		"resource_version":"E-9","spec":{"image":"x","environment":{"A":"0123","B":"2026-12-01"},"ports":{"80":"127.0.0.1:8080"},"init":false},"status":{"state":"running"}}`
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"ok":true,"containers":[`+item("web", 0, "")+`]}`) }
	f.on["get_container"] = func(s *session, r request) {
		if r.Body["container_id"] == "none" {
			s.refuse(r, "container_not_found", "there is no container none", `{}`)
			return
		}
		s.ack(r, `{"container":`+container+`}`)
	}
	f.on["apply_container"] = func(s *session, r request) { s.ack(r, declared("web", 3, 3, false)) }
	text := `name: web
labels:
    a: "no"
    b: "1.10"
image: x
environment:
    A: "0123"
    B: "2026-12-01"
ports:
    "80": 127.0.0.1:8080
init: false
`
	wants(t, flowctl(t, "", "get", "--export"), result{Out: text})
	wants(t, flowctl(t, "", "get", "web", "none", "--export"), result{Code: exitError, Out: text, Err: "error: none: there is no container none (container_not_found)\n"})
	body := map[string]any{"name": "web", "image": "x", "labels": map[string]any{"a": "no", "b": "1.10"}, "environment": map[string]any{"A": "0123", "B": "2026-12-01"},
		"ports": map[string]any{"80": "127.0.0.1:8080"}, "init": false}
	for _, args := range []string{"get --export", "get web -o yaml", "get web -o json", "get web --export -o json", "get -o yaml"} {
		printed := flowctl(t, "", strings.Fields(args)...)
		wants(t, flowctl(t, printed.Out, "apply", "-f", "-"), result{Out: "web unchanged (generation 3)\n"})
		seen := f.seen()
		if diff := cmp.Diff(body, seen[len(seen)-1].Body); diff != "" {
			t.Errorf("%s:\n%s", args, diff)
		}
	}
	wants(t, flowctl(t, "", "get", "--export", "--watch"), result{Code: exitUsage, Err: "error: give --watch or --export, not both\n"})
}

// Whatever a container is declared by comes back from what is printed of it.
func TestExported_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom([]string{"0123", "1.10", "yes", "null", "~", "", "2026-12-01", ".nan", "0x10", "1_0", "[FILTERED] or not", "a: b", "- a", "*x", "<<", "!!int", "tab\t", "two\nlines\n", "\u2028", "漢"}), rapid.String())
		spec := api.Spec{Image: "x", Environment: rapid.MapOf(rapid.StringMatching(`[A-Z0-9._]{1,5}`), text).Draw(t, "environment"),
			Command: rapid.SliceOf(text).Draw(t, "command"), User: text.Draw(t, "user"), DesiredState: api.DesiredRunning}
		spec.Default("web")
		want := api.Container{Name: "web", Labels: rapid.MapOf(text, text).Draw(t, "labels"), CreatedAt: time.Unix(0, 0).UTC(), Spec: spec}
		object := api.Encode(want)
		flat, err := exported(object)
		if err != nil {
			t.Fatal(err)
		}
		for _, printed := range []json.RawMessage{object, flat} {
			for _, print := range []func(json.RawMessage) ([]byte, error){yamlText, jsonText} {
				text, err := print(printed)
				if err != nil {
					t.Fatal(err)
				}
				documents, err := parseDocuments("f", text, declarations())
				if err != nil || len(documents) != 1 {
					t.Fatalf("%s: %v", text, err)
				}
				d := documents[0].flattened()
				var got api.DeclareRequest
				if err := json.Unmarshal(api.Encode(d.body), &got); err != nil {
					t.Fatal(err)
				}
				if len(got.Labels) == 0 {
					got.Labels = want.Labels
				}
				if diff := cmp.Diff(fmt.Sprintf("%s %s %s", want.Name, api.Encode(want.Labels), api.Encode(spec)), fmt.Sprintf("%s %s %s", got.Name, api.Encode(got.Labels), api.Encode(got.Spec))); diff != "" {
					t.Errorf("%s\n%s", text, diff)
				}
			}
		}
	})
}

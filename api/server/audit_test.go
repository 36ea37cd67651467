package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// Each declaration is told to the log at info, and to the audit log, with who asked for it, whether it was accepted or not. Looks and
// rehearsals are none, and neither are sessions that come and go.
func TestAudit_SaysWhoDeclaredWhat(t *testing.T) {
	st, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var log, audit bytes.Buffer
	b := backed(st, &servertest.Parts{})
	b.Log, b.Audit = zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.InfoLevel), zerolog.New(zerolog.SyncWriter(&audit))
	s := New(b)
	end := servertest.Run(s, st)
	ann := admitted(t, s, session.Principal{Name: "ann", Role: api.Operator, Token: "tok1"})
	joe := admitted(t, s, session.Principal{Name: "joe", Role: api.Viewer, Token: "tok2"})
	declare := []string{api.CreateContainer, api.ApplyContainer, api.UpdateContainer, api.RollbackContainer, api.DeleteContainer,
		api.StartContainer, api.StopContainer, api.RestartContainer, api.PauseContainer, api.UnpauseContainer}
	ann.ask(t, api.ApplyContainer, `{"name":"web","image":"app","environment":{"DB_PASSWORD":"hunter22"},"request_id":"r1"}`)
	ann.ask(t, api.StopContainer, `{"container_id":"web"}`)
	ann.ask(t, api.ApplyContainer, `{"name":"web","image":"forbidden","dry_run":true}`)
	ann.ask(t, api.ApplyContainer, `{"name":"other","image":"forbidden","request_id":"r2"}`)
	ann.ask(t, api.GetContainer, `{"container_id":"none"}`)
	for _, event := range declare {
		joe.ask(t, event, `{"container_id":"web"}`)
	}
	ann.Close()
	joe.Close()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if log.String() != audit.String() {
		t.Errorf("the log has\n%s\nand the audit log\n%s", log.String(), audit.String())
	}
	want := []string{
		"accepted apply_container ann operator tok1 web r1 1 true <nil>",
		"accepted stop_container ann operator tok1 web <nil> 2 true <nil>",
		"refused apply_container ann operator tok1 other r2 <nil> <nil> policy_error",
	}
	for _, event := range declare {
		want = append(want, "refused "+event+" joe viewer tok2 web <nil> <nil> <nil> permission_error")
	}
	var got []string
	for line := range strings.Lines(audit.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil || l["session"] == nil || l["remote"] != "in-process" || l["level"] != "info" {
			t.Errorf("%v: %s", err, line)
		}
		name := l["name"]
		if name == nil {
			name = l["container_id"]
		}
		got = append(got, fmt.Sprintln(l["message"], l["operation"], l["principal"], l["role"], l["login_id"], name, l["request_id"], l["generation"], l["changed"], l["error_type"]))
		got[len(got)-1] = strings.TrimSpace(got[len(got)-1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(audit.String(), "hunter22") {
		t.Error("a secret is in the log")
	}
}

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

// tokens is an auth file, changed as its operator does.
type tokens struct {
	t    *testing.T
	path string
}

func newTokens(t *testing.T) *tokens {
	return &tokens{t, filepath.Join(t.TempDir(), "tokens.json")}
}

// run runs one of flow-manager's token commands and gives what it prints.
func (f *tokens) run(args ...string) (stdout, stderr string) {
	f.t.Helper()
	cmd := exec.Command(filepath.Join(binaries(f.t), "flow-manager"), append(append([]string{"token"}, args...), "--auth-file", f.path)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		f.t.Fatalf("token %s: %v\n%s", args, err, errs.String())
	}
	return strings.TrimSpace(out.String()), errs.String()
}

// create makes a token and gives it with its id.
func (f *tokens) create(name string, role api.Role) (token, id string) {
	f.t.Helper()
	token, said := f.run("create", name, "--role", string(role))
	if _, err := fmt.Sscanf(said, "Token %s of", &id); err != nil {
		f.t.Fatalf("no id in %q: %v", said, err)
	}
	return token, id
}

// login joins m with a token.
func (m *manager) login(token string) *wsClient {
	m.t.Helper()
	c, err := login(websocket.DefaultDialer, "ws://"+m.addr, token)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.close)
	return c
}

// The log tells at info, and the audit log too, who declared what and what was refused, by the id of their token; the file goes on where
// it is after a restart, and is made anew where somebody puts it aside and says so.
func TestAuth_DeclarationsAreAudited(t *testing.T) {
	t.Parallel()
	f := newTokens(t)
	token, id := f.create("ann", api.Operator)
	peek, peekID := f.create("joe", api.Viewer)
	path := filepath.Join(t.TempDir(), "audit.log")
	m := newManager(t, "--auth-file", f.path, "--audit-log", path)
	said := func(path string) (lines []string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var l object
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines = append(lines, fmt.Sprint(l["message"], " ", l["operation"], " ", l["principal"], " ", l["login_id"], " ", l["error_type"]))
		}
		return lines
	}
	name := named(t, "web")
	m.login(token).must(t, "create_container", object{"name": name, "image": echoImage})
	m.login(peek).refused(t, "delete_container", object{"container_id": name}, "permission_error")
	want := []string{"accepted create_container ann " + id + " <nil>", "refused delete_container joe " + peekID + " permission_error"}
	if diff := cmp.Diff(want, said(path)); diff != "" {
		t.Error(diff)
	}
	if log := m.log.tail(1 << 20); !strings.Contains(log, `"login_id":"`+id+`"`) {
		t.Errorf("the log does not tell by which token:\n%s", log)
	}
	m.stop()
	m.start()
	c := m.login(token)
	c.must(t, "delete_container", object{"container_id": name})
	if want = append(want, "accepted delete_container ann "+id+" <nil>"); !slices.Equal(said(path), want) {
		t.Errorf("after a restart: %q", said(path))
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	m.hup()
	m.eventually("the file is made anew", func() error {
		c.refused(t, "start_container", object{"container_id": "none"}, "container_not_found")
		_, err := os.Stat(path)
		return err
	})
}

// hup has the manager read its files again.
func (m *manager) hup() {
	m.t.Helper()
	if err := syscall.Kill(m.pid(), syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
}

// why is the error type and the reason of a refused login.
func why(err error) string {
	no, ok := errors.AsType[*refusal](err)
	if !ok {
		return fmt.Sprint(err)
	}
	details, _ := no.Data["details"].(object)
	return fmt.Sprintf("%v %v", no.Data["error_type"], details["reason"])
}

// contract are the events of the wire contract, whether this version has them or not.
var contract = []string{
	"create_container", "apply_container", "start_container", "stop_container", "restart_container", "pause_container", "unpause_container",
	"update_container", "rollback_container", "delete_container", "wait_container", "send_message", "get_container", "explain_container",
	"get_container_status", "get_status", "list_containers", "get_logs", "stop_logs", "get_activity", "subscribe", "unsubscribe",
}

// viewers are the events of the contract that change nothing and show no output.
var viewers = []string{"get_container", "get_container_status", "get_status", "list_containers", "explain_container", "get_activity", "subscribe", "unsubscribe"}

// Each cell is what a session of the column is answered to the row's event, whose body is refused by whoever looks at it.
func TestAuth_EveryEventForEveryRole(t *testing.T) {
	t.Parallel()
	file := newTokens(t)
	columns := []string{"no auth file", "no token", "wrong token", "viewer", "operator", "admin"}
	sessions := map[string]*wsClient{"no auth file": newManager(t).dial()}
	given := map[string]string{"wrong token": "fm_" + strings.Repeat("A", 43)}
	for _, role := range api.Roles() {
		given[string(role)], _ = file.create("the-"+string(role), role)
	}
	m := newManager(t, "--auth-file", file.path)
	for _, role := range api.Roles() {
		sessions[string(role)] = m.login(given[string(role)])
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-22s", "event")
	for _, column := range columns {
		fmt.Fprintf(&table, " %-16s", column)
	}
	for _, event := range contract {
		fmt.Fprintf(&table, "\n%-22s", event)
		for _, column := range columns {
			var got string
			if c := sessions[column]; c != nil {
				got = answered(t, c, event)
			} else {
				got = m.uninvited(event, given[column])
			}
			fmt.Fprintf(&table, " %-16s", got)
			if want := permitted(event, column); got != want {
				t.Errorf("%s, %s: got %s, want %s", event, column, got, want)
			}
		}
	}
	t.Logf("\n%s", table.String())
}

// permitted is what the contract gives a column.
func permitted(event, column string) string {
	switch {
	case strings.HasSuffix(column, " token"):
		return "not let in"
	case !slices.Contains(api.Requests(), event):
		return "unknown"
	case column == "viewer" && !slices.Contains(viewers, event):
		return "permission_error"
	}
	return "allowed"
}

func answered(t *testing.T, c *wsClient, event string) string {
	t.Helper()
	answer, err := c.ask(event, object{"container_id": "nobody", "no_such_field": true})
	switch {
	case err != nil:
		t.Fatal(err)
	case answer["error_type"] == "permission_error":
		return "permission_error"
	case strings.Contains(fmt.Sprint(answer["message"]), "there is no event"):
		return "unknown"
	case answer["error_type"] != "validation_error":
		t.Errorf("%s: %v", event, answer)
	}
	return "allowed"
}

// uninvited sends an event behind a login that is refused, and in the place of one.
func (m *manager) uninvited(event, token string) string {
	m.t.Helper()
	for _, login := range []string{fmt.Sprintf(`40{"token":%q}`, token), ""} {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+m.addr+"/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			m.t.Fatal(err)
		}
		defer conn.Close()
		if login != "" {
			err = conn.WriteMessage(websocket.TextMessage, []byte(login))
		}
		if err := errors.Join(err, conn.WriteMessage(websocket.TextMessage, []byte(`421["`+event+`",{}]`)), conn.WriteMessage(websocket.TextMessage, []byte("41"))); err != nil {
			m.t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				break
			}
			if text := string(frame); strings.HasPrefix(text, "40") || strings.HasPrefix(text, "42") || strings.HasPrefix(text, "43") {
				return text
			}
		}
	}
	return "not let in"
}

// A viewer watches a flow whose every secret place holds the same word, and asks all that it may.
func TestAuth_AViewerSeesNoSecretPlace(t *testing.T) {
	t.Parallel()
	const word = "xyzzy-planted"
	file := newTokens(t)
	viewer, _ := file.create("watcher", api.Viewer)
	operator, _ := file.create("owner", api.Operator)
	m := newManager(t, "--auth-file", file.path)
	watching, alike, owning := m.login(viewer), m.login(operator), m.login(operator)
	id := owning.run(t, object{"name": named(t, "masked"), "environment": object{"GREETING": word}, "command": []string{"-x", word}, "healthcheck": object{"test": []string{"CMD", "/" + word}}})
	send := func(message object) {
		owning.must(t, "send_message", object{"container_id": id, "message": message})
	}
	send(object{"type": "actor", "actor": "robot", "event": word, "data": object{"x": word}})
	send(object{"type": "log", "line": word})
	send(object{"type": "exit", "code": 3})
	// What the engine says about this one names its entrypoint.
	broken := owning.must(t, "apply_container", object{"name": named(t, "broken"), "image": echoImage, "entrypoint": []string{"/" + word}})["container_id"]
	for _, c := range []*wsClient{watching, alike} {
		heard := ""
		awaited := map[string]bool{"message_received": true, "actor_event": true, "crash of the first": true, "crash of the second": true}
		c.collect(t, &heard, func(e event) bool {
			kind := e.Name
			switch {
			case kind == "container_crashed" && e.Data["container_id"] == id:
				kind = "crash of the first"
			case kind == "container_crashed" && e.Data["container_id"] == broken:
				kind = "crash of the second"
			case kind == "activity_log":
				kind = e.Data["activity_type"].(string)
			}
			delete(awaited, kind)
			return len(awaited) == 0
		})
		for _, event := range []string{"get_container", "get_container_status", "get_status"} {
			for _, one := range []any{id, broken} {
				heard += fmt.Sprint(c.must(t, event, object{"container_id": one}))
			}
		}
		heard += fmt.Sprint(c.must(t, "list_containers", object{}))
		switch n := strings.Count(heard, word); {
		case c == alike && n < 8:
			t.Errorf("the test proves little: an operator meets the word %d times in %s", n, heard)
		case c == watching && n > 0:
			t.Errorf("a viewer meets the word %d times in %s", n, heard)
		case c == watching && !strings.Contains(heard, api.Filtered):
			t.Errorf("a viewer is told nothing: %s", heard)
		}
	}
}

func TestAuth_WhoAskedIsKept(t *testing.T) {
	file := newTokens(t)
	ann, _ := file.create("ann", api.Operator)
	annAgain, _ := file.create("ann", api.Admin)
	bob, _ := file.create("bob", api.Operator)
	m := newManager(t, "--auth-file", file.path)
	c, other := m.login(ann), m.login(bob)
	key := object{"name": named(t, "a"), "image": echoImage, "idempotency_key": "0123456789abcdef"}
	made := c.must(t, "create_container", key)
	if by := made["container"].(object)["created_by"]; by != "ann" {
		t.Errorf("created by %v", by)
	}
	activity, err := other.await("activity_log", func(o object) bool { return o["container_id"] == made["container_id"] })
	if err != nil {
		t.Fatal(err)
	}
	details, _ := activity["details"].(object)
	if activity["activity_type"] != "container_declared" || details["actor"] != "ann" || details["operation"] != "create_container" || activity["resource_version"] == nil {
		t.Errorf("activity: %v", activity)
	}
	// A key is its principal's, by whichever token, and nobody else's.
	if again := m.login(annAgain).must(t, "create_container", key); again["container_id"] != made["container_id"] {
		t.Errorf("repeated with another token: %v", again)
	}
	other.refused(t, "create_container", key, "conflict_error") // the name is taken: the request was not taken for a repeated one
	stale := other.refused(t, "stop_container", object{"container_id": made["container_id"], "if_generation": 7}, "conflict_error")
	if details, _ := stale["details"].(object); details["declared_by"] != "ann" {
		t.Errorf("a conflict does not say who: %v", stale)
	}
}

package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// quietServer is a server whose sessions have no connection.
type quietServer struct {
	*Server
	t *testing.T
}

func watching(t *testing.T, o store.Options) *quietServer {
	t.Helper()
	o.NoSync = true
	s, err := store.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{}
	server := NewServer(Backend{Store: s, Messenger: b, Stats: b, Logs: b, Engine: b, Policy: b, Planner: b, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &quietServer{server, t}
}

// admit lets a session in that leaves before the server ends. What has happened by then it is not told.
func (w *quietServer) admit(role api.Role, items int) *Session {
	w.t.Helper()
	eventually(w.t, "all is told", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.told == w.Store.Revision()
	})
	c := w.Server.admit(role, items)
	w.t.Cleanup(func() {
		c.cut("test")
		w.End(c)
	})
	return c
}

// declare declares a container whose spec or labels differ from those before.
func (w *quietServer) declare(name, image string, labels map[string]string) string {
	w.t.Helper()
	r, err := w.Store.Declare(w.t.Context(), store.Declaration{Name: name, Principal: "ann", Operation: api.ApplyContainer, Change: func(wish *store.Wish) error {
		wish.Spec, wish.Labels = api.Spec{Image: image, DesiredState: api.DesiredRunning, Environment: map[string]string{"GREETING": planted}}, labels
		wish.Spec.Default(name)
		return nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

func (w *quietServer) bury(id string) {
	w.t.Helper()
	if err := w.Store.Bury(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

// until reads events up to one that fits, and gives all of them.
func (s *Session) until(t *testing.T, fits func(heard) bool) []heard {
	t.Helper()
	var all []heard
	for {
		all = append(all, s.next(t))
		if last := all[len(all)-1]; last.name == api.ErrorEvent && !fits(last) {
			t.Fatalf("%v", last.body)
		}
		if fits(all[len(all)-1]) {
			return all
		}
	}
}

// subscribe sends a subscription and gives what was told until it was answered.
func (w *quietServer) subscribe(c *Session, body string) []string {
	w.t.Helper()
	w.Handle(c, newRequest(c, inbound{event: api.Subscribe, data: json.RawMessage(body), args: 1}))
	var told []string
	for _, h := range c.until(w.t, func(h heard) bool { return h.name == api.Subscribed }) {
		if h.name != api.Subscribed {
			told = append(told, brieflyTold(h))
		}
	}
	return told
}

func brieflyTold(h heard) string {
	if c, ok := h.body["container"].(map[string]any); ok {
		return fmt.Sprint(h.body["type"], " ", c["name"])
	}
	return h.name
}

// A session that goes from everything to a part and back, while things happen all the time, is told each of them once.
func TestSubscribe_NothingIsLostOrDoubledAsItBegins(t *testing.T) {
	w := watching(t, store.Options{})
	c := w.admit(api.Operator, 8192)
	const total = 400
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range total {
			w.declare("web", fmt.Sprint("x", i), nil)
		}
	}()
	for i, asking := 0, true; asking; i++ {
		select {
		case <-done:
			asking = false
		default:
		}
		event, body := api.Subscribe, `{"events":["activity_log"]}`
		if i%2 == 1 {
			event, body = api.Unsubscribe, `{}`
		}
		w.Handle(c, newRequest(c, inbound{event: event, data: json.RawMessage(body), args: 1}))
	}
	generations := 0
	for generations < total {
		h := c.next(t)
		if h.name != api.ActivityLog {
			continue
		}
		generations++
		if got := h.body["details"].(map[string]any)["generation"]; got != float64(generations) {
			t.Fatalf("generation %v was told where %d was next", got, generations)
		}
	}
}

func TestSubscribe_Narrows(t *testing.T) {
	w := watching(t, store.Options{})
	w.declare("web", "x", map[string]string{"tier": "front"})
	db := w.declare("db", "x", map[string]string{"tier": "back"})
	from := w.Store.Version(w.Store.Revision())
	story := func() {
		w.declare("web", "y", map[string]string{"tier": "front"})
		w.declare("db", "x", map[string]string{"tier": "front"}) // comes to be one of the front
		w.declare("web", "y", map[string]string{"tier": "back"}) // and this one leaves it
		w.declare("web", "z", map[string]string{"tier": "back"})
		w.declare("new", "x", nil)
		w.bury(db)
	}
	tests := map[string]struct {
		body string
		want []string
	}{
		"containers":         {`{"container_ids":["` + db + `"],"events":["container_changed"]}`, []string{"modified db", "deleted db"}},
		"labels":             {`{"labels":{"tier":"front"},"events":["container_changed"]}`, []string{"modified web", "added db", "deleted web", "deleted db"}},
		"both":               {`{"container_ids":["web"],"labels":{"tier":"back"},"events":["container_changed"]}`, []string{"added web", "modified web"}},
		"events":             {`{"container_ids":["` + db + `"],"events":["activity_log"]}`, []string{api.ActivityLog}},
		"all events":         {`{"container_ids":["` + db + `"]}`, []string{"modified db", api.ActivityLog, "deleted db"}},
		"events by labels":   {`{"labels":{"tier":"back"},"events":["activity_log"]}`, []string{api.ActivityLog, api.ActivityLog}},
		"nothing of concern": {`{"labels":{"tier":"none"},"events":["activity_log","engine_available"]}`, nil},
	}
	live := map[string]*Session{}
	for name, tt := range tests {
		live[name] = w.admit(api.Operator, 8192)
		w.subscribe(live[name], tt.body)
	}
	story()
	for name, tt := range tests {
		body := strings.Replace(tt.body, "{", fmt.Sprintf(`{"resource_version":%q,`, from), 1)
		if diff := cmp.Diff(tt.want, w.subscribe(w.admit(api.Operator, 8192), body)); diff != "" {
			t.Errorf("%s, told again (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(tt.want, w.subscribe(live[name], tt.body)); diff != "" {
			t.Errorf("%s, as it happened (-want +got):\n%s", name, diff)
		}
	}
}

// What is not kept is narrowed by the container that it is about, where it is about one.
func TestSubscribe_NarrowsWhatIsToldOnce(t *testing.T) {
	w := watching(t, store.Options{})
	web, db := w.declare("web", "x", map[string]string{"tier": "front"}), w.declare("db", "x", nil)
	for body, want := range map[string]string{
		`{"container_ids":["web"]}`:                            "from web, engine",
		`{"labels":{"tier":"front"}}`:                          "from web, engine",
		`{"events":["message_received"]}`:                      "from web, from db",
		`{"container_ids":["db"],"events":["status_changed"]}`: "",
		`{}`: "from web, from db, engine",
	} {
		c := w.admit(api.Operator, 8192)
		w.subscribe(c, body)
		w.Broadcast(api.Received{ContainerID: web, Message: json.RawMessage(`{"from":"web"}`)}.Event())
		w.Broadcast(api.Received{ContainerID: db, Message: json.RawMessage(`{"from":"db"}`)}.Event())
		w.Broadcast(api.EngineNews(nil))
		c.emitError(systemError())
		var told []string
		for _, h := range c.until(t, func(h heard) bool { return h.name == api.ErrorEvent }) {
			switch h.name {
			case api.MessageReceived:
				told = append(told, fmt.Sprint("from ", h.body["message"].(map[string]any)["from"]))
			case api.EngineAvailable:
				told = append(told, "engine")
			}
		}
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("%s: told %q, want %q", body, got, want)
		}
	}
}

// Each change is told as it was, as long as that is known, however late the client reads of it.
func TestSubscribe_TellsEachChangeAsItWas(t *testing.T) {
	w := watching(t, store.Options{})
	c := w.admit(api.Operator, 8192)
	c.ask(t, w.Server, api.Subscribe, `{"events":["container_changed"]}`)
	id := w.declare("web", "x0", nil)
	for i := range 4 {
		w.declare("web", fmt.Sprint("x", i+1), nil)
	}
	w.bury(id)
	for i := 0; ; i++ {
		h := c.next(t)
		if h.name == api.Subscribed {
			i--
			continue
		}
		container := h.body["container"].(map[string]any)
		spec := container["spec"].(map[string]any)
		if h.body["type"] == "deleted" {
			if i != 5 || spec["environment"].(map[string]any)["GREETING"] != api.Filtered || container["generation"] != 5.0 {
				t.Errorf("after %d: %v", i, h.body)
			}
			return
		}
		if version, _, _ := strings.Cut(h.body["resource_version"].(string), "."); spec["image"] != fmt.Sprint("x", i) || container["resource_version"] != version {
			t.Errorf("change %d: %v", i, h.body)
		}
	}
}

func TestSubscribe_Refuses(t *testing.T) {
	now := time.Now()
	w := watching(t, store.Options{Now: func() time.Time { return now }, Retention: time.Hour})
	first := w.declare("web", "x", nil)
	old := w.Store.Version(0)
	now = now.Add(3 * time.Hour)
	for i := range 2500 { // more than stay in memory
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	c := w.admit(api.Operator, 8192)
	tests := []struct{ body, errorType, says string }{
		{`{"events":["status_changed","nonsense"]}`, "validation_error", `events[1]: there is no event "nonsense"`},
		{`{"events":["container_created"]}`, "validation_error", `events[0]: there is no event "container_created" to subscribe to`},
		{`{"container_ids":["web",""]}`, "validation_error", "container_ids[1]"},
		{`{"container_ids":["web","no-such"]}`, "container_not_found", `"no-such"`},
		{`{"container_ids":[` + strings.Repeat(`"web",`, 1000) + `"web"]}`, "validation_error", "container_ids: has 1001 entries"},
		{`{"events":[` + strings.Repeat(`"status_changed",`, 50) + `"status_changed"]}`, "validation_error", "events: has 51 entries"},
		{`{"labels":{"a":7}}`, "validation_error", "labels.a"},
		{`{"labels":{"a":"` + strings.Repeat("x", 4097) + `"}}`, "validation_error", "labels.a: is longer than a label can be"},
		{`{"labels":{` + labels(21) + `}}`, "validation_error", "labels: has 21 entries"},
		{`{"resource_version":"` + old + `"}`, "resource_expired_error", "list_containers, then subscribe from the resource_version of the list"},
		{`{"resource_version":"` + w.Store.Version(9999) + `"}`, "resource_expired_error", "list_containers"},
		{`{"resource_version":"other-1"}`, "resource_expired_error", "list_containers"},
		{`{"resource_version":"nonsense"}`, "resource_expired_error", "list_containers"},
	}
	for _, tt := range tests {
		ack := c.ask(t, w.Server, api.Subscribe, tt.body)
		if ack["error_type"] != tt.errorType || !strings.Contains(fmt.Sprint(ack["message"]), tt.says) {
			t.Errorf("%.100s: %v", tt.body, ack)
		}
		if f := w.filter(c); f.narrowed {
			t.Errorf("%.100s: was refused, and narrowed the session to %v", tt.body, f.shown())
		}
	}
	for body, field := range map[string]string{`{"container_ids":["web"]}`: "container_ids", `{"events":["activity_log"]}`: "events"} {
		if ack := c.ask(t, w.Server, api.Unsubscribe, body); !slices.Contains(fieldsOf(ack), field) {
			t.Errorf("unsubscribe %s: %v", body, ack)
		}
	}
	w.bury(first)
	if ack := c.ask(t, w.Server, api.Subscribe, fmt.Sprintf(`{"container_ids":[%q]}`, first)); ack["ok"] != true {
		t.Errorf("a deleted one by its id: %v", ack)
	}
}

// A client that stops reading holds up nothing, keeps room for what it is owed, and reads everything in the end.
func TestSubscribe_GoesAtThePaceOfItsClient(t *testing.T) {
	w := watching(t, store.Options{})
	slow, quick := w.admit(api.Operator, 64), w.admit(api.Operator, 8192)
	slow.ask(t, w.Server, api.Subscribe, `{"events":["activity_log"]}`)
	quick.ask(t, w.Server, api.Subscribe, `{"events":["activity_log"]}`)
	const total = 500
	for i := range total {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	count := func(c *Session, most int) (n int) {
		for n < total {
			if h := c.next(t); h.name == api.ActivityLog {
				if n++; h.body["details"].(map[string]any)["generation"] != float64(n) {
					t.Fatalf("event %d is %v", n, h.body)
				}
			}
		}
		return n
	}
	count(quick, total)
	slow.out.mu.Lock()
	waits := slow.out.waiting.Len()
	slow.out.mu.Unlock()
	if waits > 64/pacedShare {
		t.Errorf("%d packets wait for the slow client", waits)
	}
	for range 64 / newsShare {
		if !slow.Emit(api.ContainerStarted, json.RawMessage(`{}`)) {
			t.Fatal("what it is owed does not fit")
		}
	}
	if slow.ctx.Err() != nil {
		t.Fatal("the slow client was cut off")
	}
	count(slow, total)
}

// A subscription that is still being caught up with gives way to a later one, and its asker is told.
func TestSubscribe_ALaterOneTakesItsPlace(t *testing.T) {
	w := watching(t, store.Options{})
	for i := range 200 {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	c := w.admit(api.Operator, 64)
	c.ask(t, w.Server, api.Subscribe, fmt.Sprintf(`{"resource_version":%q,"request_id":"first"}`, w.Store.Version(0)))
	r := newRequest(c, inbound{event: api.Subscribe, data: json.RawMessage(`{"events":["status_changed"],"request_id":"second"}`), args: 1, ack: "2"})
	w.Handle(c, r)
	var ends []string
	for len(ends) < 3 {
		if h := c.next(t); h.name == api.ErrorEvent || h.name == "ack" || h.name == api.Subscribed {
			ends = append(ends, fmt.Sprint(h.name, " ", h.body["request_id"], " ", h.body["error_type"]))
		}
	}
	want := []string{"error first conflict_error", "ack second <nil>", "subscribed second <nil>"}
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Error(diff)
	}
}

// What is forgotten before a slow client has read it is told to be missing, in its place.
func TestSubscribe_OvertakenByTheRetention(t *testing.T) {
	now := time.Now()
	w := watching(t, store.Options{Now: func() time.Time { return now }, Retention: time.Hour})
	c := w.admit(api.Operator, 64)
	c.ask(t, w.Server, api.Subscribe, `{"events":["activity_log"]}`)
	for i := range 1000 {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	now = now.Add(3 * time.Hour)
	for i := range 3000 {
		w.declare("web", fmt.Sprint("y", i), nil)
	}
	last, missing := 0.0, 0.0
	for last < 4000 {
		switch h := c.next(t); h.name {
		case api.EventsDropped:
			missing += h.body["events"].(float64)
			if from, to := revisionIn(t, h.body["from"]), revisionIn(t, h.body["to"]); float64(to-from+1) != missing || from != int(last)+1 {
				t.Errorf("after %v: %v", last, h.body)
			}
		case api.ActivityLog:
			generation := h.body["details"].(map[string]any)["generation"].(float64)
			if generation != last+missing+1 {
				t.Fatalf("generation %v follows %v and a gap of %v", generation, last, missing)
			}
			if last = generation; missing > 0 {
				return
			}
		}
		if missing > 0 { // the gap goes up to the newest: something more has to happen
			w.declare("web", "z", nil)
		}
	}
	t.Error("nothing was dropped: the test proves nothing")
}

// labels are so many, in JSON.
func labels(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"l%d":"x"`, i)
	}
	return strings.Join(list, ",")
}

// What an acknowledgement calls its version can be resumed from, though nothing was read after it.
func TestSubscribe_AcknowledgesWhereItBegins(t *testing.T) {
	w := watching(t, store.Options{})
	w.declare("web", "x", nil)
	begin := w.Store.Version(w.Store.Revision())
	c := w.admit(api.Operator, 8192)
	if ack := c.ask(t, w.Server, api.Subscribe, `{}`); ack["resource_version"] != begin {
		t.Errorf("from now on: %v, not %s", ack, begin)
	}
	w.declare("web", "y", nil)
	for _, version := range []string{begin, w.Store.VersionOf(2, 1, 2)} {
		if ack := c.ask(t, w.Server, api.Subscribe, fmt.Sprintf(`{"resource_version":%q}`, version)); ack["resource_version"] != version {
			t.Errorf("from %s: %v", version, ack)
		}
	}
}

func revisionIn(t *testing.T, version any) int {
	t.Helper()
	_, number, _ := strings.Cut(fmt.Sprint(version), "-")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Of what comes from the file it is not known any more how a container stood. One that is gone by now is told as deleted to all who
// may have been told of it, and what else happened to it by the labels that it had last.
func TestSubscribe_TellsAgainFromTheFile(t *testing.T) {
	w := watching(t, store.Options{})
	gone := w.declare("gone", "x", map[string]string{"tier": "front"})
	from := w.Store.Version(w.Store.Revision())
	w.declare("gone", "x", map[string]string{"tier": "back"})
	w.bury(gone)
	for i := range 2500 { // more than stay in memory
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	for body, want := range map[string][]string{
		`"labels":{"tier":"front"},"events":["container_changed"]`: {"deleted gone"},
		`"labels":{"tier":"back"},"events":["activity_log"]`:       {api.ActivityLog},
		`"container_ids":["` + gone + `"]`:                         {api.ActivityLog, "deleted gone"},
	} {
		told := w.subscribe(w.admit(api.Operator, 8192), fmt.Sprintf(`{"resource_version":%q,%s}`, from, body))
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// A viewer's containers are masked, now and when told again.
func TestSubscribe_AViewerSeesNoSecretPlace(t *testing.T) {
	w := watching(t, store.Options{})
	viewer, operator := w.admit(api.Viewer, 8192), w.admit(api.Operator, 8192)
	from := w.Store.Version(0)
	w.bury(w.declare("gone", "x", nil))
	w.declare("web", "x", nil)
	for c, wanted := range map[*Session]bool{viewer: false, operator: true} {
		c.ask(t, w.Server, api.Subscribe, fmt.Sprintf(`{"resource_version":%q}`, from))
		told := c.until(t, func(h heard) bool { return h.name == api.Subscribed })
		if text := string(api.Encode(bodies(told))); strings.Contains(text, planted) != wanted {
			t.Errorf("as %s: %s", c.Principal().Role, text)
		}
		if n := len(told); n < 4 {
			t.Errorf("as %s: only %d events", c.Principal().Role, n)
		}
	}
}

func bodies(all []heard) []map[string]any {
	list := make([]map[string]any, len(all))
	for i := range all {
		list[i] = all[i].body
	}
	return list
}

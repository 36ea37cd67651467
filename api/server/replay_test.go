package server

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
)

// Each change is told as it was, as long as that is known, however late the client reads of it.
func TestSubscribe_TellsEachChangeAsItWas(t *testing.T) {
	w := watching(t, store.Options{})
	c := w.admit(api.Operator, 0)
	c.ask(t, api.Subscribe, `{"events":["container_changed"]}`)
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

// A client that stops reading holds up nothing, and reads everything in the end.
func TestSubscribe_GoesAtThePaceOfItsClient(t *testing.T) {
	w := watching(t, store.Options{})
	const room = 4
	slow, quick := w.admit(api.Operator, room), w.admit(api.Operator, 0)
	slow.ask(t, api.Subscribe, `{"events":["activity_log"]}`)
	quick.ask(t, api.Subscribe, `{"events":["activity_log"]}`)
	const total = 500
	for i := range total {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	count := func(c *client, most int) (n int) {
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
	if waits := slow.Paced(); waits > room {
		t.Errorf("%d events wait for the slow client", waits)
	}
	count(slow, total)
}

// A subscription that is still being caught up with gives way to a later one, and its asker is told.
func TestSubscribe_ALaterOneTakesItsPlace(t *testing.T) {
	w := watching(t, store.Options{})
	for i := range 200 {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	c := w.admit(api.Operator, 4)
	c.ask(t, api.Subscribe, fmt.Sprintf(`{"resource_version":%q,"request_id":"first"}`, w.Store.Version(0)))
	c.Ask(api.Subscribe, json.RawMessage(`{"events":["status_changed"],"request_id":"second"}`))
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
	t.Parallel()
	now := time.Now()
	w := watching(t, store.Options{Now: func() time.Time { return now }, Retention: time.Hour})
	c := w.admit(api.Operator, 4)
	c.ask(t, api.Subscribe, `{"events":["activity_log"]}`)
	for i := range 300 {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	now = now.Add(3 * time.Hour)
	for i := range moreThanInMemory {
		w.declare("web", fmt.Sprint("y", i), nil)
	}
	last, missing := 0.0, 0.0
	for last < 300+moreThanInMemory {
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

// overtaken is a server with a client whose stream waits, on the brink of what is kept no more: it has 4 events of changes 1 to 4 in
// its hands, and the 5th waits for room.
func overtaken(t *testing.T, subscription string, room int) (*quietServer, *client) {
	t.Helper()
	now := time.Now()
	w := watching(t, store.Options{Now: func() time.Time { return now }, Retention: time.Hour})
	c := w.admit(api.Operator, room)
	c.ask(t, api.Subscribe, subscription)
	if h := c.next(t); h.name != api.Subscribed {
		t.Fatalf("%v", h)
	}
	for i := range 10 {
		w.declare("web", fmt.Sprint("x", i), nil)
		synctest.Wait() // the stream reads one change at a time
	}
	now = now.Add(3 * time.Hour)
	for i := range moreThanInMemory {
		w.declare("web", fmt.Sprint("y", i), nil)
	}
	return w, c
}

// A gap is told once it was, even where the client subscribes again before there was room to tell of it.
func TestSubscribe_AgainWhileTheGapWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 4
		w, c := overtaken(t, `{"events":["activity_log"]}`, room)
		c.next(t) // the 5th takes its room, and the gap waits behind it
		synctest.Wait()
		if c.ask(t, api.Subscribe, `{"events":["activity_log"]}`)["ok"] != true {
			t.Fatal("refused")
		}
		h := c.next(t)
		if h.name != api.EventsDropped || h.body["from"] != w.Store.Version(room+2) || h.body["to"] != w.Store.Version(w.Store.Revision()) {
			t.Fatalf("after revision %d: %s %s", room+1, h.name, h.raw)
		}
		if lost := 10 + moreThanInMemory - room - 1; h.body["events"] != float64(lost) {
			t.Errorf("%v events were lost, not %d", h.body["events"], lost)
		}
	})
}

// What happened since a time is told again, and each event says whose it is by name, of one that is gone too.
func TestSubscribe_SinceATime(t *testing.T) {
	now := time.Now()
	w := watching(t, store.Options{Now: func() time.Time { return now }})
	w.declare("old", "x", nil)
	now = now.Add(time.Hour)
	since := now
	w.bury(w.declare("young", "x", nil))
	told := w.subscribe(w.admit(api.Operator, 0), fmt.Sprintf(`{"since":%q,"events":["activity_log"]}`, since.Format(time.RFC3339Nano)))
	c := w.admit(api.Viewer, 0)
	c.ask(t, api.Subscribe, fmt.Sprintf(`{"since":%q,"events":["activity_log"]}`, since.Format(time.RFC3339Nano)))
	if h := c.next(t); h.body["name"] != "young" || len(told) != 1 {
		t.Errorf("told %v, first %s", told, h.raw)
	}
}

// What was dropped is counted by events, not by changes, and those only that the client would have been sent.
func TestSubscribe_CountsTheEventsOfAGap(t *testing.T) {
	for subscription, each := range map[string]int{
		`{}`:                               2, // container_changed and activity_log
		`{"events":["container_changed"]}`: 1,
		`{"events":["activity_log","status_changed"]}`: 1,
	} {
		t.Run(subscription, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := overtaken(t, subscription, 4)
				for read := 0; ; read++ {
					h := c.next(t)
					if h.name != api.EventsDropped {
						continue
					}
					if want := float64(each*(int(w.Store.Revision())) - read); h.body["events"] != want {
						t.Errorf("%v after %d that were read; %v are missing", h.body, read, want)
					}
					return
				}
			})
		})
	}
}

// Those who have not subscribed are told of a gap too, where the server itself was overtaken.
func TestServer_TellsOfWhatItMissed(t *testing.T) {
	now := time.Now()
	st, err := store.Open(t.TempDir(), store.Options{NoSync: true, Now: func() time.Time { return now }, Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w := &quietServer{New(backed(st, &servertest.Parts{})), t}
	viewer := w.Server.admit(t, api.Viewer, 0)
	w.declare("web", "x", nil)
	now = now.Add(3 * time.Hour)
	for i := range moreThanInMemory {
		w.declare("web", fmt.Sprint("y", i), nil)
	}
	end := servertest.Run(w.Server, st)
	h := viewer.next(t)
	if h.name != api.EventsDropped || h.body["events"] != float64(1+moreThanInMemory) || h.body["from"] != st.Version(1) {
		t.Errorf("told %s %s", h.name, h.raw)
	}
	viewer.Close()
	if err := end(); err != nil {
		t.Error(err)
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
	t.Parallel()
	w := watching(t, store.Options{})
	gone := w.declare("gone", "x", map[string]string{"tier": "front"})
	from := w.Store.Version(w.Store.Revision())
	w.declare("gone", "x", map[string]string{"tier": "back"})
	w.bury(gone)
	for i := range moreThanInMemory {
		w.declare("web", fmt.Sprint("x", i), nil)
	}
	for body, want := range map[string][]string{
		`"labels":{"tier":"front"},"events":["container_changed"]`: {"deleted gone"},
		`"labels":{"tier":"back"},"events":["activity_log"]`:       {api.ActivityLog},
		`"container_ids":["` + gone + `"]`:                         {api.ActivityLog, "deleted gone"},
	} {
		told := w.subscribe(w.admit(api.Operator, 0), fmt.Sprintf(`{"resource_version":%q,%s}`, from, body))
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// A stream that cannot go on says so.
func TestSubscribe_SaysWhenItCannotGoOn(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	server := New(backed(s, &servertest.Parts{}))
	c := server.admit(t, api.Operator, 0)
	c.ask(t, api.Subscribe, `{}`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.until(t, func(h heard) bool { return h.name == api.ErrorEvent && h.body["error_type"] == "system_error" })
	server.tasks.Wait()
}

package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
)

// line is a durable event of a stream.
type line struct{ event, version, kind, id string }

func lineOf(h heard) line {
	l := line{event: h.name, version: fmt.Sprint(h.body["resource_version"])}
	l.id, _ = h.body["container_id"].(string)
	if c, ok := h.body["container"].(map[string]any); ok {
		l.kind, l.id = h.body["type"].(string), c["id"].(string)
	}
	return l
}

// world is a server on a store that is opened again and again, what has happened, and a client that is cut off all the time.
type world struct {
	rt     *rapid.T
	dir    string
	store  *store.Store
	server *Server
	stop   func()

	log     *store.Watch
	all     []line                         // everything, as the log has it
	client  *client                        // nil: not connected
	version string                         // that of the newest event that it has read
	read    []line                         // all that it has read
	holds   map[string]api.ContainerChange // by id
}

func (w *world) open() {
	var err error
	if w.store, err = store.Open(w.dir, store.Options{NoSync: true}); err != nil {
		w.rt.Fatal(err)
	}
	w.server = New(backed(w.store, &servertest.Parts{}))
	end := servertest.Run(w.server, w.store)
	w.log = w.store.Watch(w.store.Revision())
	w.stop = func() {
		w.cut()
		if err := end(); err != nil {
			w.rt.Error(err)
		}
	}
}

// note adds what was committed to what has happened.
func (w *world) note(before uint64) {
	if w.store.Revision() == before {
		return
	}
	changes, err := w.log.Next(w.rt.Context())
	if err != nil {
		w.rt.Fatal(err)
	}
	for _, c := range changes {
		lines := []line{{api.ContainerChanged, "", string(c.Type), c.ID}}
		for _, e := range c.Events {
			lines = append(lines, line{event: e.Name, id: containerOf(e)})
		}
		for i := range lines {
			lines[i].version = fmt.Sprintf("%s.%d", w.store.Version(c.Revision), i+1)
		}
		lines[len(lines)-1].version = w.store.Version(c.Revision)
		w.all = append(w.all, lines...)
	}
}

func (w *world) connect() {
	w.client = w.server.admit(w.rt, api.Operator, 4)
	if ack := w.client.ask(w.rt, api.Subscribe, fmt.Sprintf(`{"resource_version":%q}`, w.version)); ack["ok"] != true {
		w.rt.Fatalf("%v", ack)
	}
}

func (w *world) cut() {
	if w.client != nil {
		w.client.Close()
		w.client = nil
	}
}

// take reads up to so many events, and stops at subscribed.
func (w *world) take(most int) {
	for range most {
		h := w.client.next(w.rt)
		if h.name == api.Subscribed {
			return
		}
		w.apply(h)
	}
}

// apply does what a client does by events alone.
func (w *world) apply(h heard) {
	l := lineOf(h)
	w.version, w.read = l.version, append(w.read, l)
	if h.name != api.ContainerChanged {
		return
	}
	var c api.ContainerChange
	if err := json.Unmarshal(api.Encode(h.body), &c); err != nil {
		w.rt.Fatal(err)
	}
	if w.holds[l.id] = c; c.Type == string(store.Deleted) {
		delete(w.holds, l.id)
	}
}

// behind tells what the client has not read. What may be left out are changes of a container that is gone.
func (w *world) judge() {
	i := 0
	for _, l := range w.all {
		if i < len(w.read) && w.read[i] == l {
			i++
			continue
		}
		if _, stands := w.store.Get(l.id); l.event != api.ContainerChanged || l.kind == string(store.Deleted) || stands {
			w.rt.Fatalf("missed %+v; read:\n%+v\nhappened:\n%+v", l, w.read, w.all)
		}
	}
	if i < len(w.read) {
		w.rt.Fatalf("read %+v twice or out of order", w.read[i])
	}
	records, _ := w.store.List()
	var stored, rebuilt []api.Container
	for _, r := range records {
		c := r.Container
		c.Status.SocketPath = w.server.Messenger.Path(c.ID)
		stored = append(stored, c)
	}
	for _, c := range w.holds {
		rebuilt = append(rebuilt, c.Container)
	}
	slices.SortFunc(rebuilt, func(a, b api.Container) int { return cmp.Compare(a.Name, b.Name) })
	if diff := gocmp.Diff(string(api.Encode(stored)), string(api.Encode(rebuilt))); diff != "" {
		w.rt.Fatalf("stored (-), rebuilt (+):\n%s", diff)
	}
}

// change declares, relabels, observes or buries a container of few.
func (w *world) change(rt *rapid.T) {
	before := w.store.Revision()
	name := rapid.SampledFrom([]string{"aa", "bb", "cc"}).Draw(rt, "name")
	r, err := w.store.Resolve(name)
	switch what := rapid.IntRange(0, 4).Draw(rt, "what"); {
	case err != nil || what == 0:
		image, label := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "image"), rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "label")
		_, err = w.store.Declare(rt.Context(), store.Declaration{Name: name, Change: func(wish *store.Wish) error {
			wish.Spec, wish.Labels = api.Spec{Image: image, DesiredState: api.DesiredRunning}, map[string]string{"l": label}
			wish.Spec.Default(name)
			return nil
		}})
	case what == 1:
		err = w.store.Bury(rt.Context(), r.ID, api.Activity{ActivityType: api.ActivityDeleted, ContainerID: r.ID}.Event())
	default:
		state := rapid.SampledFrom([]string{api.StateRunning, api.StateStopped}).Draw(rt, "state")
		_, err = w.store.Observe(rt.Context(), r.ID, func(c *store.Record) []api.Event {
			c.Status.State = state
			return slices.Repeat([]api.Event{api.Activity{ActivityType: api.ActivityActor, ContainerID: r.ID}.Event()}, what-2)
		})
	}
	if err != nil {
		rt.Fatal(err)
	}
	w.note(before)
}

// Whatever happens, and wherever between two events a client is cut off, which resumes from the last one that it has read, by
// this server or by the next on the same store: it reads each durable event once and in order, and holds what the store does.
func TestStream_IsWithoutGapAndDouble(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{rt: rt, dir: t.TempDir(), holds: map[string]api.ContainerChange{}}
		w.open()
		defer func() { w.stop() }()
		w.version = w.store.Version(0)
		rt.Repeat(map[string]func(*rapid.T){
			"change":  w.change,
			"connect": func(*rapid.T) { w.cut(); w.connect() },
			"read": func(rt *rapid.T) {
				w.cut()
				w.connect()
				w.take(rapid.IntRange(0, 20).Draw(rt, "events"))
			},
			"cut": func(*rapid.T) { w.cut() },
			"follow": func(rt *rapid.T) {
				w.cut()
				w.connect()
				w.take(1 << 20)
				for range rapid.IntRange(1, 10).Draw(rt, "changes") {
					w.change(rt)
					for len(w.all) > 0 && w.version != w.all[len(w.all)-1].version {
						w.take(1)
					}
				}
			},
			"reopen": func(*rapid.T) { w.stop(); w.open() },
		})
		w.cut()
		w.connect()
		w.take(1 << 20)
		w.judge()
	})
}

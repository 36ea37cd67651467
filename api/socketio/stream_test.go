package socketio

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// bare is a session without a connection, whose outbox a test reads.
func bare(role api.Role, items int) *Session {
	l := Limits{OutItems: items}.withDefaults()
	b := &budget{max: 1 << 30}
	ctx, cancel := context.WithCancel(context.Background())
	return &Session{
		t: &Transport{counts: newCounters(), limits: l, log: zerolog.Nop(), budget: b}, ctx: ctx, cancel: cancel,
		gone: make(chan struct{}),
		in:   newQueue[*Request](l.InItems, l.InBytes, b), out: newOutbox(&l, b), principal: Principal{Name: "ann", Role: role},
	}
}

// admit lets a bare session in.
func (s *Server) admit(role api.Role, items int) *Session {
	c := bare(role, items)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[c] = nil
	return c
}

// next is the next packet that was sent, an event or "ack".
func (s *Session) next(t fataler) heard {
	t.Helper()
	tired := time.AfterFunc(patience, s.out.close)
	defer tired.Stop()
	if !s.out.some() {
		t.Fatalf("the session is over, or is sent nothing more")
	}
	p, _ := s.out.take()
	var parts []json.RawMessage
	h := heard{name: "ack"}
	at := strings.IndexByte(string(p.frame), '[')
	if err := json.Unmarshal(p.frame[at:], &parts); err != nil {
		t.Fatalf("%s: %v", p.frame, err)
	}
	if p.frame[0] == '2' {
		_ = json.Unmarshal(parts[0], &h.name)
		parts = parts[1:]
	}
	if err := json.Unmarshal(parts[0], &h.body); err != nil {
		t.Fatalf("%s: %v", p.frame, err)
	}
	return h
}

// ask has a server handle a request and gives its acknowledgement, which is the next packet but for events that came before.
func (s *Session) ask(t fataler, server *Server, event, body string) map[string]any {
	t.Helper()
	r := newRequest(s, inbound{event: event, data: json.RawMessage(body), args: 1, ack: "1"})
	server.Handle(s, r)
	for {
		if h := s.next(t); h.name == "ack" {
			return h.body
		}
	}
}

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
	client  *Session                       // nil: not connected
	version string                         // that of the newest event that it has read
	read    []line                         // all that it has read
	holds   map[string]api.ContainerChange // by id
}

func (w *world) open() {
	var err error
	if w.store, err = store.Open(w.dir, store.Options{NoSync: true}); err != nil {
		w.rt.Fatal(err)
	}
	b := &backend{}
	w.server = NewServer(Backend{Store: w.store, Messenger: b, Stats: b, Logs: b, Engine: b, Policy: b, Planner: b, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Run(ctx) }()
	w.log = w.store.Watch(w.store.Revision())
	w.stop = func() {
		w.cut()
		cancel()
		if err := <-ended; err != nil {
			w.rt.Error(err)
		}
		if err := w.store.Close(); err != nil {
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
	w.client = w.server.admit(api.Operator, 64)
	if ack := w.client.ask(w.rt, w.server, api.Subscribe, fmt.Sprintf(`{"resource_version":%q}`, w.version)); ack["ok"] != true {
		w.rt.Fatalf("%v", ack)
	}
}

func (w *world) cut() {
	if w.client != nil {
		w.client.cut("test")
		w.server.End(w.client)
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

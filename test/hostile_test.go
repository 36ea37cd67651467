package test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	hostileSeconds = "HOSTILE_SECONDS" // how long all of them are at it together; 10
	aloneFor       = 2 * time.Second   // one stall of the machine is less than a hundredth of the round trips of so long
	quietFor       = time.Second       // before each of them
	neighbours     = 10
	// roundTripPause is between two messages of one neighbour: what is measured is how long one takes, not how many there can be.
	roundTripPause = 5 * time.Millisecond
	maxSlowdown    = 5
	maxGrowth      = 64 << 20
)

// hostiles are the ways to be hostile and what each is counted as. The last two take half a minute to show.
func hostiles() []hostile {
	return []hostile{
		{"flood", "throttled_frames"}, {"giant", "too_long_frame"}, {"crowd", "refused_connection"}, {"hasty", "throttled_connections"},
		{"malformed", "malformed_message"}, {"liar", "unasked_reply"}, {"deaf", "not_reading"}, {"drip", "unfinished_frame"},
	}
}

type hostile struct{ attack, counted string }

// slow tells those that go on from their turn to the end.
func (h hostile) slow() bool { return h.attack == "deaf" || h.attack == "drip" }

// Whatever one flow does to its socket, the others talk on as before, the manager does not grow, and it is said who it was.
func TestHostile(t *testing.T) {
	needFlows(t)
	m := newManager(t)
	w := watch(m.uneager())
	w.attacked = m.talkedTo(t, neighbours)
	w.beside = newManager(t).talkedTo(t, neighbours)
	ids := map[string]string{}
	for _, h := range hostiles() {
		ids[h.attack] = m.declareHostile(t, h)
	}
	began := time.Now()
	c := m.uneager()
	go c.drain()
	trial := &trial{t: t}
	for _, h := range slices.Backward(hostiles()) {
		trial.quiet = append(trial.quiet, m.phase(t, w, quietFor, nil))
		c.must(t, "start_container", object{"container_id": ids[h.attack], "wait_seconds": 30})
		trial.add(h.attack, m.phase(t, w, aloneFor, c.bother(ids, h.attack)))
		if !h.slow() {
			c.must(t, "stop_container", object{"container_id": ids[h.attack], "wait_seconds": 30})
		}
	}
	for _, h := range hostiles() {
		c.must(t, "start_container", object{"container_id": ids[h.attack], "wait_seconds": 30})
	}
	trial.add("all", m.phase(t, w, together(t), c.bother(ids, "deaf", "liar")))
	trial.judge()
	for _, h := range hostiles() {
		m.counted(t, h)
		w.told(t, h, ids[h.attack], time.Since(began))
	}
}

// trial holds what was seen of attacks against quiet phases of the same run, which lie between them, and against what the neighbours
// on another manager saw meanwhile, which nobody attacks: others use the machine, and it is their doing what those two see. While
// quiet phases last, one hostile dribbles and one connection is not read from.
type trial struct {
	t       *testing.T
	quiet   []phase
	names   []string
	attacks []phase
}

func (r *trial) add(name string, got phase) {
	r.names, r.attacks = append(r.names, name), append(r.attacks, got)
}

func (r *trial) judge() {
	slowest := r.quiet[0]
	for _, q := range r.quiet {
		r.t.Logf("quiet: %v", q)
		if q.p99 > slowest.p99 {
			slowest = q
		}
	}
	for i, got := range r.attacks {
		r.t.Logf("%s: %v", r.names[i], got)
		if limit := maxSlowdown * max(slowest.p99, got.beside); got.p99 > limit {
			r.t.Errorf("%s: the neighbours' p99 is %v, want at most %v", r.names[i], got.p99, limit)
		}
		if grown := got.peak - r.quiet[0].peak; grown > maxGrowth {
			r.t.Errorf("%s: the manager grew by %d MiB", r.names[i], grown>>20)
		}
	}
}

func together(t *testing.T) time.Duration {
	t.Helper()
	return time.Duration(number(t, hostileSeconds, 10)) * time.Second
}

// uneager is a client that spends nothing on what flows say: what is measured is the manager, and not this program's decoding
// of what hostiles make it tell.
func (m *manager) uneager() *wsClient {
	m.t.Helper()
	c := m.dial()
	c.judging.Store(false)
	c.uneager.Store(true)
	return c
}

// talk is with flows whose round trips are watched.
type talk struct {
	with   []string
	prober *wsClient
}

// talkedTo are a manager's flows whose round trips are watched.
func (m *manager) talkedTo(t *testing.T, n int) talk {
	t.Helper()
	one := talk{m.neighbours(t, n), m.uneager()}
	one.prober.must(t, "subscribe", object{"container_ids": one.with}) // whoever talks to them need not hear the others
	go one.prober.drain()
	return one
}

func (m *manager) neighbours(t *testing.T, n int) []string {
	t.Helper()
	c := m.dial()
	defer c.close()
	var ids []string
	for n := range n {
		ids = append(ids, c.must(t, "apply_container", object{"name": named(t, fmt.Sprint("good", n)), "image": echoImage})["container_id"].(string))
	}
	for _, id := range ids {
		m.eventually("a neighbour is connected", func() error {
			if st := c.status(t, id); st["socket_connected"] != true {
				return fmt.Errorf("%v", st)
			}
			return nil
		})
	}
	return ids
}

// declareHostile makes one that waits to be started. It gets a tenth of a CPU: how much of the machine a flow may use up is the
// engine's to enforce and not what is tried here.
func (m *manager) declareHostile(t *testing.T, h hostile) string {
	t.Helper()
	c := m.dial()
	defer c.close()
	return c.must(t, "apply_container", object{"name": named(t, h.attack), "image": flowsImage, "entrypoint": []string{"/flows/hostile", h.attack},
		"desired_state": "created", "stop_grace_seconds": 0, "resources": object{"nano_cpus": 100_000_000}, "wait_seconds": 30})["container_id"].(string)
}

// bother sends messages, for as long as a phase lasts, to those of the hostiles that attack by what they do with them: one
// lies when it is asked, and one does not take what it is told.
func (c *wsClient) bother(ids map[string]string, attacks ...string) func(done <-chan struct{}) {
	messages := map[string]string{
		"liar": `{"container_id":"` + ids["liar"] + `","message":{},"timeout_seconds":5,"expect_reply":true}`,
		"deaf": `{"container_id":"` + ids["deaf"] + `","message":{"body":"` + strings.Repeat("x", 32<<10) + `"},"timeout_seconds":5}`,
	}
	return func(done <-chan struct{}) {
		for {
			for _, attack := range attacks {
				if message := messages[attack]; message != "" {
					_ = c.write(`42["send_message",` + message + `]`) // it may fail, or be refused, for too many wait
				}
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// phase is what was seen in a stretch of time.
type phase struct {
	trips  int
	p99    time.Duration
	beside time.Duration // the p99 of those on another manager
	peak   int           // bytes of memory that the manager had at most
}

func (p phase) String() string {
	return fmt.Sprintf("%d round trips, p99 %v, on another manager %v, at most %d MiB", p.trips, p.p99.Round(10*time.Microsecond), p.beside.Round(10*time.Microsecond), p.peak>>20)
}

// phase watches the neighbours and the manager's memory for a while, in which meanwhile runs.
func (m *manager) phase(t *testing.T, w *witness, d time.Duration, meanwhile func(done <-chan struct{})) phase {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", m.pid()), []byte("5"), 0o600); err != nil { // the peak begins here
		t.Fatal(err)
	}
	done := make(chan struct{})
	var busy sync.WaitGroup
	if meanwhile != nil {
		busy.Go(func() { meanwhile(done) })
	}
	attacked, beside := w.attacked.begin(t, &busy, done), w.beside.begin(t, &busy, done)
	time.Sleep(d) // the length of the phase
	close(done)
	busy.Wait()
	all, others := sorted(t, attacked), sorted(t, beside)
	return phase{len(all), all[len(all)*99/100], others[len(others)*99/100], m.peak(t)}
}

// begin has each of them answer until done. What that took is there once busy is over.
func (k talk) begin(t *testing.T, busy *sync.WaitGroup, done <-chan struct{}) [][]time.Duration {
	trips := make([][]time.Duration, len(k.with))
	for n, id := range k.with {
		busy.Go(func() { trips[n] = k.prober.roundTrips(t, id, done) })
	}
	return trips
}

func sorted(t *testing.T, trips [][]time.Duration) []time.Duration {
	t.Helper()
	all := slices.Sorted(slices.Values(slices.Concat(trips...)))
	if len(all) == 0 {
		t.Fatal("no message came through")
	}
	return all
}

// roundTrips has a flow answer again and again.
func (c *wsClient) roundTrips(t *testing.T, id string, done <-chan struct{}) (took []time.Duration) {
	for {
		begin := time.Now()
		answer, err := c.ask("send_message", object{"container_id": id, "message": object{"type": "round"}, "expect_reply": true})
		if err != nil || answer["ok"] != true {
			t.Error(err, answer)
			return took
		}
		took = append(took, time.Since(begin))
		select {
		case <-done:
			return took
		case <-time.After(roundTripPause):
		}
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the most memory that the manager had since that was last reset.
func (m *manager) peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid()))
	if err != nil {
		t.Fatal(err)
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no peak in %s", status)
	}
	kilobytes, _ := strconv.Atoi(string(found[1])) // digits
	return kilobytes << 10
}

// counted waits until the manager has counted what a hostile did.
func (m *manager) counted(t *testing.T, h hostile) {
	t.Helper()
	pattern := regexp.MustCompile(`(?m)^flow_manager_flow_faults_total\{reason="` + h.counted + `"\} ([1-9]\S*)$`)
	m.eventually(h.attack+" is counted", func() error {
		if found := pattern.FindSubmatch(m.metrics(t)); found != nil {
			t.Logf("%s: %s %s", h.attack, h.counted, found[1])
			return nil
		}
		return errNotYet
	})
}

// witness notes what a client that hears all is told of faulty flows.
type witness struct {
	attacked, beside talk // with flows of the manager that is attacked, and of another one

	mu     sync.Mutex
	faults map[string]int // by event and container
}

func watch(c *wsClient) *witness {
	w := &witness{faults: map[string]int{}}
	go func() {
		for e := range c.events {
			if e.Name == "communication_error" || e.Name == "message_format_error" {
				w.mu.Lock()
				w.faults[fmt.Sprint(e.Name, " ", e.Data["container_id"])]++
				w.mu.Unlock()
			}
		}
	}()
	return w
}

// told fails the test unless a hostile was spoken of, and of each kind at most once a minute.
func (w *witness) told(t *testing.T, h hostile, id string, since time.Duration) {
	t.Helper()
	most := 1 + int(since/time.Minute)
	var failed, broken int
	eventually(t, "it is said that "+h.attack+" is hostile", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		failed, broken = w.faults["communication_error "+id], w.faults["message_format_error "+id]
		if h.attack != "liar" && failed+broken == 0 {
			return errNotYet
		}
		return nil
	})
	if failed > most || broken > most {
		t.Errorf("within %v %s was spoken of %d times as failing and %d as broken", since, h.attack, failed, broken)
	}
}

// Whoever a flow runs as, it can connect, and cannot change the folder of its socket.
func TestFlows_CannotChangeTheirFolder(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	for _, user := range []string{"0:0", "1000:1000"} {
		id := c.run(t, object{"name": named(t, user[:1]), "user": user})
		answer := c.must(t, "send_message", object{"container_id": id, "message": object{"type": "dump"}, "expect_reply": true})
		dump := answer["reply"].(object)["message"].(object)
		changes := dump["socket_dir_changes"].(object)
		if uid, _, _ := strings.Cut(user, ":"); fmt.Sprint(dump["uid"]) != uid || len(changes) != 3 {
			t.Errorf("as %s: uid %v, %v", user, dump["uid"], changes)
		}
		for what, came := range changes {
			if !strings.HasSuffix(came.(string), "read-only file system") {
				t.Errorf("as %s: %s: %v", user, what, came)
			}
		}
	}
	m.clean(t, c)
}

package socketio

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

func boxOf(items int) *outbox {
	l := Limits{OutItems: items, OutBytes: 1 << 20}.withDefaults()
	return newOutbox(&l, &budget{max: 1 << 30})
}

// status is news about a container at a version.
func status(container string, version int) outbound {
	body := fmt.Sprintf(`{"container_id":%q,"resource_version":"%d"}`, container, version)
	return newsOf(api.StatusChanged, json.RawMessage(body), strconv.Itoa(version), container)
}

func activity(version int) outbound {
	return newsOf(api.ActivityLog, json.RawMessage(fmt.Sprintf(`{"resource_version":"%d"}`, version)), strconv.Itoa(version), "")
}

func newsOf(event string, body json.RawMessage, version, subject string) outbound {
	return encodeNews(&session.Event{Name: event, Body: body, Version: version, Subject: subject})
}

func owed(n int) outbound { return encode("answer", numbered(n)) }

// fataler is a test of either kind.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// brief is a packet as a line of a test's expectation.
func brief(t fataler, p outbound) string {
	t.Helper()
	var parts []json.RawMessage
	var body struct {
		ContainerID     string `json:"container_id"`
		ResourceVersion string `json:"resource_version"`
		From, To        string
		Events, N       int
		Coalesced       int
	}
	if err := json.Unmarshal(p.frame[1:], &parts); err != nil {
		t.Fatalf("%s: %v", p.frame, err)
	}
	if err := json.Unmarshal(parts[1], &body); err != nil {
		t.Fatalf("%s: %v", p.frame, err)
	}
	switch name, _ := strconv.Unquote(string(parts[0])); name {
	case api.StatusChanged:
		return fmt.Sprintf("%s %s+%d", body.ContainerID, body.ResourceVersion, body.Coalesced)
	case api.EventsDropped:
		return fmt.Sprintf("dropped %s to %s: %d", body.From, body.To, body.Events)
	case api.ActivityLog:
		return "activity " + body.ResourceVersion
	}
	return fmt.Sprint("owed ", body.N)
}

func drain(t fataler, o *outbox) []string {
	t.Helper()
	var all []string
	for {
		p, ok := o.pop()
		if !ok {
			return all
		}
		all = append(all, brief(t, p))
	}
}

func TestOutbox_StatusIsCoalescedWhenTheClientIsSlow(t *testing.T) {
	o := boxOf(64) // coalesced from 8 on, dropped from 32 on
	version := 0
	for range 3 {
		version++
		o.offer(status("a", version))
	}
	for range 5 {
		version++
		o.offer(activity(version))
	}
	for range 100 {
		version++
		o.offer(status([]string{"a", "b"}[version%2], version))
	}
	want := []string{"a 1+0", "a 2+0", "activity 4", "activity 5", "activity 6", "activity 7", "activity 8", "b 107+49", "a 108+50"}
	if diff := cmp.Diff(want, drain(t, o)); diff != "" {
		t.Error(diff)
	}
	if o.bytes != 0 || len(o.latest) != 0 {
		t.Errorf("empty, but %d bytes and %d subjects", o.bytes, len(o.latest))
	}
}

func TestOutbox_NewsThatDoNotFitAreToldInTheirPlace(t *testing.T) {
	o := boxOf(16) // dropped from 8 on
	for v := 1; v <= 10; v++ {
		o.offer(activity(v))
	}
	o.offer(owed(1))
	for v := 11; v <= 12; v++ {
		if got := o.offer(status("a", v)); got != pushedDropped {
			t.Errorf("version %d: %v", v, got)
		}
	}
	var got []string
	for range 8 {
		p, _ := o.pop()
		got = append(got, brief(t, p))
	}
	o.offer(activity(13)) // there is room again, but the client has not heard of what it missed
	got = append(got, drain(t, o)...)
	o.offer(activity(14))
	got = append(got, drain(t, o)...)
	want := []string{"activity 1", "activity 2", "activity 3", "activity 4", "activity 5", "activity 6", "activity 7", "activity 8",
		"dropped 9 to 13: 5", "owed 1", "activity 14"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOutbox_WhatIsOwedHasRoomThatNewsCannotTake(t *testing.T) {
	o := boxOf(16)
	for v := range 100 {
		o.offer(activity(v))
	}
	n := 0
	for o.offer(owed(n)) == pushedOK {
		n++
	}
	if n != 7 { // eight news and one events_dropped are there
		t.Errorf("%d answers fit", n)
	}
	got := drain(t, o)
	for i, line := range got[len(got)-n:] {
		if line != fmt.Sprint("owed ", i) {
			t.Errorf("answer %d is %q", i, line)
		}
	}
}

// Of what is sent at the client's pace so little waits that what it is owed still fits.
func TestOutbox_WhatIsPacedLeavesRoom(t *testing.T) {
	const items = 64
	o := boxOf(items)
	stop := make(chan struct{})
	close(stop) // nobody waits for room
	for n := range items/pacedShare + 1 {
		want := pushedOK
		if n == items/pacedShare {
			want = pushedFull
		}
		if got := o.offerPaced(owed(n), stop); got != want {
			t.Errorf("packet %d: %v, want %v", n, got, want)
		}
	}
	for n := range items / newsShare {
		if o.offer(owed(n)) != pushedOK {
			t.Fatalf("of what it is owed, %d fit", n)
		}
	}
}

func TestOutbox_ASlowClientHasSoMuchTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := boxOf(16)
		for v := range 10 {
			o.offer(activity(v))
		}
		time.Sleep(o.patience)
		if got := o.offer(activity(10)); got != pushedDropped {
			t.Errorf("just in time: %v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := o.offer(activity(11)); got != pushedFull {
			t.Errorf("too late: %v", got)
		}
	})
}

func TestOutbox_LastWords(t *testing.T) {
	o := boxOf(16)
	for v := range 10 {
		o.offer(activity(v))
	}
	o.discard(owed(1))
	o.discard(owed(2)) // only the first are last
	if o.offer(owed(3)) != pushedClosed {
		t.Error("open behind the last words")
	}
	if got := drain(t, o); got != nil {
		t.Errorf("discarded twice, but %q", got)
	}
	o = boxOf(16)
	o.offer(owed(0))
	o.discard(owed(1))
	if diff := cmp.Diff([]string{"owed 1"}, drain(t, o)); diff != "" {
		t.Error(diff)
	}
	if o.waitNonEmpty() {
		t.Error("there is more")
	}
}

// Whatever is offered and taken in whatever order: what is owed comes whole and in order, news come in the order of their
// versions, and a version that does not come is in an events_dropped or coalesced into a later one of its subject.
func TestOutbox_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{OutItems: rapid.IntRange(8, 40).Draw(t, "items"), OutBytes: rapid.IntRange(4000, 20_000).Draw(t, "bytes")}.withDefaults()
		o := newOutbox(&l, &budget{max: 1 << 30})
		r := reader{t: t, subject: map[int]string{}, told: map[int]bool{}}
		version, answers := 0, 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"status", "status", "activity", "owed", "take"}).Draw(t, "step") {
			case "status":
				version++
				r.subject[version] = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "container")
				o.offer(status(r.subject[version], version))
			case "activity":
				version++
				o.offer(activity(version))
			case "owed":
				if o.offer(owed(answers)) == pushedOK {
					answers++
				}
			case "take":
				if p, ok := o.pop(); ok {
					r.read(brief(t, p))
				}
			}
			// An empty one takes a packet of any size, and an events_dropped always fits.
			if n := o.waiting.Len(); n > o.maxItems+1 || o.bytes > o.maxBytes+1000 {
				t.Fatalf("%d packets, %d bytes", n, o.bytes)
			}
		}
		for _, line := range drain(t, o) {
			r.read(line)
		}
		if used := o.budget.used.Load(); used != 0 || o.bytes != 0 {
			t.Fatalf("empty, but %d bytes, and %d of the budget", o.bytes, used)
		}
		if r.answers != answers {
			t.Fatalf("%d of %d answers came", r.answers, answers)
		}
		for v := 1; v <= version; v++ {
			if !r.told[v] && (r.subject[v] == "" || r.newest[r.subject[v]] < v) {
				t.Fatalf("nothing tells of version %d", v)
			}
		}
	})
}

// reader is a client that remembers what it has been told of.
type reader struct {
	t       *rapid.T
	subject map[int]string // of each version
	told    map[int]bool   // versions that came or are known to be missing
	newest  map[string]int // version by subject
	last    int
	answers int
}

func (r *reader) read(line string) {
	var v, to, n int
	var container string
	switch {
	case strings.HasPrefix(line, "owed"):
		if line != fmt.Sprint("owed ", r.answers) {
			r.t.Fatalf("%q came as answer %d", line, r.answers)
		}
		r.answers++
		return
	case strings.HasPrefix(line, "dropped"):
		r.scan(line, "dropped %d to %d: %d", &v, &to, &n)
		for missed := v; missed <= to; missed++ {
			r.told[missed] = true
		}
		v = to
	case strings.HasPrefix(line, "activity"):
		r.scan(line, "activity %d", &v)
	default:
		r.scan(line, "%s %d+%d", &container, &v, &n)
		if r.newest == nil {
			r.newest = map[string]int{}
		}
		r.newest[container] = v
	}
	if v <= r.last {
		r.t.Fatalf("%q came behind version %d", line, r.last)
	}
	r.told[v], r.last = true, v
}

func (r *reader) scan(line, format string, into ...any) {
	if _, err := fmt.Sscanf(line, format, into...); err != nil {
		r.t.Fatalf("%q: %v", line, err)
	}
}

package sockets

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

func TestNewRequest(t *testing.T) {
	r, err := newRequest(json.RawMessage(`{"id":{"n":1},"type":"go"}`), true, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + r.id + `","type":"go"}`
	if diff := cmp.Diff(want, string(r.frame[headerSize:])); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(`{"n":1}`, string(r.clientID)); diff != "" {
		t.Errorf("client's id (-want +got):\n%s", diff)
	}
}

func TestNewRequest_ErrValidation(t *testing.T) {
	tests := map[string]string{
		"Array":     `[]`,
		"Empty":     ``,
		"Cut":       `{`,
		"NotUTF8":   "{\"a\":\"\xff\"}",
		"TooLong":   `{"a":"` + strings.Repeat("x", 80) + `"}`,
		"Twice":     `{"type":"status","type":"fine"}`,
		"TwiceLast": `{"type":"fine","type":"status"}`,
		"Escaped":   `{"typ\u0065":"\u0073tatus"}`,
	}
	for _, kind := range []string{"status", "lifecycle", "error", "ping", "pong", "hello", "ready", "heartbeat"} {
		tests["Reserved/"+kind] = `{"type":"` + kind + `"}`
	}
	for name, message := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newRequest(json.RawMessage(message), false, 100)
			if err == nil || err.Type != api.ValidationError {
				t.Errorf("err = %v, want a validation_error", err)
			}
		})
	}
}

// Of a type no more is remembered than is worth it, and that is text.
func TestKindOf(t *testing.T) {
	for message, want := range map[string]string{
		`{}`: "", `{"type":7}`: "", `{"type":"go"}`: "go", `{"type":"` + strings.Repeat("☃", 1000) + `"}`: strings.Repeat("☃", 21),
	} {
		o, err := rawjson.Parse([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		if got := kindOf(o); got != want {
			t.Errorf("%.20s: %q, want %q", message, got, want)
		}
	}
}

// pendingMachine drives a pending through what can happen to it in any order and knows what must hold.
type pendingMachine struct {
	p       pending
	added   []*request // in order
	taken   []*request // in the order of their first take
	dropped map[*request]bool
	settled map[*request]int
}

const machineCount, machineBytes = 4, 40

func (m *pendingMachine) Add(t *rapid.T) {
	r := &request{
		id: fmt.Sprint(len(m.added)), frame: make([]byte, rapid.IntRange(1, 20).Draw(t, "size")),
		expectsReply: rapid.Bool().Draw(t, "expects"),
	}
	r.done = func(outcome) { m.settled[r]++ }
	fits := len(m.p.queue) < machineCount && m.p.bytes+len(r.frame) <= machineBytes
	if err := m.p.add(r, machineCount, machineBytes); (err == nil) != fits {
		t.Fatalf("add: %v, where fits = %v", err, fits)
	}
	if fits {
		m.added = append(m.added, r)
	}
}

func (m *pendingMachine) Take(t *rapid.T) {
	busy, queued := m.p.writing != nil, len(m.p.queue) > 0
	r := m.p.take(nil)
	if (r != nil) != (!busy && queued) {
		t.Fatalf("took %v, where busy = %v and queued = %v", r, busy, queued)
	}
	if r != nil && !slices.Contains(m.taken, r) {
		m.taken = append(m.taken, r)
	}
}

func (m *pendingMachine) Written(t *rapid.T) {
	if m.p.writing == nil {
		t.Skip("nothing is being written")
	}
	m.p.markWritten()
}

func (m *pendingMachine) CutOff(t *rapid.T) {
	if m.p.writing == nil {
		t.Skip("nothing is being written")
	}
	m.p.requeue()
}

func (m *pendingMachine) Drop(t *rapid.T) {
	if r := m.any(t); m.p.drop(r) != settled {
		m.dropped[r] = true
	}
}

func (m *pendingMachine) Reply(t *rapid.T) {
	r := m.any(t)
	waits := r.expectsReply && (r.phase == awaitingReply || r.phase == writing)
	if got := m.p.reply(r.id, rawjson.Object{}); got != waits {
		t.Fatalf("reply to request %s in phase %d: %v", r.id, r.phase, got)
	}
}

func (m *pendingMachine) Fail(t *rapid.T) {
	m.p.fail(api.Errorf(api.SocketConnectionError, "gone"))
	for _, r := range m.added {
		if r.phase != settled {
			t.Fatalf("request %s outlived the failure of all", r.id)
		}
	}
}

func (m *pendingMachine) any(t *rapid.T) *request {
	if len(m.added) == 0 {
		t.Skip("nothing was added")
	}
	return rapid.SampledFrom(m.added).Draw(t, "request")
}

func (m *pendingMachine) Check(t *rapid.T) {
	bytes := 0
	for _, r := range m.p.queue {
		bytes += len(r.frame)
		if r.phase != waiting {
			t.Fatalf("request %s in the queue is in phase %d", r.id, r.phase)
		}
	}
	if bytes != m.p.bytes {
		t.Fatalf("%d bytes are queued, %d counted", bytes, m.p.bytes)
	}
	if !slices.IsSortedFunc(m.p.queue, m.order) || !slices.IsSortedFunc(m.taken, m.order) {
		t.Fatal("requests changed places")
	}
	for _, r := range m.added {
		if answered := m.settled[r] == 1; (r.phase == settled) != (answered != m.dropped[r]) || m.settled[r] > 1 {
			t.Fatalf("request %s is in phase %d; answered: %v, dropped: %v", r.id, r.phase, answered, m.dropped[r])
		}
	}
}

func (m *pendingMachine) order(a, b *request) int {
	return slices.Index(m.added, a) - slices.Index(m.added, b)
}

func TestPending_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &pendingMachine{p: newPending(), dropped: map[*request]bool{}, settled: map[*request]int{}}
		t.Repeat(rapid.StateMachineActions(m))
	})
}

func TestPending_Fail(t *testing.T) {
	p := newPending()
	want := []string{"unknown", "not_sent"}
	var all []*request
	failed := map[*request]error{}
	for range want {
		r := &request{}
		r.done = func(got outcome) { failed[r] = got.err }
		all = append(all, r)
		if err := p.add(r, 10, 10); err != nil {
			t.Fatal(err)
		}
	}
	p.take(nil)
	p.fail(closedError())
	for i, r := range all {
		err, _ := failed[r].(*api.Error)
		if err == nil || err.Type != api.SocketConnectionError || err.Details["delivery"] != want[i] {
			t.Errorf("request %d failed with %v, want delivery %s", i, err, want[i])
		}
	}
}

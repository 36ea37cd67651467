//go:build sim

package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// simEngine is a state machine that obeys Docker's rules, with faults that a script arms. Requests that reached it take
// effect whatever becomes of who asked.
type simEngine struct {
	court *court
	code  *fakeSnapshots

	mu         sync.Mutex
	serial     int
	containers map[string]*simContainer
	restarts   int
	away       bool
	calm       bool // what exits by itself no longer does
	latency    time.Duration
	removal    time.Duration
	halt       time.Duration        // how long a process takes to end once it is asked to
	spinup     time.Duration        // how long a start takes
	skew       atomic.Int64         // of the host's clock, which is the engine's too
	refused    map[string]time.Time // until when limits are refused, by name
	stubborn   map[string]time.Time // until when no signal comes through
	borrowed   map[string]bool      // names that somebody else has for a while
	ailing     map[string]time.Time // until when what begins to run is soon found unhealthy
	stream     chan struct{}        // closed when the event streams end
	mute       bool                 // nobody can subscribe
	marks      map[*simPort]func(Event)
	armed      []*simFault
	buffer     []Event                  // since the engine began
	starting   map[string]chan struct{} // by Docker id; closed when a start that takes its time has ended
	terms      map[string]reaction
	pulled     map[string]bool // images that are there
}

type simContainer struct {
	plan.Container
	ours      bool // made by a call to Create
	template  Template
	volume    string // what its image keeps its data in
	run       int
	code      string         // that its newest run found in its mount
	byHand    bool           // this run was begun by an outside hand
	asked     time.Time      // when the manager first asked this run to stop
	until     time.Time      // when its newest run ended, by the true clock
	halted    bool           // this run was paused once
	since     time.Time      // when this run began, by the true clock
	signalled int            // the run that the engine itself has asked to end
	limited   api.Resources  // what the manager has it held to
	pending   bool           // a signal waits until it is unpaused
	frozen    bool           // its own end waits for that
	resumed   time.Time      // when it was unpaused last, by the true clock
	carried   bool           // an outside hand has given it another name
	gone      chan struct{}  // closed when a removal that takes time has ended
	born      plan.Container // of a foreign one: what it looked like
}

// reaction is how a process answers the stop signal.
type reaction struct {
	ignore bool
	after  time.Duration
	code   int
}

// simFault happens to the next call of a kind upon a name.
type simFault struct {
	name, call string
	after      bool // the call takes effect first
	err        error
	delay      time.Duration
}

// simTarget is where every image of the simulation has an anonymous volume.
const simTarget = "/anonymous"

func newSimEngine(s simScript) *simEngine {
	return &simEngine{containers: map[string]*simContainer{}, latency: s.Latency, removal: s.Removal, halt: s.Halt, spinup: s.Spinup, refused: map[string]time.Time{}, stubborn: map[string]time.Time{}, borrowed: map[string]bool{}, ailing: map[string]time.Time{}, stream: make(chan struct{}),
		marks: map[*simPort]func(Event){}, starting: map[string]chan struct{}{}, terms: map[string]reaction{}, pulled: map[string]bool{"app": true, "crash": true, "job": true, "broken": true}}
}

func (c *simContainer) alive() bool { return c.Container.Alive() }

func (e *simEngine) findLocked(ref string) (*simContainer, error) {
	if c, ok := e.containers[ref]; ok {
		return c, nil
	}
	for _, c := range e.containers {
		if c.Name == ref {
			return c, nil
		}
	}
	return nil, ErrAbsent
}

// oursLocked finds the newest container that was made for a record's name.
func (e *simEngine) oursLocked(name string) *simContainer {
	var newest *simContainer
	for _, c := range e.containers {
		if c.ours && c.template.Name == name && (newest == nil || c.DockerID > newest.DockerID) {
			newest = c
		}
	}
	return newest
}

func (e *simEngine) addLocked(name string) *simContainer {
	e.serial++
	c := &simContainer{Container: plan.Container{DockerID: fmt.Sprintf("%012d%052d", e.serial, 0), Name: name, State: "created"}}
	e.containers[c.DockerID] = c
	return c
}

func (e *simEngine) createLocked(t Template) (string, error) {
	if t.Spec.Image == "missing" {
		return "", ErrAbsent
	}
	if _, err := e.findLocked(t.DockerName); err == nil {
		return "", ErrConflict
	}
	c := e.addLocked(t.DockerName)
	c.ours, c.template = true, t
	c.Carried = t.Volumes
	if c.volume = t.Volumes[simTarget]; c.volume == "" {
		c.volume = fmt.Sprint("volume-", e.serial)
		c.Anonymous = map[string]string{simTarget: c.volume}
	}
	c.limited = t.Spec.Resources
	c.Limits, c.RestartPolicy, c.Networks = t.Spec.Resources, "no", []string{t.Spec.Network}
	c.ID, c.Token, c.Hash, c.Instance, c.ImageID = t.ID, t.Token, t.Hash, t.Instance, t.Spec.Image
	c.Flow, c.Network = t.Name, t.Spec.Network
	if e.court.replaced(&t) {
		c.ours, c.born = false, c.Container
	}
	e.court.note("      %s is made, %.12s", c.Name, c.DockerID)
	e.tellLocked(c, Changed)
	return c.DockerID, nil
}

func (e *simEngine) startLocked(c *simContainer, byHand bool) error {
	switch {
	case c.State == "running":
		return nil
	case c.State != "created" && c.State != "exited":
		return ErrConflict
	case c.template.Spec.Image == "broken":
		c.StartError, c.ExitCode, c.Networks = "no such command", 127, []string{}
		e.court.file(c.ID).failed[c.Hash] = true
		return ErrInvalid
	}
	digest, mounted := e.mountLocked(c)
	if !mounted {
		c.StartError, c.ExitCode = "the source of a mount does not exist", 127
		return ErrInvalid
	}
	c.code, c.halted = digest, false
	c.run++
	c.State, c.FinishedAt, c.ExitCode, c.byHand, c.asked, c.pending = "running", time.Time{}, 0, byHand, time.Time{}, false
	c.Health, c.frozen = "", false
	c.StartedAt, c.since = e.stampLocked(), time.Now()
	e.court.started(e, c)
	e.tellLocked(c, Started)
	e.liveLocked(c)
	e.illLocked(c)
	return nil
}

// liveLocked lets those processes end that end by themselves.
func (e *simEngine) liveLocked(c *simContainer) {
	code, known := map[string]int{"crash": 1, "job": 0}[c.template.Spec.Image]
	if strings.HasPrefix(c.code, "digest-of-bad") {
		code, known = 2, true
	}
	if !c.ours || !known || e.calm {
		return
	}
	e.laterLocked(c, 40*time.Millisecond, func() {
		switch {
		case c.State == "paused":
			c.frozen = true
		case !e.calm:
			e.endLocked(c, code)
		}
	})
}

// laterLocked does f if the same run is still alive then.
func (e *simEngine) laterLocked(c *simContainer, d time.Duration, f func()) {
	run := c.run
	time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if c.run == run && c.alive() && e.containers[c.DockerID] == c {
			f()
		}
	})
}

func (e *simEngine) endLocked(c *simContainer, code int) {
	if !c.alive() {
		return
	}
	if c.State == "running" && time.Since(c.since) >= simMonitor {
		e.court.was(c, api.StateRunning)
	}
	c.State, c.ExitCode, c.FinishedAt, c.until = "exited", code, e.stampLocked(), time.Now()
	if !c.ours {
		c.born = c.Container
	}
	e.court.ended(c)
	e.tellLocked(c, Ended)
}

func (e *simEngine) killLocked(c *simContainer, signal string) error {
	if !c.alive() {
		return ErrConflict
	}
	e.tellLocked(c, Killed)
	if signal == "" {
		e.endLocked(c, 137)
		return nil
	}
	if c.State == "paused" {
		c.pending = true
		return nil
	}
	e.terminateLocked(c)
	return nil
}

func (e *simEngine) terminateLocked(c *simContainer) {
	switch how := e.terms[c.template.Name]; {
	case how.ignore:
	case how.after > 0:
		e.laterLocked(c, how.after, func() { e.endLocked(c, how.code) })
	case e.halt > 0:
		e.laterLocked(c, e.halt, func() { e.endLocked(c, how.code) })
	default:
		e.endLocked(c, how.code)
	}
}

func (e *simEngine) pauseLocked(c *simContainer) error {
	if c.State != "running" {
		return ErrConflict
	}
	c.State, c.halted = "paused", true
	e.court.was(c, api.StatePaused)
	e.tellLocked(c, Changed)
	return nil
}

func (e *simEngine) unpauseLocked(c *simContainer) error {
	if c.State != "paused" {
		return errEngine // an Internal, as the engine has it
	}
	c.State, c.resumed = "running", time.Now()
	e.tellLocked(c, Changed)
	if c.frozen {
		c.frozen = false
		e.liveLocked(c)
	}
	if c.pending {
		c.pending = false
		e.terminateLocked(c)
	}
	return nil
}

func (e *simEngine) renameLocked(c *simContainer, name string) error {
	if c.Name == name {
		return ErrInvalid
	}
	if _, err := e.findLocked(name); err == nil {
		return ErrConflict
	}
	c.Name = name
	e.tellLocked(c, Changed)
	return nil
}

func (e *simEngine) removeLocked(c *simContainer) error {
	if c.State == "removing" {
		return ErrConflict
	}
	if e.removal == 0 {
		e.dropLocked(c)
		return nil
	}
	gone := make(chan struct{})
	c.State, c.gone = "removing", gone
	time.AfterFunc(e.removal, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.dropLocked(c)
		close(gone)
	})
	return nil
}

func (e *simEngine) dropLocked(c *simContainer) {
	if e.containers[c.DockerID] != c {
		return
	}
	delete(e.containers, c.DockerID)
	c.State = "gone"
	e.tellLocked(c, Changed)
}

// stampLocked is a moment by the engine's clock. Fake time stands still between steps, and no two things happen at once.
func (e *simEngine) stampLocked() time.Time {
	e.serial++
	return e.wall().Add(time.Duration(e.serial))
}

// wall is the time by the host's clock.
func (e *simEngine) wall() time.Time { return time.Now().Add(time.Duration(e.skew.Load())) }

// replayLocked is what the engine remembers of what happened since.
func (e *simEngine) replayLocked(since time.Time) Replay {
	var replay Replay
	for _, told := range e.buffer[max(0, len(e.buffer)-simBuffer):] {
		if told.At.Before(since) {
			continue
		}
		if replay.First.IsZero() {
			replay.First = told.At
		}
		replay.Same = replay.Same || told.At.Equal(since)
		if told.ID != "" {
			replay.Events = append(replay.Events, told)
		}
	}
	replay.Younger = !replay.Same && len(e.buffer) < simBuffer
	return replay
}

// simBuffer is how many events an engine remembers.
const simBuffer = 256

// tellLocked sends an event, unless a fault takes it, holds it up or repeats it.
func (e *simEngine) tellLocked(c *simContainer, kind EventKind) {
	told := Event{ID: c.ID, DockerID: c.DockerID, Kind: kind, At: e.stampLocked()}
	e.buffer = append(e.buffer, told)
	if c.ID == "" {
		return
	}
	times, delay := 1, time.Duration(0)
	if f := e.takeLocked("event", c.template.Name); f != nil {
		e.court.disturb(c.ID)
		times, delay = map[time.Duration]int{0: 0, time.Nanosecond: 2}[f.delay], f.delay
		if f.delay > time.Nanosecond {
			times = 1
		}
		if f := e.court.file(c.ID); times == 0 {
			f.blind = true
		} else if late := time.Now().Add(delay); f.doubt.Before(late) {
			f.doubt = late
		}
	}
	for _, port := range slices.SortedFunc(maps.Keys(e.marks), func(a, b *simPort) int { return a.number - b.number }) {
		tell := e.marks[port]
		for range times {
			if delay > time.Nanosecond {
				time.AfterFunc(delay, func() { tell(told) })
				continue
			}
			tell(told)
		}
	}
}

// takeLocked finds and disarms the fault that is meant for a call.
func (e *simEngine) takeLocked(call, name string) *simFault {
	for i, f := range e.armed {
		if f.call == call && (f.name == name || call == "list") {
			e.armed = slices.Delete(e.armed, i, i+1)
			return f
		}
	}
	return nil
}

// breakStreamLocked ends the event streams, and with away the engine answers nobody.
func (e *simEngine) breakStreamLocked(away bool) {
	e.away = away
	close(e.stream)
	e.stream = make(chan struct{})
	clear(e.marks)
	e.court.outage()
}

// speak lets the manager subscribe again.
func (e *simEngine) speak() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mute = false
}

// restartLocked ends all processes and forgets the requests that are under way.
func (e *simEngine) restartLocked(code int) {
	e.restarts++
	for _, busy := range e.starting {
		close(busy)
	}
	clear(e.starting)
	for _, c := range e.containers {
		if c.alive() {
			e.endLocked(c, code)
			c.born.State, c.born.ExitCode, c.born.FinishedAt = c.State, c.ExitCode, c.FinishedAt
		}
	}
	e.buffer = nil
}

// settle ends all faults.
func (e *simEngine) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calm, e.away, e.mute, e.armed = true, false, false, nil
	clear(e.terms)
	clear(e.refused)
	clear(e.stubborn)
	clear(e.ailing)
	for name := range e.borrowed {
		e.squatLocked("hand-leave", name, nil)
	}
	clear(e.borrowed)
}

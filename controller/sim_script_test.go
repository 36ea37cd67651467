//go:build sim

package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// simScript is all that a seed decides: two acts, each of which ends in a calm that has to be reached in time.
type simScript struct {
	Acts    []simAct
	Latency time.Duration // of each engine call
	Removal time.Duration // how long the engine needs to take a container away
	Halt    time.Duration // how long a process takes to end once it is asked to
	Spinup  time.Duration // how long a start takes
	Twin    bool          // another manager is on the engine
}

type simAct []simBeat

// simBeat is a client's operation, perhaps a fault, and what time passes after each.
type simBeat struct{ Op, Fault simStep }

type simStep struct {
	Kind  string // "" is nothing
	Name  string
	Arg   int
	Pause time.Duration
}

// String is empty for a step that shrinking has taken away.
func (s simStep) String() string {
	if s.Kind == "" {
		return ""
	}
	return fmt.Sprintf("    %-14s %-4s arg %2d, then %v\n", s.Kind, s.Name, s.Arg, s.Pause)
}

// String lists what is left of the script.
func (s simScript) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "latency %v, removal %v, stops %v, starts %v, another manager %v\n", s.Latency, s.Removal, s.Halt, s.Spinup, s.Twin)
	for i, act := range s.Acts {
		fmt.Fprintf(&b, "  act %d\n", i+1)
		for _, beat := range act {
			b.WriteString(beat.Op.String() + beat.Fault.String())
		}
	}
	return b.String()
}

// steps lists where the steps are.
func (s simScript) steps() []*simStep {
	var steps []*simStep
	for _, act := range s.Acts {
		for i := range act {
			steps = append(steps, &act[i].Op, &act[i].Fault)
		}
	}
	return steps
}

// without is a copy whose steps from..to are gone.
func (s simScript) without(from, to int) simScript {
	acts := make([]simAct, len(s.Acts))
	for i := range s.Acts {
		acts[i] = slices.Clone(s.Acts[i])
	}
	s.Acts = acts
	steps := s.steps()
	for _, step := range steps[from:min(to, len(steps))] {
		*step = simStep{}
	}
	return s
}

// count tells how many client operations and faults there are.
func (s simScript) count() (ops, faults int) {
	for _, act := range s.Acts {
		for _, beat := range act {
			if beat.Op.Kind != "" {
				ops++
			}
			if beat.Fault.Kind != "" {
				faults++
			}
		}
	}
	return ops, faults
}

// simWeight is a kind of step and how often it is drawn beside the others.
type simWeight struct {
	kind   string
	weight int
}

func simOps() []simWeight {
	return []simWeight{{"", 1}, {"apply", 19}, {"code", 4}, {"code-back", 1}, {"pull", 2}, {"retry", 1}, {"start", 9}, {"stop", 7}, {"restart", 7}, {"pause", 5}, {"unpause", 3}, {"delete", 5}}
}

func simFaults() []simWeight {
	return []simWeight{{"", 2}, {"health", 2}, {"ail", 3}, {"sweep", 1}, {"deaf", 1}, {"hand-restart", 2}, {"code", 2}, {"exit", 5}, {"hand-stop", 2}, {"hand-kill", 2}, {"hand-remove", 3}, {"hand-start", 3}, {"hand-pause", 2},
		{"hand-unpause", 2}, {"hand-rename", 2}, {"hand-copy", 2}, {"hand-take", 1}, {"hand-leave", 1}, {"fail-call", 6}, {"slow-call", 4},
		{"events", 4}, {"term", 3}, {"away", 2}, {"engine-restart", 1}, {"stream", 1}, {"kill", 5}, {"restart", 1}, {"reboot", 1}, {"dead", 1},
		{"hand-limit", 2}, {"refuse-limit", 2}, {"hand-disconnect", 2}, {"hand-borrow", 3}, {"pull", 2}, {"prune", 1}, {"engine-stop", 2}, {"clock", 3}, {"stubborn", 2},
		{"disk-full", 3}, {"damage", 2}, {"back-up", 2}, {"copy-back", 2}, {"twin", 2}}
}

// uniform draws evenly and shrinks to 0; rapid's own ranges prefer small numbers.
func uniform(rt *rapid.T, bits int) int {
	n := 0
	for range bits {
		n <<= 1
		if rapid.Bool().Draw(rt, "bit") {
			n |= 1
		}
	}
	return n
}

func simKind(rt *rapid.T, weights []simWeight) string {
	all := 0
	for _, w := range weights {
		all += w.weight
	}
	n := uniform(rt, 8) * all / 256
	for _, w := range weights {
		if n < w.weight {
			return w.kind
		}
		n -= w.weight
	}
	return ""
}

func drawStep(rt *rapid.T, weights []simWeight) simStep {
	pauses := [16]time.Duration{0, 0, 0, 0, time.Millisecond, 5 * time.Millisecond, 40 * time.Millisecond, 300 * time.Millisecond,
		time.Second, 2 * time.Second, 4 * time.Second, 12 * time.Second, 25 * time.Second, 70 * time.Second, 150 * time.Second, 11 * time.Minute}
	kind := simKind(rt, weights)
	if kind == "" {
		return simStep{}
	}
	return simStep{kind, [4]string{"web", "web", "db", "job"}[uniform(rt, 2)], uniform(rt, 6), pauses[uniform(rt, 4)]}
}

// simSwarm is what may go wrong in one script: every second one leaves about three quarters of it out, so that what is left meets itself
// and long quiet more often (swarm testing: Groce et al., ISSTA 2012).
func simSwarm(rt *rapid.T) []simWeight {
	all := simFaults()
	if uniform(rt, 1) == 0 {
		return all
	}
	kept := []simWeight{{"", 2}, {"exit", 5}}
	for _, w := range all {
		if uniform(rt, 2) == 0 {
			kept = append(kept, w)
		}
	}
	return kept
}

// simScripts draws scripts of at least 40 client operations and 10 faults, but for those that shrinking takes away.
func simScripts() *rapid.Generator[simScript] {
	return rapid.Custom(func(rt *rapid.T) simScript {
		faults := simSwarm(rt)
		beats := rapid.Custom(func(rt *rapid.T) simBeat { return simBeat{drawStep(rt, simOps()), drawStep(rt, faults)} })
		latencies := [4]time.Duration{0, 0, time.Millisecond, 35 * time.Millisecond}
		removals := [4]time.Duration{0, 0, 0, 3 * time.Second}
		halts := [8]time.Duration{0, 0, 0, 300 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 5 * time.Second, 12 * time.Second}
		spinups := [8]time.Duration{0, 0, 0, 0, 0, 300 * time.Millisecond, 3 * time.Second, 12 * time.Second}
		s := simScript{Latency: latencies[uniform(rt, 2)], Removal: removals[uniform(rt, 2)], Halt: halts[uniform(rt, 3)], Spinup: spinups[uniform(rt, 3)], Twin: uniform(rt, 2) == 0}
		for range 2 {
			s.Acts = append(s.Acts, rapid.SliceOfN(beats, 23, 27).Draw(rt, "act"))
		}
		return s
	})
}

//go:build sim

package controller

// simGaps are findings of the simulator that the controller does not answer yet. Each is excluded by its own switch, so
// that everything else is held all the same; a switch goes when its finding is answered.
type simGaps struct {
	// freshStaysEnded: a container that its policy had ended, and that was made anew since because somebody removed it,
	// stays at rest under another policy that would start it.
	freshStaysEnded bool
}

func knownGaps() simGaps { return simGaps{freshStaysEnded: true} }

//go:build sim

package controller

// simGaps are findings of the simulator that the controller does not answer yet. Each is excluded by its own switch, so
// that everything else is held all the same; a switch goes when its finding is answered.
type simGaps struct {
	// newTemplateStaysEnded: a new template, declared for a container whose policy had ended it, is created and not started.
	newTemplateStaysEnded bool
	// policyStaysEnded: a container that its policy had ended stays so under another policy that would start it.
	policyStaysEnded bool
	// bootNotedAfterStart: a run whose start was not answered before the manager died, on a host that was rebooted before,
	// is taken for one that the reboot interrupted, and repeated though it had succeeded.
	bootNotedAfterStart bool
	// digestOfOldList: a start and an exit between two lists, their events lost, leave the list as it was; the exit is
	// never seen.
	digestOfOldList bool
	// neverRunsAgain: a container whose policy is never, removed by an outside hand while it runs, is made and run again
	// without an explicit start.
	neverRunsAgain bool
	// freshIsInterrupted: after a reboot of the host, a new container that never ran is taken for an interrupted one; under
	// the policy never no explicit start starts it.
	freshIsInterrupted bool
}

func knownGaps() simGaps { return simGaps{} }

package plan

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Action is one thing to do; the zero value is nothing.
type Action string

// The actions. Those that ask the engine for nothing are marked (note): Apply is all that there is to them.
const (
	Rest Action = "" // nothing, or not yet: Step.Rests say which

	// Removal.
	Stop     Action = "stop"     // ask a container to stop
	Kill     Action = "kill"     // its grace is over
	Remove   Action = "remove"   // take a container away
	Forget   Action = "forget"   // superseded containers are gone (note)
	Finalize Action = "finalize" // nothing is left: drop the record

	// Process.
	Forgive       Action = "forgive"        // an outage explains ends that were counted (note)
	ExplicitStart Action = "explicit-start" // what kept the container down is forgotten (note)
	BeginRestart  Action = "begin-restart"  // which run a restart replaces (note)
	EndRestart    Action = "end-restart"    // the restart is done, or no longer wanted (note)
	RecordExit    Action = "record-exit"    // an exit that nobody asked for (note)
	RecordStop    Action = "record-stop"    // what was asked to stop has stopped (note)
	IntendStart   Action = "intend-start"   // what the next run will be, before it can be (note)
	Suspect       Action = "suspect"        // the engine was lost while it alone was being started (note)
	Listen        Action = "listen"         // open the flow's socket
	Start         Action = "start"          // give the container a process
	Pause         Action = "pause"          // stop its process without ending it
	Unpause       Action = "unpause"        // let it go on

	// Update.
	Intend            Action = "intend"             // write a create intent
	IntendReplacement Action = "intend-replacement" // write that of the container that is to take the current one's place
	Create            Action = "create"             // make the intended container
	Adopt             Action = "adopt"              // the container that an intent led to is there (note)
	Outdate           Action = "outdate"            // the current container must not be started, and another one is to take its place (note)
	Resolve           Action = "resolve"            // look up anew what the image's reference means
	Discard           Action = "discard"            // the candidate is not wanted any more (note)
	Attempt           Action = "attempt"            // a handover begins (note)
	Abandon           Action = "abandon"            // it ends before anything has changed places (note)
	Promote           Action = "promote"            // the candidate takes over (note)
	SwitchCode        Action = "switch-code"        // the current container is to run other code
	Commit            Action = "commit"             // it has proven itself, or is kept all the same
	Rollback          Action = "rollback"           // what stood before takes over again
	ResetTrial        Action = "reset-trial"        // how often a template was tried is forgotten (note)

	// Settings and name.
	Limit   Action = "limit"   // change limits in place
	Connect Action = "connect" // attach to the network
	Renew   Action = "renew"   // restart it, for it has lost the folder of its socket (note)
	Rename  Action = "rename"
)

// TrackID names a track.
type TrackID int

// The tracks, in the order in which they are looked at.
const (
	Removal TrackID = iota
	Process
	Update
	Settings
	Name
	tracks
)

// Step is what Plan decided: an action, upon which container, and why.
type Step struct {
	Action Action
	Track  TrackID
	// On is the container that it is upon, where it is upon one.
	On *Container
	// Cause is one of api's causes, Detail a sentence for people.
	Cause, Detail string
	// Name is for Rename.
	Name string
	// Candidate tells that Create and Adopt are about the candidate.
	Candidate bool
	// Asked, Generation and Input are what it was planned for.
	Asked      store.Requests
	Generation int64
	Input      string
	// Rests are what each track waits for, where all do.
	Rests [tracks]Waiting
}

// Waiting is what a track that has nothing to do now waits for.
type Waiting struct {
	// Reason is a word for Progressing, "" where nothing is under way; Message is for people.
	Reason, Message string
	// Left is how long until it is to be looked at again, 0 where something has to happen first.
	Left time.Duration
	// Open tells that what was declared is not dealt with yet.
	Open bool
}

// retrying is the reason of a track that is held back by a failure, or by outside hands.
const retrying = api.ReasonRetrying

// over reports whether nothing is left to be done but to look again.
func (w Waiting) over() bool { return w.Reason == "" && !w.Open }

// Resting reports whether there is nothing to do now.
func (s *Step) Resting() bool { return s.Action == Rest }

// Left is how long until the first track is to be looked at again, 0 where something has to happen first.
func (s *Step) Left() time.Duration {
	var least time.Duration
	for _, w := range s.Rests {
		if w.Left > 0 && (least == 0 || w.Left < least) {
			least = w.Left
		}
	}
	return least
}

// Open reports whether a track has not dealt yet with what was declared.
func (s *Step) Open() bool {
	for _, w := range s.Rests {
		if w.Open {
			return true
		}
	}
	return false
}

// Waiting is the first track's that waits for something that people are told of.
func (s *Step) Waiting() Waiting {
	for _, w := range s.Rests {
		if w.Reason != "" {
			return w
		}
	}
	return Waiting{}
}

// verdict is what a track decided: a step, or what it waits for.
type verdict struct {
	step    Step
	waiting Waiting
}

func do(action Action, on *Container, cause string) verdict {
	return verdict{step: Step{Action: action, On: on, Cause: cause}}
}

func (v verdict) because(detail string) verdict {
	v.step.Detail = detail
	return v
}

func waits(w Waiting) verdict { return verdict{waiting: w} }

func idle() verdict { return verdict{} }

func (v *verdict) acts() bool { return v.step.Action != Rest }

package plan

import (
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// planCase is what is done in a case, and what the status would say then.
type planCase struct {
	name   string
	scene  *scene
	did    string
	state  string
	reason string
}

// planCases are one for each rule: first the states, then by what happened.
func planCases() []planCase {
	return []planCase{
		// States, the first that fits.
		{"removing: deleted", newScene().deleted(), "stop for declaration", "removing", "Removing"},
		{"running", newScene(), "", "running", "Running"},
		{"running: health starting", newScene().with(func(s *scene) { s.c.Health = api.HealthStarting }), "", "running", "HealthStarting"},
		{"running: unhealthy, reported only", newScene().with(unwell).with(func(s *scene) { s.r.Spec.RestartPolicy.OnUnhealthy = api.UnhealthyReport }), "", "running", "Unhealthy"},
		{"running: not ready before the flow says so", newScene().with(func(s *scene) { s.r.Spec.Readiness = api.ReadinessSocket }), "", "running", "WaitingForFlow"},
		{"running: the flow has said that it is ready", newScene().with(func(s *scene) { s.r.Spec.Readiness, s.o.Ready = api.ReadinessSocket, true }), "", "running", "Running"},
		{"running: the flow said so before", newScene().with(func(s *scene) { s.r.Spec.Readiness, s.r.Run.Ready = api.ReadinessSocket, Run(s.c) }), "", "running", "Running"},
		{"running: it may be silent until then", newScene().with(func(s *scene) { s.o.SilenceLeft = 4 * time.Second }), "4s", "running", "Running"},
		{"paused", newScene().long(api.DesiredPaused).is("paused"), "", "paused", "Paused"},
		{"restarting: a start is due", newScene().ended(1).counted("").with(backoff), "BackOff 4s", "restarting", "BackOff"},
		{"stopped", newScene().long(api.DesiredStopped).ended(0), "", "stopped", "Stopped"},
		{"created: declared so", newScene().long(api.DesiredCreated).fresh(), "", "created", "Created"},
		{"created: not made yet", newScene().with(removedByOthers).with(func(s *scene) { s.r.Current = store.Placement{} }), "intend for declaration", "created", "Created"},
		{"exited: completed", newScene().policy(api.RestartNever, 0).ended(0).counted(Completed), "", "exited", "Completed"},
		{"exited: failed", newScene().policy(api.RestartNever, 0).ended(1).counted(Failed), "", "exited", "Failed"},
		{"exited: interrupted", newScene().policy(api.RestartNever, 0).ended(137).counted(Interrupted), "", "exited", "Interrupted"},
		{"exited: gave up", newScene().policy(api.RestartAlways, 2).ended(1).counted(GaveUp), "", "exited", "GaveUp"},
		{"dead: taken away and made anew", newScene().is("dead"), "remove for drift", "dead", "Dead"},
		{"removal under way: waited for", newScene().is("removing"), "Removing 1s", "restarting", "BackOff"},

		// created and stopped are one thing to the planner.
		{"declared created while it runs", newScene().declared(api.DesiredCreated), "stop for declaration", "running", "Running"},
		{"declared stopped while it runs", newScene().declared(api.DesiredStopped), "stop for declaration", "running", "Running"},
		{"declared stopped while it waits for its restart", newScene().declared(api.DesiredStopped).ended(1).counted("").with(backoff), "", "stopped", "Stopped"},
		{"stopped, started by an outside hand", newScene().long(api.DesiredStopped), "stop for drift", "running", "Running"},
		{"stopped, paused by an outside hand", newScene().long(api.DesiredStopped).is("paused"), "unpause for drift", "paused", "Paused"},
		{"asked to stop: its grace", newScene().declared(api.DesiredStopped).with(func(s *scene) { s.r.Current.Stop = soon() }), "Stopping 4s", "running", "Running"},
		{"asked to stop: its grace is over", newScene().declared(api.DesiredStopped).with(func(s *scene) { s.r.Current.Stop = over() }), "kill for declaration", "running", "Running"},
		{"asked to stop, and has", newScene().declared(api.DesiredStopped).ended(0).with(func(s *scene) { s.r.Current.Stop = soon() }), "record-stop", "stopped", "Stopped"},
		{"started while it is still being stopped", newScene().declared(api.DesiredRunning).with(func(s *scene) { s.r.Current.Stop = soon() }), "Stopping 4s", "running", "Running"},

		// paused is running, then paused.
		{"declared paused while it runs", newScene().declared(api.DesiredPaused), "pause for declaration", "running", "Running"},
		{"declared paused and never started", newScene().declared(api.DesiredPaused).fresh(), "start for declaration", "created", "Created"},
		{"paused, and the host was rebooted: noted", newScene().long(api.DesiredPaused).ended(137).with(interruption), "record-exit for recovery", "restarting", "BackOff"},
		{"paused, and the host was rebooted: started", newScene().long(api.DesiredPaused).ended(137).with(interruption).dealt(EndInterrupted), "start for recovery", "restarting", "BackOff"},
		{"declared running while it is paused", newScene().declared(api.DesiredRunning).is("paused"), "unpause for declaration", "paused", "Paused"},

		// An exit is what ended a process that we did not ask to end, an outside hand's stop and kill included.
		{"an exit is counted once", newScene().ended(0), "record-exit for exit", "restarting", "BackOff"},
		{"an exit that was counted is followed by a start", newScene().ended(1).counted(""), "start for exit", "restarting", "BackOff"},
		{"docker stop", newScene().ended(143), "record-exit for exit", "restarting", "BackOff"},
		{"docker kill", newScene().ended(137), "record-exit for exit", "restarting", "BackOff"},
		{"a completed one stays", newScene().policy(api.RestartOnFailure, 0).ended(0).counted(Completed), "", "exited", "Completed"},
		{"a completed one that a hand started, and that failed", newScene().policy(api.RestartOnFailure, 0).ended(1).counted(Completed).since(time.Second).ended(1), "record-exit for exit", "exited", "Completed"},
		{"another policy asks anew", newScene().policy(api.RestartNever, 0).ended(0).counted(Completed).policy(api.RestartAlways, 0), "record-exit for declaration", "exited", "Completed"},
		{"an explicit start of what has ended", newScene().ended(1).counted(GaveUp).with(explicitStart), "explicit-start for declaration", "exited", "GaveUp"},
		{"started explicitly after its end", newScene().declared(api.DesiredRunning).ended(1).dealt(EndAsked), "start for declaration", "restarting", "BackOff"},
		{"what will run is written down before it can be", newScene().declared(api.DesiredRunning).ended(1).dealt(EndAsked).with(func(s *scene) { s.r.Run.Begun = false }), "intend-start for declaration", "restarting", "BackOff"},
		{"the engine was lost each time that it was started", newScene().ended(1).counted("").with(func(s *scene) { s.r.Run.Suspected = 2 }), "", "restarting", "BackOff"},

		// One that is not well is restarted, and shares the backoff of exits.
		{"unhealthy: counted", newScene().with(unwell), "record-exit for unhealthy", "running", "Unhealthy"},
		{"unhealthy and counted: stopped", newScene().with(unwell).counted(""), "stop for unhealthy", "running", "Unhealthy"},
		{"unhealthy and stopped: waits like after a crash", newScene().ended(143).counted("").with(backoff), "BackOff 4s", "restarting", "BackOff"},
		{"unhealthy, and its wait is over", newScene().ended(143).counted("").with(func(s *scene) { s.r.Run.Backoff, s.r.Run.Exit = over(), &store.Exit{Unhealthy: true} }), "start for unhealthy", "restarting", "BackOff"},
		{"unhealthy, well again, and counted: still stopped", newScene().counted(""), "stop for unhealthy", "running", "Running"},
		{"unhealthy, and given up", newScene().with(unwell).counted(GaveUp), "", "running", "Unhealthy"},
		{"unhealthy under never", newScene().policy(api.RestartNever, 0).with(unwell), "", "running", "Unhealthy"},
		{"unhealthy and declared to rest", newScene().declared(api.DesiredStopped).with(unwell), "stop for declaration", "running", "Unhealthy"},

		// Interrupted.
		{"interrupted, always", newScene().ended(137).with(interruption), "record-exit for recovery", "restarting", "BackOff"},
		{"interrupted with code 0, on-failure", newScene().policy(api.RestartOnFailure, 0).ended(0).with(interruption), "record-exit for recovery", "restarting", "BackOff"},
		{"interrupted and noted: started at once", newScene().ended(137).with(interruption).dealt(EndInterrupted), "start for recovery", "restarting", "BackOff"},
		{"counted as an exit before it was known that it was interrupted", newScene().ended(137).counted("").with(interruption), "record-exit for recovery", "restarting", "BackOff"},
		{"told as completed before it was known that it was interrupted: it stays so", newScene().policy(api.RestartOnFailure, 0).ended(0).counted(Completed).with(interruption), "", "exited", "Completed"},
		{"an outage explains an earlier end too", newScene().with(func(s *scene) {
			s.r.Run.Count(store.CountedEnd{Run: "d1@before", At: aTime.Add(-2 * time.Minute)})
			s.o.Outages = []Outage{{From: aTime.Add(-3 * time.Minute), To: aTime}}
		}), "forgive for recovery", "running", "Running"},
		{"an outage explains no end that is known to be its own", newScene().with(func(s *scene) {
			s.r.Run.Count(store.CountedEnd{Run: "d1@before", At: aTime.Add(-2 * time.Minute), Own: true})
			s.o.Outages = []Outage{{From: aTime.Add(-3 * time.Minute), To: aTime}}
		}), "", "running", "Running"},

		// Drift.
		{"removed", newScene().with(removedByOthers), "intend for drift", "created", "Created"},
		{"removed, and it shall rest", newScene().long(api.DesiredStopped).with(removedByOthers), "intend for drift", "stopped", "Stopped"},
		{"paused behind our back", newScene().is("paused"), "unpause for drift", "paused", "Paused"},
		{"unpaused behind our back", newScene().long(api.DesiredPaused).with(func(s *scene) { s.r.Status.State, s.r.Status.StartedAt = api.StatePaused, &s.c.StartedAt }), "pause for drift", "running", "Running"},
		{"renamed", newScene().with(func(s *scene) { s.c.Name = "away" }), "rename for drift", "running", "Running"},
		{"the engine restarts it: at work, not at rest", newScene().is("restarting"), "", "running", "Running"},
		{"its socket was taken away", newScene().with(func(s *scene) { s.o.SocketMissing = true }), "listen for recovery", "running", "Running"},
		{"its socket is opened before a start", newScene().ended(1).counted("").with(func(s *scene) { s.o.SocketMissing = true }), "listen for recovery", "restarting", "BackOff"},
		{"its limits were changed", newScene().with(func(s *scene) { s.c.RestartPolicy, s.c.Limits.PidsLimit = "no", 7 }), "limit for drift", "running", "Running"},
		{"its restart policy was changed", newScene().with(func(s *scene) { s.c.RestartPolicy = "always" }), "limit for drift", "running", "Running"},
		{"it was taken off its network", newScene().with(func(s *scene) { s.c.Networks = []string{} }), "connect for drift", "running", "Running"},
		{"the folder of its socket is another one, and it never connected", newScene().with(func(s *scene) { s.r.Current.Mount, s.o.Mount = "one", "two" }), "", "running", "Running"},
		{"the folder of its socket is another one, and it has connected", newScene().with(func(s *scene) { s.r.Current.Mount, s.o.Mount, s.r.Run.Connected = "one", "two", true }), "renew for drift", "running", "Running"},
		{"the folder of its socket is another one, and it cannot be stopped for that", newScene().with(func(s *scene) {
			s.r.Current.Mount, s.o.Mount, s.r.Run.Connected, s.r.Run.RestartFrom = "one", "two", true, Run(s.c)
			s.with(failing(Process, Stop, "EngineError"))
		}), "Retrying 4s", "running", "Running"},
		{"its socket cannot be opened", newScene().with(failing(Process, Listen, "SocketFailed")).with(func(s *scene) { s.o.SocketMissing = true }), "Retrying 4s", "running", "Running"},
		{"changed by others again and again: put right later", newScene().is("paused").with(func(s *scene) { s.r.Tracks.Process.Repairs = &store.Repairs{N: 4, At: aTime} }), "Retrying " + RetryDelay("id", 2).String(), "paused", "Paused"},

		// Restart: another run of the same container than the one noted.
		{"restart: its run is noted", newScene().with(restart), "begin-restart for restart", "running", "Running"},
		{"restart: the noted run is stopped", newScene().with(noted), "stop for restart", "running", "Running"},
		{"restart: what the next run will be is noted", newScene().with(noted).ended(143), "intend-start for restart", "restarting", "BackOff"},
		{"restart: the noted run is over", newScene().with(noted).ended(143).with(func(s *scene) { s.r.Run.RestartAsked = true }), "start for restart", "restarting", "BackOff"},
		{"restart: another run has begun", newScene().with(noted, another), "end-restart for restart", "running", "Running"},
		{"restart: another run was begun and ended by others, unseen", newScene().with(noted, another).ended(0), "begin-restart for restart", "restarting", "BackOff"},
		{"restart: the run that it led to is over already", newScene().with(noted, another).with(func(s *scene) { s.r.Run.RestartAsked = true }).ended(0), "end-restart for restart", "restarting", "BackOff"},
		{"restart: a stop came after it", newScene().with(noted).declared(api.DesiredStopped), "end-restart for restart", "running", "Running"},
		{"restart of a paused one: it must hear", newScene().with(noted).is("paused"), "unpause for restart", "paused", "Paused"},

		// Replacement: the candidate is made beside what stands, which is stopped only then.
		{"another template: the candidate is intended", newScene().with(retemplate), "intend-replacement for update", "running", "Running"},
		{"its image is being pulled: what stands goes on", newScene().with(retemplate).with(pulling), "Pulling", "running", "Running"},
		{"its image is being pulled, and what stands has crashed", newScene().ended(1).counted("").with(retemplate).with(pulling), "start for exit", "restarting", "BackOff"},
		{"its image is being pulled, and a stop came after it", newScene().with(retemplate).with(pulling).declared(api.DesiredStopped), "stop for declaration", "running", "Running"},
		{"its image is being pulled, and the socket was taken away", newScene().with(retemplate).with(pulling).with(func(s *scene) { s.o.SocketMissing = true }), "listen for recovery", "running", "Running"},
		{"the image is to be looked up anew", newScene().with(func(s *scene) { s.r.Generation++; s.r.Asked.Pull = s.r.Generation }), "resolve for declaration", "running", "Running"},
		{"the candidate is made", newScene().with(retemplate).following("", ""), "create for update", "running", "Running"},
		{"the candidate is recorded", newScene().with(retemplate).following("", "created"), "adopt for recovery", "running", "Running"},
		{"the candidate was removed by others", newScene().with(retemplate).following("d2", ""), "intend-replacement for update", "running", "Running"},
		{"the attempt is counted before what runs is stopped", newScene().with(retemplate).following("d2", "created"), "attempt for update", "running", "Running"},
		{"what runs is stopped for it", newScene().with(retemplate).following("d2", "created").with(tried), "stop for update", "running", "Running"},
		{"it rested when the attempt was written down, and could not be gone back to", newScene().with(retemplate).following("d2", "created").with(tried).with(func(s *scene) { s.r.Handover.Trial = false }), "attempt for update", "running", "Running"},
		{"what runs has its grace", newScene().with(retemplate).following("d2", "created").with(tried).with(func(s *scene) { s.r.Current.Stop = soon() }), "Stopping 4s", "running", "Running"},
		{"what ran has stopped", newScene().with(retemplate).following("d2", "created").with(tried).ended(143).with(func(s *scene) { s.r.Current.Stop = soon() }), "promote for update", "restarting", "BackOff"},
		{"what runs cannot be stopped for it", newScene().with(retemplate).following("d2", "created").with(tried).with(unstarted), "abandon for update", "running", "Running"},
		{"the candidate was removed by others while what runs is being stopped", newScene().with(retemplate).following("d2", "").with(tried).with(func(s *scene) { s.r.Current.Stop = soon() }), "abandon for update", "running", "Running"},
		{"another one is declared while what runs is being stopped", newScene().with(retemplate).following("d2", "created").with(tried).with(thirdTemplate), "abandon for update", "running", "Running"},
		{"what rests is replaced without a stop", newScene().long(api.DesiredStopped).ended(0).with(retemplate).following("d2", "created"), "promote for update", "stopped", "Stopped"},
		{"what crashes again and again is replaced at once", newScene().ended(1).counted("").with(backoff).with(func(s *scene) { s.r.Run.Streak = 2 }).with(retemplate).following("d2", "created"), "promote for update", "restarting", "BackOff"},
		{"what has just taken over again, and is about to be started, is kept", newScene().ended(143).dealt(EndAsked).with(retemplate).following("d2", "created"), "attempt for update", "restarting", "BackOff"},
		{"what has done its work is replaced", newScene().ended(0).counted(Completed).with(retemplate).following("d2", "created"), "promote for update", "exited", "Completed"},
		{"what stands was removed by others meanwhile", newScene().with(retemplate).following("d2", "created").with(removedByOthers), "promote for update", "created", "Created"},
		{"yet another template: the candidate of before is not it", newScene().with(retemplate).following("d2", "created").with(thirdTemplate), "intend-replacement for update", "running", "Running"},
		{"the template of what stands is declared again", newScene().with(retemplate).following("d2", "created").with(firstTemplate), "discard", "running", "Running"},
		{"the candidate cannot be made: what stands goes on", newScene().with(retemplate).with(failing(Update, IntendReplacement, "ImageNotFound")), "Retrying 4s", "running", "Running"},

		// On trial: what stood before is kept until the new one has proven itself.
		{"names are changed before the start", newScene().trial().ended(143).fresh(), "rename for update", "created", "Created"},
		{"a name that could not be had holds up no start", newScene().trial().fresh().with(failing(Name, Rename, api.ReasonNameConflict)), "start for update", "created", "Created"},
		{"it is started", newScene().proving().fresh(), "start for update", "created", "Created"},
		{"it was taken off its network before its start", newScene().proving().fresh().with(func(s *scene) { s.c.Networks = []string{} }), "connect for recovery", "created", "Created"},
		{"its network cannot be had: it is started without", newScene().proving().fresh().with(func(s *scene) { s.c.Networks = []string{} }).with(failing(Settings, Connect, "NetworkNotFound")), "start for update", "created", "Created"},
		{"what will run is written down before", newScene().proving().fresh().with(func(s *scene) { s.r.Run.Begun = false }), "intend-start for update", "created", "Created"},
		{"it is watched", newScene().proving().with(justStarted), "Monitoring 5s", "running", "Running"},
		{"it has run long enough", newScene().proving(), "commit for update", "running", "Running"},
		{"it is watched until it is healthy", newScene().proving().with(func(s *scene) { s.c.Health = api.HealthStarting }), "Monitoring 3m5s", "running", "HealthStarting"},
		{"it was not healthy in time", newScene().proving().since(time.Hour).with(unwell), "rollback for update", "running", "Unhealthy"},
		{"it did not say in time that it is ready", newScene().proving().since(time.Hour).with(func(s *scene) { s.r.Spec.Readiness = api.ReadinessSocket; s.reserve() }), "rollback for update", "running", "WaitingForFlow"},
		{"it has exited", newScene().proving().ended(1), "rollback for update", "restarting", "BackOff"},
		{"it has exited well, and its policy starts it again", newScene().proving().ended(0), "rollback for update", "restarting", "BackOff"},
		{"it has done its work", newScene().proving().policy(api.RestartOnFailure, 0).with((*scene).reserve).ended(0), "commit for update", "restarting", "BackOff"},
		{"it could not be started", newScene().proving().fresh().with(unstarted), "rollback for update", "created", "Created"},
		{"it has failed, and the policy leaves it as it is", newScene().proving().ended(1).with(func(s *scene) { s.r.Spec.UpdatePolicy.OnFailure = api.OnFailurePause }), "commit for update", "restarting", "BackOff"},
		{"the host was rebooted: not its fault", newScene().proving().ended(137).with(interruption), "record-exit for recovery", "restarting", "BackOff"},
		{"the host was rebooted: it is started again", newScene().proving().ended(137).with(interruption).dealt(EndInterrupted), "start for recovery", "restarting", "BackOff"},
		{"it was interrupted, and its policy does not start it again", newScene().proving().policy(api.RestartNever, 0).ended(137).with(interruption).counted(Interrupted), "commit for update", "exited", "Interrupted"},
		{"a stop ends the trial", newScene().proving().with(justStarted).declared(api.DesiredStopped), "commit for declaration", "running", "Running"},
		{"a pause ends the trial", newScene().proving().with(justStarted).declared(api.DesiredPaused), "commit for declaration", "running", "Running"},
		{"a restart begins its clock anew", newScene().proving().with(restart), "begin-restart for restart", "running", "Running"},
		{"what stood before is declared again", newScene().proving().with(firstTemplate), "rollback for declaration", "running", "Running"},
		{"yet another template while it is on trial", newScene().proving().with(thirdTemplate), "intend-replacement for update", "running", "Running"},
		{"the image of yet another template is being pulled while it is on trial", newScene().proving().ended(1).with(thirdTemplate).with(pulling), "rollback for update", "restarting", "BackOff"},
		{"an update without anything to go back to has no trial", newScene().proving().with(justStarted).with(func(s *scene) { s.r.Handover.Trial = false }), "commit for update", "running", "Running"},

		{"a hand starts what stood before", newScene().proving().with(func(s *scene) { s.other.State = "running" }), "kill for drift", "running", "Running"},
		{"a hand starts the candidate", newScene().with(retemplate).following("d2", "running"), "kill for drift", "running", "Running"},

		{"what is on trial was removed by others, and what stood before runs", newScene().proving().with(removedByOthers).with(func(s *scene) { s.other.State = "running" }), "rollback for recovery", "created", "Created"},
		{"what stands was stopped for the candidate, and that runs", newScene().with(retemplate).following("d2", "running").with(tried).ended(143).with(func(s *scene) { s.r.Current.Stop = soon() }), "promote for update", "restarting", "BackOff"},
		{"what stands was removed by others, and the candidate runs", newScene().with(retemplate).following("d2", "running").with(removedByOthers), "promote for update", "created", "Created"},
		{"what is on trial was removed by others, before the names were changed", newScene().trial().with(removedByOthers), "rename for update", "created", "Created"},
		{"what is on trial was removed by others, and cannot be made anew", newScene().proving().with(removedByOthers).with(unstarted), "rollback for update", "created", "Created"},

		// Taken back: what stood before goes on, and is what is made anew where it has to be.
		{"taken back: not tried again", newScene().with(retemplate, takenBackOnce), "", "running", "Running"},
		{"taken back: asked to be tried again", newScene().with(retemplate, takenBackOnce).with(func(s *scene) { s.r.Asked.Retry = s.r.Generation }), "reset-trial for declaration", "running", "Running"},
		{"taken back: another attempt is allowed", newScene().with(retemplate, takenBackOnce).with(func(s *scene) { s.r.Spec.UpdatePolicy.MaxAttempts = 2 }), "intend-replacement for update", "running", "Running"},
		{"taken back: what stands has crashed", newScene().ended(1).counted("").with(retemplate, takenBackOnce), "start for exit", "restarting", "BackOff"},
		{"taken back: what stood was removed by others", newScene().with(retemplate, takenBackOnce, removedByOthers), "intend for drift", "created", "Created"},
		{"taken back, and yet another template", newScene().with(retemplate, takenBackOnce, thirdTemplate), "intend-replacement for update", "running", "Running"},
		{"taken back, and its limits with it", newScene().with(retemplate, takenBackOnce).with(func(s *scene) { s.r.Spec.Resources.MemoryBytes = 64 << 20 }), "", "running", "Running"},

		// Available is what has run for as long as an update is watched.
		{"not long enough yet", newScene().with(justStarted), "5s", "running", "Running"},
		{"long enough", newScene().with(func(s *scene) { s.r.Run.Available = "" }), "", "running", "Running"},

		// Settings.
		{"limits: in place", newScene().with(func(s *scene) { s.r.Spec.Resources.MemoryBytes = 64 << 20 }), "limit for declaration", "running", "Running"},
		{"a limit taken away: replaced", newScene().with(func(s *scene) { s.r.Current.Resources.MemoryBytes = 64 << 20 }), "intend-replacement for update", "running", "Running"},
		{"policies cost nothing", newScene().policy(api.RestartNever, 3), "", "running", "Running"},

		// Other code is another run of the same container.
		{"code as declared", newScene().coded(), "", "running", "Running"},
		{"other code is asked for", newScene().coded().with(recoded), "switch-code for update", "running", "Running"},
		{"it is being read: what stands goes on", newScene().coded().with(recoded).with(func(s *scene) { s.o.Copying = true }), "CopyingCode", "running", "Running"},
		{"it is being read, and what stands has crashed", newScene().coded().ended(1).counted("").with(recoded).with(func(s *scene) { s.o.Copying = true }), "start for exit", "restarting", "BackOff"},
		{"it is being read back before a start", newScene().coded().ended(1).counted("").with(func(s *scene) { s.o.Checking = true }), "CopyingCode", "restarting", "BackOff"},
		{"it cannot be had: what stands goes on", newScene().coded().with(recoded).with(failing(Update, SwitchCode, "CodeNotRead")), "Retrying 4s", "running", "Running"},
		{"what runs is stopped for it", newScene().coded().with(switched), "stop for declaration", "running", "Running"},
		{"what runs has stopped by itself meanwhile: that is no exit", newScene().coded().with(switched).ended(1), "record-stop", "restarting", "BackOff"},
		{"what ran has stopped", newScene().coded().with(switched).ended(143).dealt(EndAsked), "intend-start for update", "restarting", "BackOff"},
		{"what rests is not started for it", newScene().coded().long(api.DesiredStopped).ended(0).with(recoded), "switch-code for update", "stopped", "Stopped"},
		{"what rests has it for its next start", newScene().coded().long(api.DesiredStopped).ended(0).dealt(EndAsked).with(switched), "", "stopped", "Stopped"},
		{"it is watched like any update", newScene().coded().with(switched, justStarted, runsNew), "Monitoring 5s", "running", "Running"},
		{"it has run long enough", newScene().coded().with(switched, runsNew), "commit for update", "running", "Running"},
		{"it does not stay up", newScene().coded().with(switched, runsNew).ended(1), "rollback for update", "restarting", "BackOff"},
		{"the code of before is declared again while it is on trial", newScene().coded().with(switched, runsNew).with(func(s *scene) { s.r.Code = s.r.Previous.AskedBy }), "rollback for declaration", "running", "Running"},
		{"code taken back: not tried again", newScene().coded().with(recoded, takenBackOnce), "", "running", "Running"},
		{"code taken back: it still runs", newScene().coded().with(recoded, takenBackOnce, runsNew), "stop for declaration", "running", "Running"},
		{"other code and another template: replaced", newScene().coded().with(recoded, retemplate), "intend-replacement for update", "running", "Running"},
		{"the candidate was made for the code of before", newScene().coded().with(retemplate).following("d2", "created").with(recoded), "intend-replacement for update", "running", "Running"},

		// After a crash of the manager between any two steps.
		{"an intent without a container", newScene().with(removedByOthers).with(func(s *scene) { s.r.Current.DockerID = "" }), "create for drift", "created", "Created"},
		{"a container that nobody recorded", newScene().with(func(s *scene) { s.r.Current.DockerID = "" }), "adopt for recovery", "running", "Running"},
		{"a former one is retired first", newScene().with(func(s *scene) {
			s.r.Superseded, s.r.Current.Token = []store.Placement{s.r.Current}, "t2"
		}), "stop for declaration", "created", "Created"},
		{"a former one that is gone is forgotten", newScene().with(func(s *scene) { s.r.Superseded = []store.Placement{{Token: "t0", DockerID: "d0"}} }), "forget", "running", "Running"},

		// Nothing starts while another one is alive, and what waits for that does not keep it from being stopped.
		{"a former one has its grace: the start waits, and so does the kill", newScene().ended(1).counted("").with(formerRuns).with(func(s *scene) { s.r.Superseded[0].Stop = soon() }), "Stopping 4s, WaitingForStop", "restarting", "BackOff"},
		{"a former one cannot be killed: nothing else starts", newScene().ended(1).counted("").with(formerRuns).with(failing(Removal, Kill, "EngineError")), "Retrying 4s, WaitingForStop", "restarting", "BackOff"},
		{"a former one cannot be killed: what runs goes on and may be stopped", newScene().with(formerRuns).with(failing(Removal, Kill, "EngineError")).declared(api.DesiredStopped), "stop for declaration", "running", "Running"},
		{"a former one cannot be killed: the update's failure waits beside it", newScene().ended(1).counted("").with(formerRuns).with(retemplate).with(failing(Removal, Kill, "EngineError"), failing(Update, IntendReplacement, "ImageNotFound")), "Retrying 4s, WaitingForStop, Retrying 4s", "restarting", "BackOff"},

		// Delete wins over anything under way.
		{"deleted in a backoff", newScene().ended(1).counted("").with(backoff).deleted(), "remove for declaration", "removing", "Removing"},
		{"deleted after a failure", newScene().ended(1).with(failing(Process, Start, api.ReasonStartFailed)).deleted(), "remove for declaration", "removing", "Removing"},
		{"deleted though a former one could not be killed", newScene().with(formerRuns).with(failing(Removal, Kill, "EngineError")).deleted(), "stop for declaration", "removing", "Removing"},
		{"deleted while it is being stopped", newScene().with(func(s *scene) { s.r.Current.Stop = soon() }).deleted(), "Stopping 4s", "removing", "Removing"},
		{"deleted while it is being stopped, its grace over", newScene().with(func(s *scene) { s.r.Current.Stop = over() }).deleted(), "kill for declaration", "removing", "Removing"},
		{"deleted during a restart", newScene().with(noted).deleted(), "stop for declaration", "removing", "Removing"},
		{"deleted during a trial: what stood before goes first", newScene().proving().deleted(), "remove for declaration", "removing", "Removing"},
		{"deleted while paused", newScene().is("paused").deleted(), "unpause for declaration", "removing", "Removing"},
		{"deleted and gone", newScene().with(removedByOthers).deleted(), "finalize for declaration", "removing", "Removing"},
		{"deleted without its socket: none is opened", newScene().with(func(s *scene) { s.o.SocketMissing = true }).deleted(), "stop for declaration", "removing", "Removing"},

		// A failure is one of its track, and of what the step was for.
		{"a failure is retried when due", newScene().ended(1).with(failing(Process, Start, api.ReasonStartFailed)), "Retrying 4s", "restarting", "BackOff"},
		{"a stop does not wait for a start that failed", newScene().ended(1).with(failing(Process, Start, api.ReasonStartFailed)).declared(api.DesiredStopped), "", "stopped", "Stopped"},
		{"an explicit start does not wait for one that failed", newScene().ended(1).with(failing(Process, Start, api.ReasonStartFailed)).with(explicitStart), "explicit-start for declaration", "restarting", "BackOff"},
		{"another update waits for no start that failed", newScene().ended(1).with(failing(Process, Start, api.ReasonStartFailed)).with(retemplate), "intend-replacement for update", "restarting", "BackOff"},
		{"an update that failed waits for itself alone", newScene().with(retemplate).with(failing(Update, IntendReplacement, "ImageNotFound")).with(thirdTemplate), "intend-replacement for update", "running", "Running"},
		{"nothing beside holds up a crash restart", newScene().ended(1).counted("").with(failedBeside), "start for exit", "restarting", "BackOff"},
		{"nothing beside holds up a stop", newScene().with(failedBeside).declared(api.DesiredStopped), "stop for declaration", "running", "Running"},
		{"nothing beside holds up a restart", newScene().with(failedBeside).with(restart), "begin-restart for restart", "running", "Running"},
		{"nothing beside holds up a pause", newScene().with(failedBeside).declared(api.DesiredPaused), "pause for declaration", "running", "Running"},
		{"a taken name and refused limits hold up no update", newScene().with(failing(Settings, Limit, "LimitsRefused"), failing(Name, Rename, api.ReasonNameConflict)).with(retemplate), "intend-replacement for update", "running", "Running"},
		{"a taken name holds up no limits", newScene().with(failing(Name, Rename, api.ReasonNameConflict)).with(func(s *scene) { s.r.Spec.Resources.MemoryBytes = 64 << 20 }), "limit for declaration", "running", "Running"},
		{"refused limits hold up no name", newScene().with(failing(Settings, Limit, "LimitsRefused")).with(func(s *scene) { s.c.Name = "away" }), "rename for drift", "running", "Running"},
	}
}

func TestPlan_CaseByCase(t *testing.T) {
	for _, tt := range planCases() {
		t.Run(tt.name, func(t *testing.T) {
			next := tt.scene.next()
			after := *tt.scene.r
			observe(&after, tt.scene.seen(), &next)
			state, reason := after.Status.State, after.Status.Condition(api.Ready).Reason
			if did := told(next); did != tt.did || state != tt.state || reason != tt.reason {
				t.Errorf("got %q, state %s, %s; want %q, state %s, %s", did, state, reason, tt.did, tt.state, tt.reason)
			}
		})
	}
}

func pulling(s *scene) { s.o.Pulling = true }

// unstarted is a step of a handover that did not work.
func unstarted(s *scene) { s.r.Handover.Failed = "no such command" }

// reserve has the current container be made from what is declared.
func (s *scene) reserve() { s.r.Current.TemplateHash = api.TemplateHash(&s.r.Spec) }

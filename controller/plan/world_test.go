package plan

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// world draws records and what is seen of them.
type world struct{ *rapid.T }

func (w world) yes(label string) bool { return rapid.Bool().Draw(w.T, label) }

func (w world) number(label string, from, to int) int {
	return rapid.IntRange(from, to).Draw(w.T, label)
}

func oneOf[T any](w world, label string, of ...T) T { return rapid.SampledFrom(of).Draw(w.T, label) }

// wait may have begun in the future: by the clock of a process that is over.
func (w world) wait(label string) *store.Wait {
	if !w.yes(label) {
		return nil
	}
	return &store.Wait{Since: aTime.Add(time.Duration(w.number(label+" since", -12, 30)) * time.Second), Length: time.Duration(w.number(label+" length", 0, 10)) * time.Second}
}

func (w world) placement(label, token, dockerID string) store.Placement {
	p := store.Placement{Token: token, DockerName: oneOf(w, label+" name", "web", "web."+token), DockerID: oneOf(w, label+" docker id", "", dockerID, dockerID, dockerID),
		TemplateHash: oneOf(w, label+" template", w.hash("app"), w.hash("app:2"), "other"), Generation: int64(w.number(label+" generation", 1, 3)),
		Stop: w.wait(label + " stop"), Stable: w.yes(label + " stable"), Outdated: w.number(label+" outdated", 0, 9) == 0, Mount: oneOf(w, label+" mount", "", "one"),
		AskedBy: int64(w.number(label+" asked by", 0, 1)), Code: oneOf(w, label+" code", "", "one"), Runs: oneOf(w, label+" runs", "", "one")}
	p.Resources.PidsLimit = api.DefaultPidsLimit
	if w.yes(label + " volumes") {
		p.Anonymous, p.Carried = map[string]string{"/a": "a"}, map[string]string{"/b": "b"}
	}
	return p
}

func (w world) hash(image string) string {
	s := api.Spec{Image: image}
	s.Default("web")
	return api.TemplateHash(&s)
}

func (w world) requests(label string) store.Requests {
	n := func(kind string) int64 { return int64(w.number(label+kind, 0, 2)) }
	return store.Requests{Start: n(" start"), Restart: n(" restart"), Pull: n(" pull"), Retry: n(" retry")}
}

// record is one in any state that a crash, a newer declaration or an outside hand may leave behind.
func (w world) record() *store.Record {
	r := &store.Record{Container: api.Container{ID: "id", Name: "web", Generation: 3}, SpecGeneration: int64(w.number("spec generation", 1, 3)), TemplateGeneration: 1}
	r.Spec = api.Spec{Image: oneOf(w, "image", "app", "app:2"), DesiredState: oneOf(w, "desired", api.DesiredCreated, api.DesiredRunning, api.DesiredRunning, api.DesiredRunning, api.DesiredStopped, api.DesiredPaused)}
	r.Spec.RestartPolicy = api.RestartPolicy{Name: oneOf(w, "policy", api.RestartAlways, api.RestartOnFailure, api.RestartNever), MaxAttempts: w.number("attempts", 0, 2)}
	r.Spec.Readiness = oneOf(w, "readiness", api.ReadinessNone, api.ReadinessSocket)
	r.Spec.UpdatePolicy.OnFailure = oneOf(w, "on failure", api.OnFailureRollback, api.OnFailurePause)
	r.Spec.Default("web")
	r.Code = int64(w.number("code", 0, 1))
	r.Asked, r.Done = w.requests("asked"), w.requests("done")
	r.Accepted = []store.Accepted{{Generation: 1, Intent: store.IntentSpec}, {Generation: 2, Intent: w.intent("second")}, {Generation: 3, Intent: w.intent("third")}}
	if w.number("deleted", 0, 5) == 0 {
		at := aTime
		r.DeletedAt = &at
	}
	w.placements(r)
	w.run(r)
	for track := range tracks {
		w.track(r, track)
	}
	w.told(r)
	return r
}

func (w world) intent(label string) store.Intent {
	return oneOf(w, label, store.IntentSpec, store.IntentRunning, store.IntentRestart, store.IntentPaused, store.IntentStopped, store.IntentDeleted)
}

func (w world) placements(r *store.Record) {
	if w.number("current", 0, 9) > 0 {
		r.Current = w.placement("current", "t1", "d1")
	}
	if w.yes("candidate") {
		r.Candidate = w.placement("candidate", "t2", "d2")
	}
	switch w.number("previous", 0, 3) {
	case 0:
		r.Previous = w.placement("previous", "t3", "d3")
	case 1:
		r.Previous = r.Current // with other code
		r.Previous.Code = oneOf(w, "previous code", "one", "two")
	}
	for i := range w.number("superseded", 0, 2) {
		r.Superseded = append(r.Superseded, w.placement(fmt.Sprint("superseded ", i), fmt.Sprint("s", i), fmt.Sprint("ds", i)))
	}
	if w.yes("handover") {
		r.Handover = &store.Handover{Token: oneOf(w, "handover to", r.Current.Token, r.Candidate.Token, "lost"), Trial: w.yes("trial"), Failed: oneOf(w, "handover failed", "", "", "refused")}
	}
	if w.yes("tried") {
		r.NoteTrial(store.Trial{Template: Template(r), Attempts: w.number("trials", 1, 2), Token: oneOf(w, "tried token", "t1", "t2"), Failed: oneOf(w, "trial failed", "", "it exited with code 1"), Exit: &store.Exit{Code: 1}})
	}
}

func (w world) run(r *store.Record) {
	before, now := Run(&Container{DockerID: "d1", StartedAt: aTime.Add(-time.Hour)}), Run(&Container{DockerID: "d1", StartedAt: aTime.Add(-time.Minute)})
	n := &r.Run
	n.ID, n.End = oneOf(w, "run", "", before, now, now), oneOf(w, "end", EndCounted, EndAsked, EndInterrupted)
	n.Ended = oneOf(w, "ended", "", "", "", Completed, Failed, GaveUp, Interrupted)
	if w.yes("same policy") {
		n.EndedUnder = r.Spec.RestartPolicy
	}
	n.Streak, n.Backoff, n.Begun, n.Boot = w.number("streak", 0, 3), w.wait("backoff"), w.yes("begun"), oneOf(w, "boot", "", "one")
	if n.Streak > 0 {
		n.Exit = &store.Exit{Code: 1, Cause: "it exited with code 1", Unhealthy: w.yes("unhealthy")}
		n.Count(store.CountedEnd{Run: before, At: aTime.Add(-time.Minute), Own: w.yes("own")})
	}
	n.RestartFrom, n.RestartAsked = oneOf(w, "restart from", "", "", before, now), w.yes("restart asked")
	n.Ready, n.Available = oneOf(w, "ready", "", now), oneOf(w, "available", "", before, now)
	n.Connected, n.Suspected = w.yes("connected"), oneOf(w, "suspected", 0, 0, 0, 0, 1, 2)
}

func (w world) track(r *store.Record, track TrackID) {
	label, t := fmt.Sprint("track ", track), TrackOf(r, track)
	if wait := w.wait(label); wait != nil {
		t.Failure = &store.Failure{Input: oneOf(w, label+" input", input(r, track), "other"), Action: string(oneOf(w, label+" action", Start, Stop, Create)), Reason: oneOf(w, label+" reason", api.ReasonStartFailed, "EngineError", api.ReasonUpdateFailed),
			ErrorType: api.DockerAPIError, Message: "it does not work", Attempts: w.number(label+" attempts", 1, 14), At: aTime, Wait: *wait, Generation: 3}
	}
	if w.number(label+" repaired", 0, 3) == 0 {
		t.Repairs = &store.Repairs{N: w.number(label+" repairs", 1, 6), At: aTime.Add(time.Duration(w.number(label+" at", -10, 30)) * time.Second)}
	}
}

// told is what was told of it before.
func (w world) told(r *store.Record) {
	r.Status = api.Status{State: oneOf(w, "state", api.StateRunning, api.StateStopped, api.StateRestarting), ObservedGeneration: int64(w.number("observed", 0, 3)), DockerID: oneOf(w, "status id", "", "d1"), RestartCount: w.number("restarts", 0, 2)}
	r.Status.SetCondition(api.Condition{Type: api.Ready, Status: oneOf(w, "was ready", api.True, api.False), ObservedGeneration: r.Status.ObservedGeneration})
	r.Status.SetCondition(api.Condition{Type: api.Available, Status: oneOf(w, "was available", api.True, api.False), ObservedGeneration: r.Status.ObservedGeneration})
	if w.yes("concluded") {
		r.Conclude(store.Outcome{Generation: 2, Intent: r.Accepted[1].Intent, Level: store.LevelSeen, Details: map[string]any{"a": "b"}})
	}
}

// containers are what the engine has: the record's, or not, each in any state.
func (w world) containers(r *store.Record) []Container {
	var all []Container
	for _, p := range append(r.AllPlacements(), store.Placement{Token: "t1", DockerID: "copy", DockerName: "copied"}) {
		if w.number("seen "+p.Token+p.DockerID, 0, 4) == 0 || slices.ContainsFunc(all, func(c Container) bool { return c.Token == p.Token && c.DockerID == p.DockerID }) {
			continue
		}
		all = append(all, w.container(p))
	}
	return all
}

func (w world) container(p store.Placement) Container {
	c := Container{ID: "id", Token: p.Token, DockerID: p.DockerID, Name: p.DockerName, State: oneOf(w, p.Token+" state", "created", "running", "running", "exited", "exited", "paused", "restarting", "removing", "dead")}
	if c.DockerID == "" {
		c.DockerID = "late-" + p.Token
	}
	if w.number(p.Token+" renamed", 0, 3) == 0 {
		c.Name = "away"
	}
	if c.State != "created" {
		age := oneOf(w, p.Token+" age", time.Minute, 2*time.Second, -20*time.Second)
		c.StartedAt, c.Began = aTime.Add(-time.Minute), aTime.Add(-age)
		c.Health = oneOf(w, p.Token+" health", "", api.HealthStarting, api.HealthHealthy, api.HealthUnhealthy)
	}
	if c.State == "exited" || c.State == "dead" {
		c.FinishedAt, c.Lasted, c.ExitCode = aTime, time.Minute, oneOf(w, p.Token+" code", 0, 1, 137)
		c.Interrupted, c.Own = w.number(p.Token+" interrupted", 0, 4) == 0, w.yes(p.Token+" own")
		c.StartError = oneOf(w, p.Token+" start error", "", "the shim is gone")
		c.LeftTask = c.StartError != "" && w.yes(p.Token+" a task is left")
	}
	if w.number(p.Token+" limits", 0, 3) == 0 {
		c.RestartPolicy, c.Limits, c.Networks = "always", api.Resources{PidsLimit: 7}, []string{}
	}
	return c
}

func (w world) observation(r *store.Record, seen []Container) *Observation {
	o := Classify(r, seen)
	o.At = Instant{Now: aTime, Skew: time.Duration(w.number("skew", -5, 5)) * time.Hour}
	o.Pulling, o.Copying, o.Checking = w.number("pulling", 0, 4) == 0, w.number("copying", 0, 4) == 0, w.number("checking", 0, 4) == 0
	o.SocketMissing, o.Mount, o.Ready, o.Connected = w.number("socket missing", 0, 4) == 0, oneOf(w, "folder", "", "one", "two"), w.yes("says ready"), w.yes("connects")
	o.SilenceLeft, o.Boot = oneOf(w, "silence", 0, time.Second), oneOf(w, "boot id", "", "one", "two")
	o.Uptime = time.Duration(w.number("uptime", 0, 60)) * time.Second
	if w.number("outage", 0, 3) == 0 {
		o.Outages = []Outage{{From: aTime.Add(-2 * time.Minute), To: oneOf(w, "outage ends", time.Time{}, aTime.Add(-time.Second))}}
	}
	return &o
}

// scene is a record with all that is seen of it.
func (w world) scene() (*store.Record, *Observation) {
	r := w.record()
	return r, w.observation(r, w.containers(r))
}

// mayFail reports whether a step asks for more than a note.
func mayFail(a Action) bool {
	return engine(a) && a != Rollback && a != Adopt || slices.Contains([]Action{Intend, IntendReplacement, Resolve, SwitchCode, Listen}, a)
}

// allCases are made once: nothing edits what their records point to.
var allCases = sync.OnceValue(planCases)

// anyScene is a scene, or one of the cases: those come to every action.
func (w world) anyScene() (*store.Record, *Observation) {
	if w.number("random", 0, 2) == 0 {
		return w.scene()
	}
	s := allCases()[w.number("case", 0, len(allCases())-1)].scene
	r, o := *s.r, s.seen()
	o.At.Now = o.At.Now.Add(time.Duration(w.number("clock", -2, 1)) * time.Hour)
	return &r, o
}

// result is what a step may have brought: what it was for, or a refusal.
func (w world) result(r *store.Record, o *Observation, next *Step) *Result {
	res := &Result{Detail: oneOf(w, "detail", "", next.Detail)}
	if mayFail(next.Action) && w.number("refused", 0, 3) == 0 {
		res.Refused = &Refusal{Reason: oneOf(w, "refusal", api.ReasonNameConflict, api.ReasonStartFailed, "EngineError"), Type: api.DockerAPIError, Message: "it does not work"}
		return res
	}
	switch next.Action {
	case Intend, IntendReplacement:
		p := w.placement("intended", "t9", "")
		res.Placement, res.Image = &p, &store.Resolved{Template: p.TemplateHash, ID: "image"}
		if w.yes("with code") {
			res.Code = &store.Taken{Code: r.Code, Digest: "two"}
		}
	case Create:
		res.DockerID = "made"
	case Resolve:
		res.Image = &store.Resolved{Template: api.TemplateHash(&r.Spec), ID: oneOf(w, "image id", "image", "")}
	case SwitchCode:
		res.Code = &store.Taken{Code: r.Code, Digest: oneOf(w, "digest", "one", "two")}
	case ExplicitStart, BeginRestart:
		if w.yes("seen again") {
			c := *next.On
			c.State = oneOf(w, "seen as", "running", "exited", "created")
			res.Seen = &c
		}
	case RecordExit, Commit, Rollback:
		if w.yes("exit") {
			res.Exit = &store.Exit{Code: 1, Cause: "it exited with code 1", Lines: []string{"the last line"}}
		}
	}
	return res
}

package store

import (
	"maps"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Record is a declared container with what the controller has to remember of it. What clients write and what the controller
// writes are stored apart; each field says which half it is of.
type Record struct {
	api.Container
	// DeclaredAt and DeclaredBy are when and by whom the newest generation was declared.
	DeclaredAt time.Time
	DeclaredBy string
	// SpecGeneration is the generation of the newest change of the spec itself.
	SpecGeneration int64
	// TemplateGeneration is that of the newest change of anything but the desired state.
	TemplateGeneration int64
	// Asked are the newest requests of each kind, by the generations that they led to. Tracking.Done are those that were
	// carried out.
	Asked Requests
	// Accepted are the requests that led to the newest generations, oldest first: what each is judged by.
	Accepted []Accepted
	// Code is the generation by which the code of the spec was asked for, 0 where it has none. The same path asked for again
	// is other code; an earlier number stands again where an earlier generation does.
	Code int64
	// DeletedBy and RemoveVolumes come with the deletion.
	DeletedBy     string
	RemoveVolumes bool
	Tracking
	// Revision is that of the newest change of either half.
	Revision uint64
}

// Requests are generations, by what was asked for with them; 0 is never.
type Requests struct {
	// Start is an explicit start: it forgives earlier exits.
	Start int64 `json:"start,omitempty"`
	// Restart replaces the run that it meets.
	Restart int64 `json:"restart,omitempty"`
	// Pull looks up the image anew.
	Pull int64 `json:"pull,omitempty"`
	// Retry tries a template again that was taken back.
	Retry int64 `json:"retry,omitempty"`
}

// Intent is what a request asks for, and so what it is judged by.
type Intent string

// The intents.
const (
	IntentSpec    Intent = "spec"    // this very spec, in the state that it declares
	IntentRunning Intent = "running" // a running container
	IntentRestart Intent = "restart" // another run of it
	IntentPaused  Intent = "paused"  // a paused one
	IntentStopped Intent = "stopped" // one that is not running
	IntentDeleted Intent = "deleted" // none
)

// Accepted is a request that led to a generation.
type Accepted struct {
	Generation int64  `json:"generation"`
	Intent     Intent `json:"intent"`
}

// IntentOf is what the request asked for that led to a generation; IntentSpec where that is not known any more.
func (r *Record) IntentOf(generation int64) Intent {
	for _, one := range r.Accepted {
		if one.Generation == generation {
			return one.Intent
		}
	}
	return IntentSpec
}

// Tracking is the controller's own half of a status: clients do not see it.
type Tracking struct {
	// Done are the requests that were acted upon.
	Done       Requests `json:"done,omitzero"`
	Placements `json:"placements,omitzero"`
	// Handover is the replacement under way that owns the process, nil where none does.
	Handover *Handover `json:"handover,omitempty"`
	Run      Run       `json:"run,omitzero"`
	Tracks   Tracks    `json:"tracks,omitzero"`
	// Images are what the images of the newest templates were resolved to, once for each, oldest first.
	Images []Resolved `json:"images,omitempty"`
	// Codes are the snapshots that the newest requests for code led to, oldest first.
	Codes []Taken `json:"codes,omitempty"`
	// Trials are what became of templates that were tried in the place of a container that ran, oldest first.
	Trials []Trial `json:"trials,omitempty"`
	// AtRest is set while all that was seen is noted: what is said of the record is judged then, and not between two steps.
	AtRest bool `json:"at_rest,omitempty"`
	// Outcomes are what became of the last generations, oldest first.
	Outcomes []Outcome `json:"outcomes,omitempty"`
}

// Placements are the containers of a record, by the part that each has.
type Placements struct {
	// Current is the container that stands for this record, or is about to.
	Current Placement `json:"current,omitzero"`
	// Candidate is the container that is being made to take the place of Current's.
	Candidate Placement `json:"candidate,omitzero"`
	// Previous is the one that stood before, kept until Current's has proven itself.
	Previous Placement `json:"previous,omitzero"`
	// Superseded are former placements whose containers may still exist.
	Superseded []Placement `json:"superseded,omitempty"`
}

// Handover is a replacement from the written attempt until it is committed or rolled back.
type Handover struct {
	// Token is that of the placement that takes over: Candidate's before the two change places, Current's from then on.
	Token string `json:"token"`
	// Trial tells that what stood before is kept, and that what takes over has to prove itself.
	Trial bool `json:"trial,omitempty"`
	// Failed is why a step of it did not work: it goes back.
	Failed string `json:"failed,omitempty"`
}

// How a run's end was dealt with.
const (
	EndCounted     = "counted"     // by the restart policy
	EndAsked       = "asked"       // it was asked to end, or an explicit start came after it
	EndInterrupted = "interrupted" // the host or the engine ended it
)

// Run is what is known of the process of the current container.
type Run struct {
	// ID is the newest run (Docker id and start time) whose end was dealt with, End how.
	ID  string `json:"id,omitempty"`
	End string `json:"end,omitempty"`
	// Killed tells that somebody else is known to have asked it to end.
	Killed bool `json:"killed,omitempty"`
	// Ended is why the restart policy leaves an ended container alone: Completed, Failed, GaveUp or Interrupted. A start
	// clears it.
	Ended string `json:"ended,omitempty"`
	// EndedUnder is the restart policy that decided so; under another one it is decided anew.
	EndedUnder api.RestartPolicy `json:"ended_under,omitzero"`
	// Streak is how many ends in a row were counted.
	Streak int `json:"streak,omitempty"`
	// Counted are the newest of these, oldest first: an outage that explains them takes them back.
	Counted []CountedEnd `json:"counted,omitempty"`
	// Exit is how the newest of these ended.
	Exit *Exit `json:"exit,omitempty"`
	// Backoff is what the next start waits for, nil where it does not.
	Backoff *Wait `json:"backoff,omitempty"`
	// Begun is set before the first start since the newest explicit one.
	Begun bool `json:"begun,omitempty"`
	// Boot is the host's boot id at the newest start.
	Boot string `json:"boot,omitempty"`
	// RestartFrom is the run that a restart is to replace; it is done when another one runs.
	RestartFrom string `json:"restart_from,omitempty"`
	// RestartAsked is set before the start that a restart leads to: another run is that one from then on.
	RestartAsked bool `json:"restart_asked,omitempty"`
	// Ready is the run in which the flow said that it is ready, where its spec waits for that; Available the one that has
	// lasted as long as an update is watched.
	Ready     string `json:"ready,omitempty"`
	Available string `json:"available,omitempty"`
	// Connected is set once the flow has connected to its socket.
	Connected bool `json:"connected,omitempty"`
	// Suspected is how often the engine was lost while this container alone was being started.
	Suspected int `json:"suspected,omitempty"`
}

// CountedEnd is when a run ended, by the engine's clock. Own tells that it is known to have ended by itself.
type CountedEnd struct {
	Run string    `json:"run"`
	At  time.Time `json:"at"`
	Own bool      `json:"own,omitempty"`
}

// maxCounted is how many counted ends an outage can take back.
const maxCounted = 32

// Count notes a counted end.
func (n *Run) Count(end CountedEnd) {
	n.Counted = newest(n.Counted, maxCounted, func(old CountedEnd) bool { return old.Run == end.Run }, end)
}

// Exit is how a run ended, for people: masked.
type Exit struct {
	Code      int      `json:"code"`
	OOMKilled bool     `json:"oom_killed,omitempty"`
	Cause     string   `json:"cause"`
	Unhealthy bool     `json:"unhealthy,omitempty"`
	Lines     []string `json:"lines,omitempty"`
}

// Wait is a length of time that began at Since, by the controller's steady clock.
type Wait struct {
	Since  time.Time     `json:"since"`
	Length time.Duration `json:"length"`
}

// Left is how much of a wait is left, 0 where it is over or there is none.
func (w *Wait) Left(now time.Time) time.Duration {
	if w == nil {
		return 0
	}
	return min(w.Length, max(0, w.Length-now.Sub(w.Since)))
}

// Tracks are what holds each of the things back that the controller does for a record.
type Tracks struct {
	Removal  Track `json:"removal,omitzero"`
	Process  Track `json:"process,omitzero"`
	Update   Track `json:"update,omitzero"`
	Settings Track `json:"settings,omitzero"`
	Name     Track `json:"name,omitzero"`
}

// Track is the state of one of them.
type Track struct {
	// Failure is the newest step that did not work; it is gone once one does, or once its input is another.
	Failure *Failure `json:"failure,omitempty"`
	// Repairs is what outside hands changed and was put right, nil where they did not.
	Repairs *Repairs `json:"repairs,omitempty"`
}

// Repairs counts repairs in a row; At is when the newest was.
type Repairs struct {
	N  int       `json:"n"`
	At time.Time `json:"at"`
}

// Repaired is what was put right, zero where nothing was.
func (t *Track) Repaired() Repairs {
	if t.Repairs == nil {
		return Repairs{}
	}
	return *t.Repairs
}

// Failure says what could not be done, how often in a row, why, and how long the next attempt waits.
type Failure struct {
	// Input is what the step was for: for another one it is tried at once.
	Input     string        `json:"input"`
	Action    string        `json:"action"`
	Reason    string        `json:"reason"`
	ErrorType api.ErrorType `json:"error_type"`
	Message   string        `json:"message"`
	Attempts  int           `json:"attempts"`
	At        time.Time     `json:"at"`
	Wait      Wait          `json:"wait"`
	// Generation is the one that it was first met at.
	Generation int64 `json:"generation"`
}

// Trouble is the failures of all tracks, the worst first: that of the track that the others build upon.
func (t *Tracks) Trouble() []*Failure {
	var all []*Failure
	for _, track := range []*Track{&t.Removal, &t.Process, &t.Update, &t.Settings, &t.Name} {
		if track.Failure != nil {
			all = append(all, track.Failure)
		}
	}
	return all
}

// Outcome is what became of a request that led to a generation. It is told once it is set: what comes after does not change it.
type Outcome struct {
	Generation int64  `json:"generation"`
	Intent     Intent `json:"intent"`
	// Level is how far it has come.
	Level Level `json:"level,omitempty"`
	// State is the container's when it was first seen to be done, "" where it never was.
	State string `json:"state,omitempty"`
	// ErrorType, Message and the rest tell why it has failed, or why it will not come further.
	ErrorType ErrorType      `json:"error_type,omitempty"`
	Message   string         `json:"message,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
}

// ErrorType is api's.
type ErrorType = api.ErrorType

// Level is how far a request has come.
type Level int

// The levels. What is not to run has come all the way once it is seen.
const (
	LevelNone      Level = iota
	LevelSeen            // it is as was asked for: running, stopped, ..
	LevelReady           // and Ready
	LevelAvailable       // and Available
)

// maxOutcomes is how many generations back an outcome can be asked for.
const maxOutcomes = 10

// Conclude notes what became of a generation, in place of what was noted for it before.
func (t *Tracking) Conclude(o Outcome) {
	t.Outcomes = newest(t.Outcomes, maxOutcomes, func(old Outcome) bool { return old.Generation == o.Generation }, o)
}

// Outcome is what became of a generation, nil where that is not known, or not any more.
func (t *Tracking) Outcome(generation int64) *Outcome {
	for i := range t.Outcomes {
		if t.Outcomes[i].Generation == generation {
			return &t.Outcomes[i]
		}
	}
	return nil
}

// newest puts what is new in the place of those entries that it replaces, at the end of a list that keeps so many, and leaves
// the list itself as it is: other records share it.
func newest[T any](list []T, most int, replaced func(T) bool, added ...T) []T {
	kept := append(slices.DeleteFunc(slices.Clone(list), replaced), added...)
	return kept[max(0, len(kept)-most):]
}

// Resolved is what a template's image was when it was looked up.
type Resolved struct {
	Template string `json:"template"`
	ID       string `json:"id"`
	Digest   string `json:"digest,omitempty"`
}

// maxResolved is for how many templates that is kept.
const maxResolved = 10

// Image is what a template's image was resolved to, zero where it was not.
func (t *Tracking) Image(template string) Resolved {
	for _, one := range t.Images {
		if one.Template == template {
			return one
		}
	}
	return Resolved{Template: template}
}

// NoteImage puts what a template's image means in the place of what it meant before.
func (t *Tracking) NoteImage(n Resolved) {
	t.Images = newest(t.Images, maxResolved, func(old Resolved) bool { return old.Template == n.Template }, n)
}

// Taken is the snapshot, by its digest, that a request for code led to.
type Taken struct {
	Code   int64  `json:"code"`
	Digest string `json:"digest"`
}

// maxTaken is for how many requests that is kept.
const maxTaken = 10

// Taken is the digest that a request for code led to, "" where its code was not taken yet.
func (t *Tracking) Taken(code int64) string {
	for _, one := range t.Codes {
		if one.Code == code {
			return one.Digest
		}
	}
	return ""
}

// NoteTaken puts what a request for code led to in the place of what it led to before.
func (t *Tracking) NoteTaken(n Taken) {
	t.Codes = newest(t.Codes, maxTaken, func(old Taken) bool { return old.Code == n.Code }, n)
}

// maxAccepted is how many generations back a request can be judged by what it asked for.
const maxAccepted = maxOutcomes

// Trial counts how often a template was tried in the place of a container that ran, which was stopped for it each time.
type Trial struct {
	Template string `json:"template"`
	Attempts int    `json:"attempts"`
	// Token is the placement of the newest attempt, Failed why that was taken back.
	Token  string `json:"token"`
	Failed string `json:"failed,omitempty"`
	// Exit is how it ended, and the last that it said.
	Exit *Exit `json:"exit,omitempty"`
}

// maxTrials is how many templates are remembered as tried.
const maxTrials = 10

// Trial is what became of a template, zero where it was not tried.
func (t *Tracking) Trial(template string) Trial {
	for _, one := range t.Trials {
		if one.Template == template {
			return one
		}
	}
	return Trial{Template: template}
}

// NoteTrial puts a template's newest trial in the place of the one before; one without attempts is forgotten.
func (t *Tracking) NoteTrial(n Trial) {
	var tried []Trial
	if n.Attempts > 0 {
		tried = []Trial{n}
	}
	t.Trials = newest(t.Trials, maxTrials, func(old Trial) bool { return old.Template == n.Template }, tried...)
}

// Placement is a create intent, and once DockerID is known, the container that came of it. It is written before the engine
// is asked to create anything, so that whatever the engine made can be recognised after a crash.
type Placement struct {
	Token        string `json:"token"`
	DockerName   string `json:"docker_name"`
	DockerID     string `json:"docker_id,omitempty"`
	Generation   int64  `json:"generation"`
	TemplateHash string `json:"template_hash"`
	// Cause is why it was intended: one of api's causes.
	Cause     string        `json:"cause,omitempty"`
	Resources api.Resources `json:"resources"`
	// Network is the one that the container is to be attached to, "" where that is not known.
	Network string                  `json:"network,omitempty"`
	Ports   map[string]api.HostPort `json:"ports,omitempty"`
	// ImageID and ImageDigest are what the image's reference meant when the container was intended. Outdated is set where a
	// client had it looked up anew and it means another image by now.
	ImageID     string `json:"image_id,omitempty"`
	ImageDigest string `json:"image_digest,omitempty"`
	Outdated    bool   `json:"outdated,omitempty"`
	// Code is the snapshot that the container's next start runs and AskedBy the request for code that led to it; Runs is the
	// one that its newest start ran.
	Code    string `json:"code,omitempty"`
	AskedBy int64  `json:"asked_by,omitempty"`
	Runs    string `json:"runs,omitempty"`
	// HostMounts are the host paths that the container was given.
	HostMounts []HostMount `json:"host_mounts,omitempty"`
	// Stable is set once the container was Available.
	Stable bool `json:"stable,omitempty"`
	// Stop is how long the container has to end by itself, since it was asked to; nil where it was not asked.
	Stop *Wait `json:"stop,omitempty"`
	// Mount is the folder of the flow's socket that the container's newest start found: as Endpoints names it.
	Mount string `json:"mount,omitempty"`
	// Anonymous are the volumes that the engine made for the container, by target; Carried those that it took over from the
	// one before, which the engine does not remove with it.
	Anonymous map[string]string `json:"anonymous,omitempty"`
	Carried   map[string]string `json:"carried,omitempty"`
}

// HostMount is a host path as it was declared, the path without symlinks that it led to, and whether it may be written to.
type HostMount struct {
	Declared string `json:"declared"`
	Path     string `json:"path"`
	Write    bool   `json:"write,omitempty"`
}

// Volumes are the anonymous volumes that a container in its place takes over, by target.
func (p *Placement) Volumes() map[string]string {
	if len(p.Anonymous)+len(p.Carried) == 0 {
		return nil
	}
	volumes := maps.Clone(p.Carried)
	if volumes == nil {
		volumes = map[string]string{}
	}
	maps.Copy(volumes, p.Anonymous)
	return volumes
}

// Supersede notes a placement whose container may still exist and is to go.
func (t *Placements) Supersede(p Placement) {
	if p.Token != "" {
		t.Superseded = append(append([]Placement{}, t.Superseded...), p)
	}
}

// Of is the placement that has a container, nil where none has. It may be changed but for those that are superseded.
func (t *Placements) Of(dockerID string) *Placement {
	for _, p := range []*Placement{&t.Current, &t.Candidate, &t.Previous} {
		if p.DockerID == dockerID && dockerID != "" {
			return p
		}
	}
	return nil
}

// Owns tells whether a container with this token, id and name is the one that p stands for: the recorded one, or while
// none is recorded, the one of the intent's exact name. Labels alone prove nothing, for `docker commit` hands them on.
func (p *Placement) Owns(token, dockerID, dockerName string) bool {
	if p.Token == "" || p.Token != token {
		return false
	}
	if p.DockerID != "" {
		return p.DockerID == dockerID
	}
	return p.DockerName == dockerName
}

// Owns tells whether a container is the record's, standing or superseded.
func (r *Record) Owns(token, dockerID, dockerName string) bool {
	return owns(r.AllPlacements(), token, dockerID, dockerName)
}

// AllPlacements are all that are known of the record, those without a token left out.
func (t *Placements) AllPlacements() []Placement {
	all := append([]Placement{}, t.Superseded...)
	for _, p := range []Placement{t.Previous, t.Current, t.Candidate} {
		if p.Token != "" {
			all = append(all, p)
		}
	}
	return all
}

func owns(placements []Placement, token, dockerID, dockerName string) bool {
	for i := range placements {
		if placements[i].Owns(token, dockerID, dockerName) {
			return true
		}
	}
	return false
}

// Tombstone is what remains of a deleted container.
type Tombstone struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Labels     map[string]string `json:"labels,omitempty"`
	Placements []Placement       `json:"placements"`
	DeletedAt  time.Time         `json:"deleted_at"`
	DeletedBy  string            `json:"deleted_by"`
	// Revision is that of the deletion, 0 where an older version of the manager noted it.
	Revision uint64 `json:"revision,omitempty"`
}

// Owns tells whether a container was the deleted one's.
func (t *Tombstone) Owns(token, dockerID, dockerName string) bool {
	return owns(t.Placements, token, dockerID, dockerName)
}

// declaration is the half of a record that clients write, as it is stored.
type declaration struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
	CreatedBy     string            `json:"created_by"`
	DeletedAt     *time.Time        `json:"deleted_at,omitempty"`
	DeletedBy     string            `json:"deleted_by,omitempty"`
	RemoveVolumes bool              `json:"remove_volumes,omitempty"`
	Generation    int64             `json:"generation"`
	SpecGen       int64             `json:"spec_generation"`
	TemplateGen   int64             `json:"template_generation"`
	DeclaredAt    time.Time         `json:"declared_at"`
	DeclaredBy    string            `json:"declared_by,omitempty"`
	Asked         Requests          `json:"asked,omitzero"`
	Accepted      []Accepted        `json:"accepted,omitempty"`
	Code          int64             `json:"code,omitempty"`
	Revision      uint64            `json:"revision"`
	Spec          api.Spec          `json:"spec"`
}

// observation is the half of a record that the controller writes, as it is stored.
type observation struct {
	Revision uint64     `json:"revision"`
	Status   api.Status `json:"status"`
	Tracking
}

func (r *Record) declaration() declaration {
	return declaration{
		ID: r.ID, Name: r.Name, Labels: r.Labels, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, DeletedAt: r.DeletedAt,
		DeletedBy: r.DeletedBy, RemoveVolumes: r.RemoveVolumes, Generation: r.Generation, SpecGen: r.SpecGeneration, TemplateGen: r.TemplateGeneration, DeclaredAt: r.DeclaredAt, DeclaredBy: r.DeclaredBy, Asked: r.Asked, Accepted: r.Accepted, Code: r.Code, Revision: r.Revision, Spec: r.Spec,
	}
}

func (r *Record) observation() observation {
	return observation{Revision: r.Revision, Status: r.Status, Tracking: r.Tracking}
}

func assemble(d declaration, o observation, epoch string) *Record {
	r := &Record{
		Container: api.Container{
			ID: d.ID, Name: d.Name, Labels: d.Labels, CreatedAt: d.CreatedAt, CreatedBy: d.CreatedBy, DeletedAt: d.DeletedAt,
			Generation: d.Generation, Spec: d.Spec, Status: o.Status,
		},
		SpecGeneration: d.SpecGen, TemplateGeneration: d.TemplateGen, DeclaredAt: d.DeclaredAt, DeclaredBy: d.DeclaredBy, Asked: d.Asked, Accepted: d.Accepted, Code: d.Code, DeletedBy: d.DeletedBy, RemoveVolumes: d.RemoveVolumes, Tracking: o.Tracking,
		Revision: max(d.Revision, o.Revision),
	}
	r.ResourceVersion = version(epoch, r.Revision)
	return r
}

package store

import (
	"maps"
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Record is a declared container with what the controller has to remember of it.
type Record struct {
	api.Container
	// DeclaredAt and DeclaredBy are when and by whom the newest generation was declared.
	DeclaredAt time.Time
	DeclaredBy string
	// SpecGeneration is the generation of the newest change of the spec itself.
	SpecGeneration int64
	// TemplateGeneration is that of the newest change of anything but the desired state.
	TemplateGeneration int64
	// Wake grows with every explicit start; the controller notes in WakeSeen the one it has acted upon.
	Wake int64
	// Restart is the generation of the newest restart that was asked for; the controller notes in RestartSeen the one it
	// has acted upon.
	Restart int64
	// Retry is the generation of the newest request to try a template again that was taken back; RetrySeen is the one acted upon.
	Retry int64
	// Pull is the generation of the newest request to look up the image anew; PullSeen is the one acted upon.
	Pull int64
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

// Tracking is the controller's own half of a status: clients do not see it.
type Tracking struct {
	// Placement is the container that stands for this record, or is about to.
	Placement Placement `json:"placement,omitzero"`
	// Next is the container that is being made to take the place of Placement's.
	Next Placement `json:"next,omitzero"`
	// Prev is the one that stood before, kept until Placement's has proven itself.
	Prev Placement `json:"prev,omitzero"`
	// Images are what the images of the newest templates were resolved to, once for each, oldest first.
	Images []Resolved `json:"images,omitempty"`
	// Codes are the snapshots that the newest requests for code led to, oldest first.
	Codes []Taken `json:"codes,omitempty"`
	// Trials are what became of templates that were tried in the place of a container that ran, oldest first.
	Trials []Trial `json:"trials,omitempty"`
	// Superseded are former placements whose containers may still exist.
	Superseded []Placement `json:"superseded,omitempty"`
	// StopDeadline is when a container that was asked to stop is killed.
	StopDeadline *time.Time `json:"stop_deadline,omitempty"`
	WakeSeen     int64      `json:"wake_seen,omitempty"`
	RestartSeen  int64      `json:"restart_seen,omitempty"`
	RetrySeen    int64      `json:"retry_seen,omitempty"`
	PullSeen     int64      `json:"pull_seen,omitempty"`
	// RestartFrom is the run that a restart is to replace; it is done when another one runs.
	RestartFrom string `json:"restart_from,omitempty"`
	// RestartAsked is set before the start that a restart leads to: another run is that one from then on.
	RestartAsked bool `json:"restart_asked,omitempty"`
	// Handled is the run (Docker id and start time) whose exit was counted, or forgiven by an explicit start.
	Handled string `json:"handled,omitempty"`
	// CountedEnd is when the newest run ended whose exit was counted and stays so, nil where there is none.
	CountedEnd *time.Time `json:"counted_end,omitempty"`
	// Ended is why the restart policy leaves an ended container alone: Completed, Failed, GaveUp or Interrupted. A start
	// clears it.
	Ended string `json:"ended,omitempty"`
	// EndedUnder is the restart policy that decided so; under another one it is decided anew.
	EndedUnder api.RestartPolicy `json:"ended_under,omitzero"`
	// Ran is set before the first start since the newest explicit one.
	Ran bool `json:"ran,omitempty"`
	// Outcomes are what became of the last generations, oldest first.
	Outcomes []Outcome `json:"outcomes,omitempty"`
	// ReadyRun is the run in which the flow said that it is ready, where its spec waits for that.
	ReadyRun string `json:"ready_run,omitempty"`
	// Boot is the host's boot id at the newest start.
	Boot string `json:"boot,omitempty"`
	// Failure is the newest action that did not work; it is gone once one does.
	Failure *Failure `json:"failure,omitempty"`
}

// Outcome is what became of a generation: the state that was reached, or an error.
type Outcome struct {
	Generation int64         `json:"generation"`
	State      string        `json:"state"`
	ErrorType  api.ErrorType `json:"error_type,omitempty"`
	Message    string        `json:"message,omitempty"`
}

// maxOutcomes is how many generations back an outcome can be asked for.
const maxOutcomes = 10

// Conclude notes what became of a generation, in place of what was noted for it before.
func (t *Tracking) Conclude(o Outcome) {
	t.Outcomes = newest(t.Outcomes, maxOutcomes, func(old Outcome) bool { return old.Generation == o.Generation }, o)
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

// Trial counts how often a template was tried in the place of a container that ran, which was stopped for it each time.
type Trial struct {
	Template string `json:"template"`
	Attempts int    `json:"attempts"`
	// Token is the placement of the newest attempt, Failed why that was taken back.
	Token  string `json:"token"`
	Failed string `json:"failed,omitempty"`
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

// Failure says which generation could not be brought about, how often in a row, why, and when the next attempt is due.
type Failure struct {
	Generation int64  `json:"generation"`
	Attempts   int    `json:"attempts"`
	Reason     string `json:"reason"`
	// Action is what did not work. Update tells that it was about the next container: the standing one goes on.
	Action  string    `json:"action"`
	Update  bool      `json:"update,omitempty"`
	RetryAt time.Time `json:"retry_at"`
}

// Placement is a create intent, and once DockerID is known, the container that came of it. It is written before the engine
// is asked to create anything, so that whatever the engine made can be recognised after a crash.
type Placement struct {
	Token        string                  `json:"token"`
	DockerName   string                  `json:"docker_name"`
	DockerID     string                  `json:"docker_id,omitempty"`
	Generation   int64                   `json:"generation"`
	TemplateHash string                  `json:"template_hash"`
	Resources    api.Resources           `json:"resources"`
	Ports        map[string]api.HostPort `json:"ports,omitempty"`
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
	// Stable is set once the container has run for as long as an update is watched.
	Stable bool `json:"stable,omitempty"`
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
func (t *Tracking) Supersede(p Placement) {
	if p.Token != "" {
		t.Superseded = append(append([]Placement{}, t.Superseded...), p)
	}
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
	return owns(r.Placements(), token, dockerID, dockerName)
}

// Placements are all that are known of the record, those without a token left out.
func (r *Record) Placements() []Placement {
	all := append([]Placement{}, r.Superseded...)
	for _, p := range []Placement{r.Prev, r.Placement, r.Next} {
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
	Wake          int64             `json:"wake,omitempty"`
	Restart       int64             `json:"restart,omitempty"`
	Retry         int64             `json:"retry,omitempty"`
	Pull          int64             `json:"pull,omitempty"`
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
		DeletedBy: r.DeletedBy, RemoveVolumes: r.RemoveVolumes, Generation: r.Generation, SpecGen: r.SpecGeneration, TemplateGen: r.TemplateGeneration, DeclaredAt: r.DeclaredAt, DeclaredBy: r.DeclaredBy, Wake: r.Wake, Restart: r.Restart, Retry: r.Retry, Pull: r.Pull, Code: r.Code, Revision: r.Revision, Spec: r.Spec,
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
		SpecGeneration: d.SpecGen, TemplateGeneration: d.TemplateGen, DeclaredAt: d.DeclaredAt, DeclaredBy: d.DeclaredBy, Wake: d.Wake, Restart: d.Restart, Retry: d.Retry, Pull: d.Pull, Code: d.Code, DeletedBy: d.DeletedBy, RemoveVolumes: d.RemoveVolumes, Tracking: o.Tracking,
		Revision: max(d.Revision, o.Revision),
	}
	r.ResourceVersion = version(epoch, r.Revision)
	return r
}

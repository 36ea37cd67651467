package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// The records of format 1, as they were. Nothing is left out: what a record has besides is not known, and the record is not
// relied upon.

type declaration1 struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels"`
	CreatedAt     time.Time         `json:"created_at"`
	CreatedBy     string            `json:"created_by"`
	DeletedAt     *time.Time        `json:"deleted_at"`
	DeletedBy     string            `json:"deleted_by"`
	RemoveVolumes bool              `json:"remove_volumes"`
	Generation    int64             `json:"generation"`
	SpecGen       int64             `json:"spec_generation"`
	TemplateGen   int64             `json:"template_generation"`
	DeclaredAt    time.Time         `json:"declared_at"`
	DeclaredBy    string            `json:"declared_by"`
	Wake          int64             `json:"wake"` // a number of explicit starts; the others are generations
	Restart       int64             `json:"restart"`
	Retry         int64             `json:"retry"`
	Pull          int64             `json:"pull"`
	Code          int64             `json:"code"`
	Revision      uint64            `json:"revision"`
	Spec          api.Spec          `json:"spec"`
}

type observation1 struct {
	Revision     uint64            `json:"revision"`
	Status       api.Status        `json:"status"`
	Placement    placement1        `json:"placement"`
	Next         placement1        `json:"next"`
	Prev         placement1        `json:"prev"`
	Images       []Resolved        `json:"images"`
	Codes        []Taken           `json:"codes"`
	Trials       []trial1          `json:"trials"`
	Superseded   []placement1      `json:"superseded"`
	StopDeadline *time.Time        `json:"stop_deadline"`
	WakeSeen     int64             `json:"wake_seen"`
	RestartSeen  int64             `json:"restart_seen"`
	RetrySeen    int64             `json:"retry_seen"`
	PullSeen     int64             `json:"pull_seen"`
	RestartFrom  string            `json:"restart_from"`
	RestartAsked bool              `json:"restart_asked"`
	Handled      string            `json:"handled"`
	CountedEnd   *time.Time        `json:"counted_end"`
	Ended        string            `json:"ended"`
	EndedUnder   api.RestartPolicy `json:"ended_under"`
	Ran          bool              `json:"ran"`
	Outcomes     []outcome1        `json:"outcomes"`
	ReadyRun     string            `json:"ready_run"`
	Boot         string            `json:"boot"`
	Failure      *failure1         `json:"failure"`
}

type placement1 struct {
	Token        string                  `json:"token"`
	DockerName   string                  `json:"docker_name"`
	DockerID     string                  `json:"docker_id"`
	Generation   int64                   `json:"generation"`
	TemplateHash string                  `json:"template_hash"`
	Resources    api.Resources           `json:"resources"`
	Ports        map[string]api.HostPort `json:"ports"`
	ImageID      string                  `json:"image_id"`
	ImageDigest  string                  `json:"image_digest"`
	Outdated     bool                    `json:"outdated"`
	Code         string                  `json:"code"`
	AskedBy      int64                   `json:"asked_by"`
	Runs         string                  `json:"runs"`
	HostMounts   []HostMount             `json:"host_mounts"`
	Stable       bool                    `json:"stable"`
	Anonymous    map[string]string       `json:"anonymous"`
	Carried      map[string]string       `json:"carried"`
}

type trial1 struct {
	Template string `json:"template"`
	Attempts int    `json:"attempts"`
	Token    string `json:"token"`
	Failed   string `json:"failed"`
}

type outcome1 struct {
	Generation int64         `json:"generation"`
	State      string        `json:"state"`
	ErrorType  api.ErrorType `json:"error_type"`
	Message    string        `json:"message"`
}

type failure1 struct {
	Generation int64     `json:"generation"`
	Attempts   int       `json:"attempts"`
	Reason     string    `json:"reason"`
	Action     string    `json:"action"`
	Update     bool      `json:"update"`
	RetryAt    time.Time `json:"retry_at"`
}

// decodeWhole is decode for what must not hold anything that is not known.
func decodeWhole(value []byte, into any) error {
	if value == nil {
		return errors.New("it is missing")
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

// contentsOf1 is contents for a file of format 1.
func contentsOf1(tx *bolt.Tx, now time.Time) (*content, error) {
	return contentsOf(tx, 1, func(declared, observed []byte) (declaration, observation, error) {
		return halves1(declared, observed, now)
	})
}

// halves1 is halves for a record of format 1.
func halves1(declared, observed []byte, now time.Time) (declaration, observation, error) {
	r := record1{now: now}
	if err := decodeWhole(declared, &r.declaration1); err != nil {
		return declaration{}, observation{}, err
	}
	if err := decodeWhole(observed, &r.observation1); err != nil {
		return declaration{}, observation{}, fmt.Errorf("its status: %w", err)
	}
	return r.declaration(), r.observation(), nil
}

// record1 is a record of format 1, at the moment of its migration.
type record1 struct {
	declaration1 `json:"-"`
	observation1 `json:"-"`
	now          time.Time
}

func (r *record1) declaration() declaration {
	d := &r.declaration1
	return declaration{
		ID: d.ID, Name: d.Name, Labels: d.Labels, CreatedAt: d.CreatedAt, CreatedBy: d.CreatedBy, DeletedAt: d.DeletedAt, DeletedBy: d.DeletedBy,
		RemoveVolumes: d.RemoveVolumes, Generation: d.Generation, SpecGen: d.SpecGen, TemplateGen: d.TemplateGen, DeclaredAt: d.DeclaredAt,
		DeclaredBy: d.DeclaredBy, Asked: Requests{Start: r.start(), Restart: d.Restart, Pull: d.Pull, Retry: d.Retry}, Code: d.Code,
		Revision: d.Revision, Spec: d.Spec,
	}
}

// start is the generation of an explicit start that was not acted upon, 0 where there is none. Which one it was is not known:
// the newest says as much.
func (r *record1) start() int64 {
	if r.Wake > r.WakeSeen {
		return r.Generation
	}
	return 0
}

func (r *record1) observation() observation {
	o := &r.observation1
	return observation{Revision: o.Revision, Status: r.status(), Tracking: Tracking{
		Done:       Requests{Restart: o.RestartSeen, Pull: o.PullSeen, Retry: o.RetrySeen},
		Placements: r.placements(), AtRest: true, Handover: r.handover(), Run: r.run(), Images: o.Images, Codes: o.Codes, Trials: r.trials(), Outcomes: r.outcomes(),
	}}
}

// status leaves out the error of the newest step. What could not be done is tried at once, and is told of again.
func (r *record1) status() api.Status {
	st := r.Status
	if r.Failure != nil {
		st.LastError = nil
	}
	return st
}

func (p *placement1) placement() Placement {
	return Placement{
		Token: p.Token, DockerName: p.DockerName, DockerID: p.DockerID, Generation: p.Generation, TemplateHash: p.TemplateHash, Resources: p.Resources,
		Ports: p.Ports, ImageID: p.ImageID, ImageDigest: p.ImageDigest, Outdated: p.Outdated, Code: p.Code, AskedBy: p.AskedBy, Runs: p.Runs,
		HostMounts: p.HostMounts, Stable: p.Stable, Anonymous: p.Anonymous, Carried: p.Carried,
	}
}

func (r *record1) placements() Placements {
	p := Placements{Current: r.Placement.placement(), Candidate: r.Next.placement(), Previous: r.Prev.placement()}
	for i := range r.Superseded {
		p.Superseded = append(p.Superseded, r.Superseded[i].placement())
	}
	if stopping := stopping1(&p); stopping != nil && r.StopDeadline != nil {
		stopping.Stop = r.wait(*r.StopDeadline, r.grace())
	}
	return p
}

// stopping1 is the placement whose container the stop of a record was for. Those that were superseded came first. Where there
// are several it is not known which one, and the next stop asks again: that gives time, and the other way round a container
// would be killed that nobody has asked to stop.
func stopping1(p *Placements) *Placement {
	var made []*Placement
	for i := range p.Superseded {
		if p.Superseded[i].DockerID != "" {
			made = append(made, &p.Superseded[i])
		}
	}
	switch {
	case len(made) == 1:
		return made[0]
	case len(made) == 0 && p.Current.DockerID != "":
		return &p.Current
	}
	return nil
}

func (r *record1) grace() time.Duration {
	seconds := api.DefaultStopGrace
	if r.Spec.StopGrace != nil {
		seconds = *r.Spec.StopGrace
	}
	return time.Duration(seconds) * time.Second
}

// wait is what is left until a point in time, and not more than most: a clock may have jumped.
func (r *record1) wait(until time.Time, most time.Duration) *Wait {
	return &Wait{Since: r.now, Length: min(max(0, until.Sub(r.now)), most)}
}

// handover is the replacement that was under way. What stood before was kept from the swap on; before it, the attempt tells.
func (r *record1) handover() *Handover {
	onTrial := r.Prev.Token != ""
	for _, t := range r.Trials {
		if t.Token != "" && t.Token == r.Next.Token {
			return &Handover{Token: t.Token, Trial: onTrial || r.keepable()}
		}
	}
	if !onTrial {
		return nil
	}
	return &Handover{Token: r.Placement.Token, Trial: true, Failed: r.startFailed()}
}

// keepable reports whether the standing container can be gone back to.
func (r *record1) keepable() bool {
	streak := r.Status.CrashStreak
	return r.Spec.DesiredState == api.DesiredRunning && (streak == 0 || r.Placement.Stable && streak < 2)
}

// startFailed is why what is on trial could not be started, "" where it could be, or was not yet.
func (r *record1) startFailed() string {
	if f := r.Failure; f == nil || f.Generation != r.Generation || f.Action != "start" || r.Status.LastError == nil {
		return ""
	}
	return r.Status.LastError.Message
}

// What format 1 wrote before a run whose end did not count.
const (
	asked1       = "asked:"
	interrupted1 = "interrupted:"
)

// maxBackoff1 is the longest pause between two runs.
const maxBackoff1 = 300 * time.Second

func (r *record1) run() Run {
	n := Run{
		Ended: r.Ended, EndedUnder: r.EndedUnder, Streak: r.Status.CrashStreak, Begun: r.Ran, Boot: r.Boot, RestartFrom: r.RestartFrom,
		RestartAsked: r.RestartAsked, Ready: r.ReadyRun,
	}
	if r.Handled != "" {
		n.ID, n.End = r.Handled, EndCounted
	}
	for prefix, end := range map[string]string{asked1: EndAsked, interrupted1: EndInterrupted} {
		if id, is := strings.CutPrefix(r.Handled, prefix); is {
			n.ID, n.End = id, end
		}
	}
	if n.End == EndCounted && r.CountedEnd != nil && n.Streak > 0 {
		n.Counted = []CountedEnd{{Run: n.ID, At: *r.CountedEnd}}
	}
	if next := r.Status.NextRestartAt; next != nil && next.After(r.now) {
		n.Backoff = r.wait(*next, maxBackoff1)
	}
	n.Available = r.available(n.ID)
	return n
}

// available is the run that has lasted for as long as an update is watched, "" where that is not known. ended is the newest
// that has ended.
func (r *record1) available(ended string) string {
	st, p := &r.Status, &r.Placement
	if st.State != api.StateRunning || !p.Stable || st.StartedAt == nil || p.DockerID == "" || st.DockerID != p.DockerID {
		return ""
	}
	var monitor time.Duration
	if r.Spec.UpdatePolicy.Monitor != nil {
		monitor = time.Duration(*r.Spec.UpdatePolicy.Monitor) * time.Second
	}
	run := p.DockerID[:min(12, len(p.DockerID))] + "@" + st.StartedAt.UTC().Format(time.RFC3339Nano)
	if run == ended || r.now.Sub(*st.StartedAt) < monitor {
		return ""
	}
	return run
}

func (r *record1) trials() []Trial {
	var all []Trial
	for _, t := range r.Trials {
		all = append(all, Trial{Template: t.Template, Attempts: t.Attempts, Token: t.Token, Failed: t.Failed})
	}
	return all
}

// outcomes are those of requests whose intent is not known: they asked for what was declared.
func (r *record1) outcomes() []Outcome {
	var all []Outcome
	for _, o := range r.Outcomes {
		next := Outcome{Generation: o.Generation, Intent: IntentSpec, ErrorType: o.ErrorType, Message: o.Message}
		if o.ErrorType == "" {
			next.Level, next.State = LevelAvailable, o.State
		}
		all = append(all, next)
	}
	return all
}

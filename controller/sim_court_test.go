//go:build sim

package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// simSlack is how old a declaration may be that a step was decided by: looking takes at most that long.
const simSlack = 2*callTimeout + 5*time.Second

// simLate is how much longer than it has to a restart may take, where the engine was there and nobody else meddled; simCrowded the
// same where much was done within the minute, and what that has room for may be used up.
const (
	simLate    = 20 * time.Second
	simCrowded = 90 * time.Second
)

// simTurn is longer than a turn of the loop takes from reading a declaration to its first call, where nothing is slow.
const simTurn = 100 * time.Millisecond

// simCalls is more than any script needs: a seed's world takes some thousand calls.
const simCalls = 30_000

// court holds what the manager does against the rules. The engine's mutex guards it.
type court struct {
	told    map[string]map[int64]bool // generations whose outcome was told, by record id
	model   *simModel
	began   time.Time
	files   map[string]*simFile // by record id
	verdict string
	story   []func() string
	shaky   bool          // the event streams broke and the engine was not listed since
	lost    time.Time     // when the newest outage was
	over    chan struct{} // closed with the first violation
	calls   int
	quiet   bool // nothing but lists may reach the engine
	copied  bool // the store once was a copy from earlier, and may not know what was asked for since
	held    bool // the store is a copy that was put back, and not accepted yet
	exempt  map[string]bool
	stood   map[string]bool // create tokens that a container's Docker id was recorded for
	reached map[string]int
}

// simFile is what the court knows of one record's containers.
type simFile struct {
	stops  int             // reasons to stop its process that were not used up
	streak int             // consecutive short runs, as far as is certain: nobody touched it since
	exit   *simExit        // the newest run's end that nobody asked for, where the policy's answer is certain
	doubt  time.Time       // until when calls whose outcome nobody knows may still take effect
	blind  bool            // an event was lost, and no list since shows whether a run is the one that was seen
	hands  time.Time       // when an outside hand last touched it
	ran    time.Time       // when its newest run began
	over   time.Time       // when its newest run that nobody asked to stop ended
	hash   string          // of the container that ran then, and its code
	volume string          // that it kept its data in
	failed map[string]bool // templates of which a container did not stay up, "" for any
	caused []simCause      // within the last minute
	minute time.Time       // from when on steps are counted
	tried  int             // how many were tried since
	unread bool            // what one of its containers said last could not be read
	halted map[string]bool // runs that the engine has ended, for it was stopped
	done   string          // the run that was told to have completed before the engine went
	sick   time.Time       // when the newest run was found not to be well, where the policy's answer is certain
	run    string          // when its newest run began, by the engine's clock
	update simUpdate
	codes  map[string]int  // how often it was stopped for code, by template
	good   map[string]bool // templates with their code of which a run has lasted
	coded  string          // the newest run that was stopped so
	from   string          // what it ran then, where that is known to work
	copied bool            // nobody knows what ran then: the store is another one since
	spent  string          // what did not stay up in its place
}

type simExit struct {
	at     time.Time
	code   int
	policy api.RestartPolicy
	sick   bool // it was not well, and was stopped for that
	full   bool // much had been done for it within the minute
}

func newCourt() *court {
	return &court{told: map[string]map[int64]bool{}, model: &simModel{live: map[string]*simDeclared{}, all: map[string]*simDeclared{}}, began: time.Now(),
		over: make(chan struct{}), files: map[string]*simFile{}, exempt: map[string]bool{}, stood: map[string]bool{}, reached: map[string]int{}}
}

func (c *court) note(format string, args ...any) {
	at := time.Since(c.began)
	c.story = append(c.story, func() string { return fmt.Sprintf("%12v  "+format, append([]any{at}, args...)...) })
}

// violate keeps the first violation.
func (c *court) violate(format string, args ...any) {
	c.note("VIOLATION "+format, args...)
	if c.verdict == "" {
		c.verdict = fmt.Sprintf(format, args...)
		close(c.over)
	}
}

func (c *court) tell() string {
	var b strings.Builder
	var lines []string
	last, times := "", 0
	for _, one := range c.story {
		line := one()
		if _, said, _ := strings.Cut(strings.TrimSpace(line), " "); said != last {
			last, times = said, 0
		}
		if times++; times <= 3 { // what is repeated without end is told of three times
			lines = append(lines, line)
		}
	}
	for _, line := range lines[max(0, len(lines)-120):] {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (c *court) file(id string) *simFile {
	f := c.files[id]
	if f == nil {
		f = &simFile{failed: map[string]bool{}, halted: map[string]bool{}, good: map[string]bool{}}
		c.files[id] = f
	}
	return f
}

// called sees each call that reaches the engine.
func (c *court) called(l *simLife, call, name string) {
	for id := range c.model.all {
		c.remember(id)
	}
	if c.calls++; c.calls == simCalls {
		c.violate("the manager spins: %d calls", c.calls)
	}
	if call != "list" && call != "inspect" && call != "image" && call != "replay" {
		c.note("call  %s %s", call, name)
	}
	if c.held && l == c.model.life && !slices.Contains([]string{"engine", "list", "replay"}, call) {
		c.violate("the store is a copy from earlier, and the engine is asked to %s %s", call, name)
	}
	_, others := simTwin()[name] // for which nobody waits until they have come to rest
	excused := others || c.exempt[name] || (call == "image" || call == "pull") && anyTrue(c.exempt)
	if c.quiet && call != "list" && call != "replay" && !excused {
		c.violate("a quiet world's engine was asked to %s %s", call, name)
	}
}

// disturb forgives what is uncertain about a record from now on.
func (c *court) disturb(id string) {
	f := c.file(id)
	f.stops++
	f.streak, f.exit, f.sick = 0, nil, time.Time{}
	f.from, f.spent = "", ""
}

func (c *court) disturbName(name string, late time.Duration) {
	for id, d := range c.model.all {
		if d.name == name {
			c.disturb(id)
			c.file(id).doubt = time.Now().Add(late + simSlack)
		}
	}
}

func (c *court) touched(id, kind string) {
	c.remember(id) // what is gone is made anew, and of what it was made is forgotten
	c.note("hand  %s", kind)
	f := c.file(id)
	if kind != "exit" && kind != "health" {
		c.disturb(id)
	}
	if kind == "hand-remove" { // of what takes over, perhaps: that attempt is none
		f.update.tries, f.codes = nil, nil
	}
	if kind == "health" {
		f.stops++ // what is not well is stopped
	}
	f.hands = time.Now()
}

// falls sees a health check find that a container is not well.
func (c *court) falls(o *simContainer) {
	d, f := c.model.all[o.ID], c.file(o.ID)
	f.stops++
	f.failed[o.Hash] = true
	if d == nil || !o.ours || o.byHand || !o.asked.IsZero() || time.Now().Before(f.doubt) || !c.settled(d) || !f.sick.IsZero() ||
		d.spec.RestartPolicy.OnUnhealthy != api.UnhealthyRestart || d.spec.RestartPolicy.Name == api.RestartNever {
		return
	}
	f.streak++
	if time.Since(o.since) >= plan.LongRun {
		f.streak = 1
	}
	f.sick = time.Now()
}

// outage makes the ends of runs around it uncertain.
func (c *court) outage() {
	c.shaky, c.lost = true, time.Now()
	c.completes()
	for id := range c.model.all {
		c.disturb(id)
		c.file(id).blind = false
	}
}

// creates checks that the intent is on disk, and with it whose container this is.
func (c *court) creates(l *simLife, t *Template) {
	c.mute(l, "create", t.DockerName)
	r, ok := l.store.Get(t.ID)
	if !ok {
		c.violate("%s is created without an intent on disk", t.DockerName)
		return
	}
	all := r.AllPlacements()
	switch i := slices.IndexFunc(all, func(p store.Placement) bool { return p.Token == t.Token }); {
	case i < 0:
		c.violate("%s is created without an intent on disk", t.DockerName)
	case all[i].Resources != t.Spec.Resources:
		c.violate("%s is created with other limits than are noted of it", t.DockerName)
	}
}

// replaced tells whether a container of a create that came late is one too many: the create was repeated meanwhile, and
// another container recorded. Such a one is reported and left alone, as any that bears our labels.
func (c *court) replaced(t *Template) bool {
	c.remember(t.ID)
	known := slices.ContainsFunc(c.placements(t.ID), func(p store.Placement) bool { return p.Token == t.Token })
	return c.stood[t.Token] || c.copied && !known
}

// remember notes which of a record's create tokens have led to a container by now; the record itself forgets them.
func (c *court) remember(id string) {
	for _, p := range c.placements(id) {
		c.stood[p.Token] = c.stood[p.Token] || p.DockerID != ""
	}
}

// owns tells whether a container is the manager's by its rule. One whose id nobody recorded is recognised by its name alone:
// where a hand has given it another, it is nobody's.
func (c *court) owns(o *simContainer) bool {
	if c.copied && o.template.ID != "" && o.Instance == c.model.life.store.Instance() {
		c.disowns(o)
	}
	if !o.ours || !o.carried {
		return o.ours
	}
	return slices.ContainsFunc(c.placements(o.ID), func(p store.Placement) bool { return p.DockerID == o.DockerID })
}

// placements are those that the store knows of an id, living or buried.
func (c *court) placements(id string) []store.Placement {
	for _, l := range []*simLife{c.model.life, c.model.life.world.twin} {
		if l == nil {
			continue
		}
		if r, ok := l.store.Get(id); ok {
			return r.AllPlacements()
		}
		if stone, ok := l.store.Tombstone(id); ok {
			return stone.Placements
		}
	}
	return nil
}

// asks checks a call against what is on disk when it is made.
func (c *court) asks(l *simLife, call string, o *simContainer) {
	if !c.owns(o) {
		c.violate("the manager would %s %s, which is not its own", call, o.Name)
		return
	}
	if o.Instance != l.store.Instance() {
		c.violate("%s, which is another manager's, is asked to %s", o.Name, call)
		return
	}
	c.mute(l, call, o.Name)
	c.remember(o.ID)
	r, _ := l.store.Get(o.ID)
	d := c.model.all[o.ID]
	switch call {
	case "start":
		c.asksStart(l, o, r, d)
		c.asksStartOf(l, o, r)
	case "stop":
		c.asksStopOf(l, o, r)
		if d != nil && time.Since(d.changed) > simTurn && time.Now().After(c.file(o.ID).doubt) {
			c.asksStop(l, o, r)
		}
	case "kill":
		c.asksKill(l, o, r)
	case "remove":
		c.asksRemove(o, r, d)
		if d != nil && time.Since(d.changed) > simSlack {
			c.asksRemoveOld(l, o, r)
		}
	case "pause":
		if d != nil && d.unsure == nil && d.spec.DesiredState != api.DesiredPaused && time.Since(d.changed) > simSlack {
			c.violate("%s is paused though it is declared %s", o.Name, d.spec.DesiredState)
		}
	}
}

func (c *court) asksStart(l *simLife, o *simContainer, r *store.Record, d *simDeclared) {
	if r == nil || r.Current.DockerID != o.DockerID {
		c.violate("%s is started before its Docker id is recorded", o.Name)
	}
	if !l.world.listens(o.ID) {
		c.violate("%s is started without its socket", o.Name)
	}
	if d != nil && d.unsure == nil && d.rests() && time.Since(d.changed) > simSlack {
		c.violate("%s is started though it was declared to rest", o.Name)
	}
}

func (c *court) asksKill(l *simLife, o *simContainer, r *store.Record) {
	if r == nil || o.byHand || !o.alive() {
		return // what is left of a deleted one is collected, and a hand may have begun another run while we waited
	}
	if o.asked.IsZero() && !(c.copied && l.world.engine.skew.Load() != 0) { // when its run began is told by a clock that has jumped
		c.violate("%s is killed and was never asked to stop", o.Name)
	}
	if p := placementOf(r, o); p == nil || p.Stop == nil || p.Stop.Left(l.control.clock.now().Now) > 0 {
		c.violate("%s is killed before its grace is over", o.Name)
	}
}

func (c *court) asksRemove(o *simContainer, r *store.Record, d *simDeclared) {
	if r != nil && o.alive() && time.Since(c.file(o.ID).hands) > simSlack {
		c.violate("%s is removed while it runs", o.Name)
	}
	if d == nil || d.unsure != nil || d.deleted || time.Since(d.changed) <= simSlack || o.State == "dead" || o.State == "removing" {
		return
	}
	if r != nil && r.Current.DockerID == o.DockerID && o.Hash == api.TemplateHash(&d.spec) && o.template.Spec.Resources == d.spec.Resources {
		c.violate("%s is removed though it is what is declared", o.Name)
	}
}

// takes sees a call of the manager take effect.
func (c *court) takes(call string, o *simContainer) {
	if call != "stop" || !o.alive() || !o.ours {
		return
	}
	if f := c.file(o.ID); o.asked.IsZero() {
		if f.stops == 0 {
			c.violate("%s is asked to stop and nothing asks for that", o.Name)
		}
		f.stops = max(0, f.stops-1)
	}
	o.asked = time.Now()
}

// started sees a run begin.
func (c *court) started(e *simEngine, o *simContainer) {
	c.note("      %s runs %s", o.Name, o.code)
	for _, other := range e.containers {
		if other != o && other.ours && other.ID == o.ID && other.alive() && !o.byHand && !other.byHand {
			c.violate("two containers of %s run", o.template.Name)
		}
	}
	if !o.ours {
		return
	}
	f := c.file(o.ID)
	c.takesOver(o)
	c.startsCode(o)
	if d := c.model.all[o.ID]; f.done != "" && f.done == f.run && f.hash == o.runs() && !o.byHand && d != nil && d.unsure == nil {
		c.violate("%s is started again though it was told to have completed", o.Name)
	}
	f.done, f.copied = "", false
	if len(o.Networks) == 0 && !o.byHand && time.Since(f.hands) > simSlack && !time.Now().Before(f.doubt) {
		c.violate("%s is started without its network", o.Name)
	}
	if f.exit != nil && !o.byHand && f.hash == o.runs() { // another template owes nothing to the end of the one before
		c.judgeRestart(o, f)
	}
	if f.volume != "" && f.volume != o.volume && !o.byHand {
		c.violate("%s starts without the data of the one before it", o.Name)
	}
	if f.hash != o.runs() {
		f.streak = 0
	}
	f.exit, f.ran, f.run, f.hash = nil, time.Now(), plan.Run(&o.Container), o.runs()
	f.sick = time.Time{}
	if !o.byHand {
		f.volume = o.volume
	}
}

// judgeRestart holds a start after an exit that nobody asked for against the restart policy.
func (c *court) judgeRestart(o *simContainer, f *simFile) {
	p := f.exit.policy
	switch due := nominalDelay(f.streak); {
	case p.Name == api.RestartNever:
		c.violate("%s is started again though its policy is never", o.Name)
	case p.Name == api.RestartOnFailure && f.exit.code == 0 && !f.exit.sick:
		c.violate("%s is started again after it succeeded", o.Name)
	case p.MaxAttempts > 0 && f.streak > p.MaxAttempts:
		c.violate("%s is started for the %dth time, its policy gives up after %d", o.Name, f.streak, p.MaxAttempts)
	case c.heldUp(o, f):
		c.violate("%s is started %v after its exit: something else held it up", o.Name, time.Since(f.exit.at))
	case time.Since(f.exit.at) < due*9/10:
		c.violate("%s is started %v after exit %d in a row, which has to wait %v", o.Name, time.Since(f.exit.at), f.streak, due)
	}
}

// heldUp reports whether a start came much later than its backoff, though nothing is wrong with its process.
func (c *court) heldUp(o *simContainer, f *simFile) bool {
	r, ok := c.model.life.store.Get(o.ID)
	if !ok || f.exit.sick || r.Tracks.Process.Failure != nil {
		return false
	}
	late := simLate
	if l := c.model.life; f.exit.full || len(f.caused) > simRate/2 || l.unwritable != nil || time.Since(c.lost) < 10*time.Minute { // or starts go one by one
		late = simCrowded
	}
	most := nominalDelay(r.Run.Streak)*11/10 + late
	return time.Since(f.exit.at) > most && time.Since(c.lost) > most && time.Since(f.hands) > most
}

func nominalDelay(streak int) time.Duration {
	if streak < 2 {
		return 0
	}
	return min(time.Second<<min(streak-2, 9), 300*time.Second)
}

// was notes that a container has stood as its newest generation may ask for.
func (c *court) was(o *simContainer, state string) {
	if d := c.model.all[o.ID]; d != nil && d.was != nil && d.was[state].IsZero() {
		d.was[state] = time.Now()
	}
}

// ended sees a run end.
func (c *court) ended(o *simContainer) {
	c.note("      %s ends, code %d", o.Name, o.ExitCode)
	c.proves(o)
	c.endsCode(o)
	d, f := c.model.all[o.ID], c.file(o.ID)
	if o.asked.IsZero() {
		f.failed[o.Hash] = true
		f.over = time.Now()
		if f.update.old == o.DockerID {
			f.update.old = "" // it was not stopped for an update after all
		}
	}
	if !f.sick.IsZero() && !o.asked.IsZero() && d != nil && !time.Now().Before(f.doubt) && d.changed.Before(f.sick) {
		f.exit = &simExit{f.sick, 0, d.spec.RestartPolicy, true, false}
		return
	}
	if !o.ours || d == nil || !o.asked.IsZero() || o.byHand || time.Now().Before(f.doubt) || !c.settled(d) {
		f.exit, f.streak = nil, 0
		return
	}
	if f.sick.IsZero() { // else it is counted
		f.streak++
	}
	if time.Since(o.since) >= plan.LongRun {
		f.streak = 1
	}
	f.exit = &simExit{time.Now(), o.ExitCode, d.spec.RestartPolicy, !f.sick.IsZero(), len(f.caused) > simRate/2} // not well either, where that was seen first
}

// removed sees an outside hand take a container away, which is drift and no exit; but what shall never run again has run.
func (c *court) removed(o *simContainer) {
	if f := c.file(o.ID); f.exit == nil || f.exit.policy.Name != api.RestartNever {
		c.disturb(o.ID)
	}
}

// settled tells whether the manager has acted upon all that was declared.
func (c *court) settled(d *simDeclared) bool {
	l := c.model.life
	if l == nil || l.isDead() || l.control == nil || d.unsure != nil || c.shaky || !l.control.observer.ready() {
		return false
	}
	r, ok := l.store.Get(d.id)
	if !ok {
		return false
	}
	counted := r.Run.ID == c.file(d.id).run // before its end, because it was not well
	return !counted && r.Status.ObservedGeneration == d.generation && r.Done == r.Asked && r.Run.RestartFrom == "" &&
		r.Tracks.Process.Failure == nil && r.Tracks.Removal.Failure == nil && r.Current.Stop == nil && d.spec.DesiredState == api.DesiredRunning
}

// placementOf is the placement that a container is of, nil where it is of none.
func placementOf(r *store.Record, o *simContainer) *store.Placement {
	if p := r.Of(o.DockerID); p != nil {
		return p
	}
	for _, p := range r.AllPlacements() {
		if p.Owns(o.Token, o.DockerID, o.Name) {
			return &p
		}
	}
	return nil
}

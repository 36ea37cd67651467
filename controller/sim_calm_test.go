//go:build sim

package controller

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// converge ends the faults, grants the time that the manager may need, and then expects all as declared and silence.
func (w *simWorld) converge() error {
	w.engine.settle()
	w.life.makeRoom()
	w.code.mu.Lock()
	clear(w.code.damaged)
	w.code.mu.Unlock()
	if err := w.pass(0); err != nil {
		return err
	}
	w.life.left.Store(1 << 40)
	if err := w.pass(w.pending() + 2*time.Minute*11/10 + 30*time.Second + rateWindow + calmWindow); err != nil {
		return err
	}
	if err := w.settled(); err != nil {
		return fmt.Errorf("not converged: %w", err)
	}
	if err := w.silence(); err != nil {
		return err
	}
	return w.askNow()
}

// pending is the longest backoff that stands, or that an exit nobody counted yet will lead to.
func (w *simWorld) pending() time.Duration {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	longest := time.Duration(0)
	records, _ := w.life.store.List()
	for _, r := range records {
		wait := time.Duration(0)
		now := w.life.control.clock.now().Now
		for _, f := range r.Tracks.Trouble() {
			wait = max(wait, f.Wait.Left(now)+plan.RetryDelay(r.ID, f.Attempts+1)) // it may fail once more
		}
		if plan.OnTrial(r) {
			wait = max(wait, plan.Deadline(r))
		}
		wait = max(wait, r.Run.Backoff.Left(now))
		if c := w.engine.oursLocked(r.Name); c != nil && (!c.alive() || c.Health == api.HealthUnhealthy) && r.Run.ID != plan.Run(&c.Container) {
			wait += plan.RestartDelay(r.ID, r.Status.CrashStreak+1)
		}
		longest = max(longest, wait)
	}
	return longest
}

// silence is a quiet world: nothing but lists, except for what is retried because it cannot work.
func (w *simWorld) silence() error {
	w.engine.mu.Lock()
	clear(w.court.exempt)
	records, _ := w.life.store.List()
	for _, r := range records {
		w.court.exempt[r.Name] = len(r.Tracks.Trouble()) > 0
		w.court.file(r.ID).stops = 0
	}
	w.court.quiet = true
	revision := w.life.store.Revision()
	busy := len(w.court.exempt) > 0 && anyTrue(w.court.exempt)
	w.engine.mu.Unlock()
	err := w.pass(4 * time.Minute)
	w.engine.mu.Lock()
	w.court.quiet = false
	w.engine.mu.Unlock()
	if now := w.life.store.Revision(); err == nil && !busy && now != revision {
		return fmt.Errorf("a quiet world wrote %d changes", now-revision)
	}
	return err
}

func anyTrue(set map[string]bool) bool {
	for _, yes := range set {
		if yes {
			return true
		}
	}
	return false
}

// settled tells what is not as declared and says no reason for it.
func (w *simWorld) settled() error {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	var errs []error
	for _, d := range w.court.model.all {
		if err := w.settledOne(d); err != nil {
			errs = append(errs, fmt.Errorf("%s (declared %s): %w", d.name, d.spec.DesiredState, err))
		}
	}
	errs = append(errs, w.twinSettled())
	for _, c := range w.engine.containers {
		if !c.ours && !reflect.DeepEqual(c.Container, c.born) {
			errs = append(errs, fmt.Errorf("the foreign %s was %+v and is %+v", c.Name, c.born, c.Container))
		}
	}
	return errors.Join(errs...)
}

func (w *simWorld) settledOne(d *simDeclared) error {
	var own []*simContainer
	for _, c := range w.engine.containers {
		if c.ID == d.id && w.court.owns(c) {
			own = append(own, c)
		}
	}
	r, ok := w.life.store.Get(d.id)
	if d.deleted {
		return w.gone(d, ok, own)
	}
	held := w.excuses(r, d)
	var standing *simContainer
	for _, c := range own {
		switch {
		case c.DockerID == r.Current.DockerID:
			standing = c
		case held[plan.Update] != nil && r.Candidate.Owns(c.Token, c.DockerID, c.Name) && !c.alive(): // it goes once another can be made
		case c.DockerID == r.Previous.DockerID && d.spec.DesiredState != api.DesiredRunning:
		default:
			return fmt.Errorf("it has a container %s besides, %s", c.Name, c.State)
		}
	}
	if err := errors.Join(tellsOf(r, held), w.court.blamed(r)); err != nil {
		return err
	}
	if standing == nil && held[plan.Update] != nil {
		return nil
	}
	if standing == nil {
		return fmt.Errorf("it has no container; %s", api.Encode(r.Status))
	}
	return w.asDeclared(d, r, standing, held)
}

func (w *simWorld) gone(d *simDeclared, declared bool, own []*simContainer) error {
	switch {
	case declared:
		return errors.New("it was deleted and its record is still there")
	case len(own) > 0:
		return fmt.Errorf("it was deleted and %s is still there, %s", own[0].Name, own[0].State)
	case w.folders[d.id] || w.listening[d.id]:
		return errors.New("it was deleted and its socket is still there")
	}
	return nil
}

// excuses are the failures, by track, that the script is the reason of.
func (w *simWorld) excuses(r *store.Record, d *simDeclared) map[plan.TrackID]*store.Failure {
	held := map[plan.TrackID]*store.Failure{}
	excuse := func(track plan.TrackID, yes bool, reasons ...string) {
		if f := plan.TrackOf(r, track).Failure; f != nil && slices.Contains(reasons, f.Reason) && yes {
			held[track] = f
		}
	}
	excuse(plan.Process, w.engine.brokenLocked(r.Current.DockerID), api.ReasonStartFailed)
	excuse(plan.Update, d.spec.Image == "missing", api.ReasonImageNotFound, api.ReasonImagePullFailed) // a pull may have hung
	lost := w.lostCode(r)
	excuse(plan.Update, lost, api.ReasonCodeCopyFailed)
	excuse(plan.Process, lost, api.ReasonCodeCopyFailed)
	if c := w.engine.containers[r.Current.DockerID]; c != nil {
		excuse(plan.Settings, w.engine.refusesLocked(c, plan.WantedLimits(r)), api.ReasonLimitsRefused)
	}
	excuse(plan.Name, w.engine.squatterLocked(d.name), api.ReasonNameConflict)
	return held
}

// tellsOf tells what a record's status does not say about what holds it up.
func tellsOf(r *store.Record, held map[plan.TrackID]*store.Failure) error {
	degraded := r.Status.Condition(api.Degraded)
	for _, f := range held {
		if degraded.Status != api.True || degraded.Reason != f.Reason && !strings.Contains(degraded.Message, f.Reason+": ") || r.Status.LastError == nil {
			return fmt.Errorf("its status does not tell of %s: %s", f.Reason, api.Encode(r.Status))
		}
	}
	return nil
}

func (w *simWorld) asDeclared(d *simDeclared, r *store.Record, c *simContainer, held map[plan.TrackID]*store.Failure) error {
	st := &r.Status
	why := plan.TakenBack(r)
	other := why != "" || held[plan.Update] != nil
	degraded := st.Condition(api.Degraded)
	switch {
	case why != "" && !w.court.file(d.id).failed[api.TemplateHash(&r.Spec)] && !w.court.file(d.id).failed[""]:
		return errors.New("nothing ever happened to it, and yet: " + why)
	case why != "" && (st.LastError == nil || degraded.Reason != api.ReasonUpdateFailed && !strings.Contains(degraded.Message, api.ReasonUpdateFailed+": ")):
		return fmt.Errorf("its status does not tell that %s: %s", why, api.Encode(st))
	case strings.Contains(why, "it exited with code") && lastSaid(r) == "" && !w.court.file(d.id).unread:
		return fmt.Errorf("nobody knows any more what it said last: %s", why)
	case c.Hash != api.TemplateHash(&d.spec) && !other:
		return errors.New("its container is of another template")
	case c.Name != d.name && held[plan.Name] == nil:
		return fmt.Errorf("its container is called %s", c.Name)
	case !w.listens(d.id):
		return errors.New("nobody listens on its socket")
	case st.ObservedGeneration != d.generation || st.DockerID != c.DockerID || st.LastError != nil && why == "" && len(held) == 0:
		return fmt.Errorf("its status does not say so: %s", api.Encode(st))
	case !w.court.file(d.id).blind && !c.StartedAt.Equal(deref(st.StartedAt)):
		return fmt.Errorf("its status tells of a run from %v and it began at %v", st.StartedAt, c.StartedAt)
	case st.Health != c.health(d):
		return fmt.Errorf("its health is %q and is told as %q", c.health(d), st.Health)
	case st.LastAction == nil || st.LastAction.Cause == "":
		return fmt.Errorf("its last action has no cause: %s", api.Encode(st.LastAction))
	}
	if err := settingsAsDeclared(c, plan.WantedLimits(r), r); err != nil && held[plan.Settings] == nil && !other && !w.court.file(d.id).blind {
		return err
	}
	if held[plan.Process] != nil {
		return nil
	}
	if err := w.codeAsDeclared(d, r, c); err != nil && !other {
		return err
	}
	if r.Run.Suspected >= 2 && c.alive() == false && strings.Contains(degraded.Reason+" "+degraded.Message, "EngineLost") {
		return nil // the engine was lost each time that it alone was being started
	}
	return w.process(d, r, c)
}

// lastSaid is what a failed update said last.
func lastSaid(r *store.Record) string {
	if e := r.Trial(plan.Template(r)).Exit; e != nil {
		return strings.Join(e.Lines, "\n")
	}
	return ""
}

func (w *simWorld) process(d *simDeclared, r *store.Record, c *simContainer) error {
	want, state := map[string]string{api.DesiredRunning: "running", api.DesiredPaused: "paused"}[d.spec.DesiredState], r.Status.State
	switch {
	case d.rests() && c.alive():
		return errors.New("it is " + c.State)
	case d.rests() && state != api.StateStopped && state != api.StateCreated:
		return errors.New("its state is called " + state)
	case d.rests():
		return nil
	case c.State == want && state != want:
		return fmt.Errorf("it is %s and its state is called %s", want, state)
	case c.State == want && want == "running" && c.since.Before(d.restarted):
		return fmt.Errorf("it was to be restarted at %v and has run since %v", d.restarted, c.StartedAt)
	case c.State == want:
		return nil
	case c.alive():
		return errors.New("it is " + c.State)
	}
	return w.atRest(d, r, c)
}

// atRest finds the policy's reason for a process that ended.
func (w *simWorld) atRest(d *simDeclared, r *store.Record, c *simContainer) error {
	policy, ended := d.spec.RestartPolicy, r.Run.Ended
	allowed := map[string]bool{
		"Completed":   policy.Name == api.RestartNever || policy.Name == api.RestartOnFailure && c.ExitCode == 0,
		"Failed":      policy.Name == api.RestartNever,
		"Interrupted": policy.Name == api.RestartNever,
		"GaveUp":      policy.MaxAttempts > 0 && r.Status.CrashStreak > policy.MaxAttempts,
	}
	last := w.court.file(d.id)
	switch {
	case ended == plan.Interrupted && !last.hands.Before(d.woken): // it may have begun to run when a hand took it away
		return nil
	case ended != "" && c.run == 0 && !last.copied && !strings.HasPrefix(last.hash, c.Hash):
		return errors.New("it has a new template, which was never started")
	case !allowed[ended]:
		return fmt.Errorf("it is %s because of %q: %s", c.State, ended, api.Encode(r.Status))
	case r.Status.State != api.StateExited:
		return fmt.Errorf("it has ended and its state is called %s", r.Status.State)
	case last.ran.Before(d.woken) && last.over.Before(d.woken):
		return errors.New("it has not run since it was started explicitly")
	}
	return nil
}

// health is what is told of a container.
func (c *simContainer) health(d *simDeclared) string {
	switch {
	case c.alive() && c.Health != "":
		return c.Health
	case c.alive() && d.spec.Liveness != nil:
		return api.HealthHealthy // it is never silent
	}
	return api.HealthNone
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

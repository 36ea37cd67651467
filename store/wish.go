package store

import (
	"iter"

	"github.com/flow-manager/flow-manager/api"
)

// Wish is what a declaration can change.
type Wish struct {
	// Exists tells a standing container from a new one. Deleting tells one that is on its way out.
	Exists, Deleting bool
	ID, Name         string
	Status           *api.Status // of a standing one; not to be changed
	Labels           map[string]string
	Spec             api.Spec
	// Others are all containers but this one, as of the same transaction; not to be changed.
	Others iter.Seq[*Record]
	// Start asks for a start even where running is declared already.
	Start bool
	// Restart asks for another run of what runs.
	Restart bool
	// Retry asks to try a template again that was taken back.
	Retry bool
	// Pull asks to look up the image anew.
	Pull bool
	// TakeCode asks for the code anew, from the same path too. CodeOf, where not 0, goes back to the code of an earlier request.
	TakeCode bool
	CodeOf   int64
	// Delete asks for the end, RemoveVolumes for that of its named volumes too. Forget drops the record at once, whatever is
	// left of the container.
	Delete, RemoveVolumes, Forget bool
}

// runs reports whether a desired state has a process.
func runs(desired string) bool { return desired == api.DesiredRunning || desired == api.DesiredPaused }

// Specify replaces the wish's spec whole. An absent desired state is that of what stands, or else the given one. Where the
// spec asks a container at rest to run, that is an explicit start.
func (w *Wish) Specify(spec api.Spec, labels map[string]string, absentState string) {
	if spec.DesiredState == "" && w.Exists {
		spec.DesiredState = w.Spec.DesiredState
	}
	if spec.DesiredState == "" {
		spec.DesiredState = absentState
	}
	spec.Default(w.Name)
	w.Labels = labels
	w.Respecify(spec)
}

// Respecify replaces the spec by a whole one and leaves the labels.
func (w *Wish) Respecify(spec api.Spec) {
	w.Start = w.Exists && !runs(w.Spec.DesiredState) && runs(spec.DesiredState)
	w.Spec = spec
}

// AskStart asks for a running container. It is an explicit start unless it runs already, and well.
func (w *Wish) AskStart() {
	w.Start = w.Spec.DesiredState != api.DesiredRunning || w.Status.State != api.StateRunning || w.Status.CrashStreak > 0
	w.Spec.DesiredState = api.DesiredRunning
}

// AskRestart asks for another run, and for the first one of a container at rest.
func (w *Wish) AskRestart() {
	w.Start, w.Restart = !runs(w.Spec.DesiredState), true
	w.Spec.DesiredState = api.DesiredRunning
}

// AskStop asks for a container that does not run.
func (w *Wish) AskStop() { w.Spec.DesiredState = api.DesiredStopped }

// AskPause asks for a paused container, AskUnpause for one that goes on. A container that is declared to rest is neither.
func (w *Wish) AskPause() error { return w.turn(api.DesiredPaused) }

// AskUnpause is described with AskPause.
func (w *Wish) AskUnpause() error { return w.turn(api.DesiredRunning) }

func (w *Wish) turn(to string) error {
	if !runs(w.Spec.DesiredState) {
		return api.Errorf(api.ConflictError, "container %s is declared %s, so it cannot be made %s; start it first", w.Name, w.Spec.DesiredState, to).For("", "", w.ID)
	}
	w.Spec.DesiredState = to
	return nil
}

// AskDelete asks for the container's end.
func (w *Wish) AskDelete(removeVolumes, forget bool) {
	w.Delete, w.RemoveVolumes, w.Forget = true, removeVolumes, forget
}

// Alive refuses a wish for a container that is being deleted.
func (w *Wish) Alive() error {
	if !w.Deleting {
		return nil
	}
	return api.Errorf(api.ConflictError, "container %s is being deleted; wait for container_deleted", w.Name).For("", "", w.ID)
}

// code is the request that the wish's code is of: that of the generation to come where it is to be taken from the host.
func (w *Wish) code(r *Record) int64 {
	switch before := r.Spec.Code; {
	case w.Spec.Code == nil:
		return 0
	case w.CodeOf != 0:
		return w.CodeOf
	case w.TakeCode, before == nil, before.Path != w.Spec.Code.Path:
		return r.Generation + 1
	}
	return r.Code
}

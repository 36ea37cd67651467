package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/api"
)

// Declaration is a client's wish for one container.
type Declaration struct {
	// ContainerID says which container, as Resolve understands it. Empty: Name does, and one is made where there is none.
	ContainerID string
	Name        string
	// Principal is who asks, and Operation by which request; both are kept in the activity log.
	Principal, Operation string
	// Intent is what the request asks for; empty: IntentSpec.
	Intent Intent
	// Key makes the request safe to repeat; BodyHash tells a repetition from another request.
	Key, BodyHash string
	// IfGeneration and IfVersion refuse the wish where the container is at another one.
	IfGeneration *int64
	IfVersion    string
	// Change edits what stands, or the empty wish of a new container. It refuses by an error. It may be called more than
	// once and may touch nothing but its argument.
	Change func(w *Wish) error
}

// Result is what came of a declaration.
type Result struct {
	Record     *Record // nil where the container of a repeated request is gone by now
	ID         string
	Generation int64
	Created    bool
	Changed    bool
	// Replayed tells that the request was accepted before, by its key.
	Replayed bool
}

// Declare writes a wish and returns when it is on disk. Refusals are *api.Error.
func (s *Store) Declare(ctx context.Context, d Declaration) (Result, error) {
	var result Result
	err := s.do(ctx, func(tx *txn) (effect, error) {
		var e effect
		var err error
		result, e, err = tx.declare(&d)
		return e, err
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// Try tells what Declare would write, and writes nothing.
func (s *Store) Try(ctx context.Context, d Declaration) (Result, error) {
	var result Result
	d.Key = ""
	err := s.do(ctx, func(tx *txn) (effect, error) {
		var err error
		result, _, err = tx.declare(&d)
		return effect{}, err
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

func (tx *txn) declare(d *Declaration) (Result, effect, error) {
	if d.Key != "" {
		entry, err := tx.replay(d)
		if err != nil {
			return Result{}, effect{}, err
		}
		if entry != nil {
			record, _ := tx.lookup(entry.ID)
			return Result{Record: record, ID: entry.ID, Generation: entry.Generation, Created: entry.Created, Changed: entry.Changed, Replayed: true}, effect{}, nil
		}
		if err := tx.roomForKey(d.Principal); err != nil {
			return Result{}, effect{}, err
		}
	}
	current, err := tx.target(d)
	if err != nil {
		return Result{}, effect{}, err
	}
	next, err := tx.wish(d, current)
	if err != nil {
		return Result{}, effect{}, err
	}
	return tx.settle(d, current, next)
}

// target is the record that d is about, nil for a new one.
func (tx *txn) target(d *Declaration) (*Record, error) {
	var current *Record
	if d.ContainerID == "" {
		current, _ = tx.byName(d.Name)
	} else {
		var err error
		if current, err = tx.resolve(d.ContainerID, tx); err != nil {
			return nil, err
		}
	}
	if f := tx.quarantine.find(d.Name); current == nil && f != nil {
		return nil, f.refusal()
	}
	if current == nil && tx.count >= tx.options.MaxContainers {
		return nil, api.Errorf(api.PolicyError, "%d containers are declared, which is all that --max-containers allows; delete one first", tx.count)
	}
	return current, d.precondition(tx.Store, current)
}

func (d *Declaration) precondition(s *Store, current *Record) error {
	var generation int64
	version, by := "", "nobody"
	if current != nil {
		generation, version, by = current.Generation, current.ResourceVersion, current.DeclaredBy
	}
	wanted, _, _ := strings.Cut(d.IfVersion, withinMark) // any event of the change may have told it
	switch {
	case d.IfGeneration != nil && *d.IfGeneration != generation:
		return api.Errorf(api.ConflictError, "the container is at generation %d, declared by %s, and not at %d; look at it and decide again", generation, by, *d.IfGeneration).
			With("generation", generation).With("declared_by", by).With("if_generation", *d.IfGeneration)
	case wanted != "" && wanted != version:
		return api.Errorf(api.ConflictError, "the container is at resource_version %q, declared by %s, and not at %.100q; look at it and decide again", version, by, d.IfVersion).
			With("resource_version", version).With("if_resource_version", fmt.Sprintf("%.100s", d.IfVersion)).With("declared_by", by)
	}
	return nil
}

// wish lets the client edit a copy of what stands.
func (tx *txn) wish(d *Declaration, current *Record) (*Wish, error) {
	w := &Wish{Name: d.Name}
	if current != nil {
		w = &Wish{Exists: true, Deleting: current.DeletedAt != nil, ID: current.ID, Name: current.Name,
			Labels: current.Labels, Spec: current.Spec, Status: &current.Status}
	} else {
		w.ID = xid.NewWithTime(tx.now).String()
		if w.Name == "" {
			w.Name = api.DefaultName(w.ID)
		}
	}
	w.Others = tx.others(w.ID)
	if err := d.Change(w); err != nil {
		return nil, err
	}
	return w, nil
}

// settle compares what stands with the wish and makes the difference an effect.
func (tx *txn) settle(d *Declaration, current *Record, w *Wish) (Result, effect, error) {
	e := effect{spec: true}
	next := &Record{}
	if current == nil {
		e.fresh, e.status = true, true
		*next = tx.newRecord(d, w)
	} else {
		*next = *current
	}
	changed := tx.edit(d, next, w, current == nil)
	result := Result{Record: next, ID: next.ID, Generation: next.Generation, Created: current == nil, Changed: changed}
	if d.Key != "" {
		e.key = &keyEntry{keyName(d.Principal, d.Key), d.BodyHash, next.ID, next.Generation, changed, current == nil, tx.now.Add(keyLifetime)}
	}
	if w.Forget && current != nil {
		result.Changed = true
		gone := next.ForViewer()
		return result, effect{drop: tombstone(next, tx.now), gone: &gone, key: e.key, events: []api.Event{d.activity(next), forgotten(next)}}, nil
	}
	if !changed {
		result.Record = current
		return result, effect{key: e.key}, nil
	}
	e.record, e.events = next, []api.Event{d.activity(next)}
	if current != nil && !maps.Equal(current.Labels, next.Labels) {
		e.former = orEmpty(current.Labels)
	}
	if next.TemplateGeneration == next.Generation {
		e.declared = &Declared{Generation: next.Generation, Spec: next.Spec, Code: next.Code, At: tx.now, By: d.Principal}
	}
	return result, e, nil
}

// orEmpty tells no labels from none that are known.
func orEmpty(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// activity tells who has had what accepted. It is part of the declaration's own transaction, so neither is without the other.
func (d *Declaration) activity(r *Record) api.Event {
	return api.Activity{ActivityType: api.ActivityDeclared, ContainerID: r.ID, Message: d.Operation + " of " + r.Name + " by " + d.Principal,
		Details: map[string]any{"actor": d.Principal, "operation": d.Operation, "name": r.Name, "generation": r.Generation}}.Event()
}

// forgotten tells that nothing is known of a container any more, though it may not be gone.
func forgotten(r *Record) api.Event {
	return api.Activity{ActivityType: api.ActivityDeleted, ContainerID: r.ID, Message: r.Name + " was deleted by force; what is left of it is taken away when it can be",
		Details: map[string]any{"name": r.Name, "deleted_by": r.DeletedBy, "force": true}}.Event()
}

func (tx *txn) newRecord(d *Declaration, w *Wish) Record {
	return Record{Container: api.Container{
		ID: w.ID, Name: w.Name, CreatedAt: tx.now, CreatedBy: d.Principal,
		Status: api.Status{State: api.StateCreated, Health: api.HealthNone, Conditions: []api.Condition{
			{Type: api.Ready, Status: api.False, Reason: api.ReasonDeclared, LastTransitionAt: tx.now},
			{Type: api.Progressing, Status: api.True, Reason: api.ReasonDeclared, LastTransitionAt: tx.now},
			{Type: api.Degraded, Status: api.False, Reason: api.ReasonDeclared, LastTransitionAt: tx.now},
			{Type: api.Available, Status: api.False, Reason: api.ReasonDeclared, LastTransitionAt: tx.now},
		}},
	}}
}

// edit writes the wish into next and tells whether that changed anything. The generation counts what the planner has to
// act upon: a new spec, an explicit start, a deletion.
func (tx *txn) edit(d *Declaration, next *Record, w *Wish, fresh bool) bool {
	code := w.code(next)
	respecified := fresh || code != next.Code || !api.SameSpec(&next.Spec, &w.Spec)
	act := respecified || w.Start || w.Restart || w.Retry || w.Pull
	if w.Delete && next.DeletedAt == nil {
		now := tx.now
		next.DeletedAt, next.DeletedBy, next.RemoveVolumes = &now, d.Principal, w.RemoveVolumes
		act = true
	}
	retemplated := fresh || code != next.Code || !sameTemplate(&next.Spec, &w.Spec)
	labelled := !maps.Equal(next.Labels, w.Labels)
	next.Spec, next.Labels, next.Code = w.Spec, w.Labels, code
	if act {
		next.Generation++
		next.DeclaredAt, next.DeclaredBy = tx.now, d.Principal
	}
	if respecified {
		next.SpecGeneration = next.Generation
	}
	if retemplated {
		next.TemplateGeneration = next.Generation
	}
	if act {
		intent := cmp.Or(d.Intent, IntentSpec)
		next.Accepted = newest(next.Accepted, maxAccepted, func(Accepted) bool { return false }, Accepted{next.Generation, intent})
	}
	next.Asked.note(w, next.Generation)
	return act || labelled
}

// note writes which requests led to a generation.
func (q *Requests) note(w *Wish, generation int64) {
	note := func(asked bool, at *int64) {
		if asked {
			*at = generation
		}
	}
	note(w.Start, &q.Start)
	note(w.Restart, &q.Restart)
	note(w.Pull, &q.Pull)
	note(w.Retry, &q.Retry)
}

// sameTemplate tells whether two specs agree about all but the desired state.
func sameTemplate(a, b *api.Spec) bool {
	old, next := *a, *b
	old.DesiredState, next.DesiredState = "", ""
	return api.SameSpec(&old, &next)
}

//go:build sim

package controller

import (
	"errors"
	"maps"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// simDeclared is what a client was told is declared.
type simDeclared struct {
	id, name                  string
	spec                      api.Spec
	labels                    map[string]string
	generation, wake, restart int64
	deleted                   bool
	code                      int64     // the request that its code is of
	tree                      int       // the first tree that this may be
	changed                   time.Time // when the newest change was acknowledged
	woken                     time.Time // when the newest start, restart or creation was
	restarted                 time.Time
	was                       map[string]time.Time // since when its generation has been seen to be done so
	// unsure is a change that was asked for and never answered: it happened or it did not.
	unsure *store.Wish
}

// rests tells whether no process is wanted.
func (d *simDeclared) rests() bool {
	return d.deleted || d.spec.DesiredState == api.DesiredStopped || d.spec.DesiredState == api.DesiredCreated
}

// simModel is what was acknowledged, by name for the living and by id for all.
type simModel struct {
	live map[string]*simDeclared
	all  map[string]*simDeclared
	life *simLife
	// trees is how many trees there were when the newest operation was asked for.
	trees int
	// orphan are creations that were never answered.
	orphan []store.Wish
}

func simSpec(arg int) api.Spec {
	zero, three, ten := 0, 3, 10
	s := api.Spec{Image: "app", StopGrace: &ten}
	switch arg % 16 {
	case 2:
		s.Liveness = &api.Liveness{Heartbeat: 60}
		s.Environment = map[string]string{"A": "it speaks"}
	case 1:
		s.Environment = map[string]string{"A": string(rune('0' + arg%16))}
	case 3:
		s.Image, s.UpdatePolicy.OnFailure = "app2", api.OnFailurePause
	case 4:
		s.Image = "crash"
	case 5:
		s.Image, s.RestartPolicy = "crash", api.RestartPolicy{Name: api.RestartOnFailure, MaxAttempts: 2}
	case 6:
		s.Image, s.RestartPolicy.MaxAttempts = "crash", 3
	case 7:
		s.Image, s.RestartPolicy.Name = "job", api.RestartNever
	case 8:
		s.Image, s.RestartPolicy.Name = "job", api.RestartOnFailure
	case 9:
		s.Image = "job"
	case 10:
		s.Resources.MemoryBytes = 64 << 20
	case 11:
		s.Resources.MemoryBytes = 128 << 20
	case 12:
		s.Image = "missing"
	case 13:
		s.Image = "broken"
	case 14:
		s.StopGrace, s.UpdatePolicy.MaxAttempts = &three, 2
		s.Environment = map[string]string{"A": "two attempts"}
	case 15:
		s.StopGrace, s.Volumes = &zero, map[string]string{"data": "/data"}
	}
	s.DesiredState = [4]string{"", api.DesiredRunning, api.DesiredStopped, api.DesiredPaused}[arg/16]
	return s
}

var errRefused = errors.New("refused")

// wish edits what stands as the handler of an operation does.
func wish(op string, arg int, w *store.Wish) error {
	if op == "delete" {
		w.AskDelete(arg%2 == 1, false)
		return nil
	}
	if w.Alive() != nil || op != "apply" && !w.Exists {
		return errRefused
	}
	switch op {
	case "apply":
		spec := simSpec(arg)
		if arg%4 != 0 {
			spec.Code = w.Spec.Code
		}
		w.Specify(spec, map[string]string{"arg": string(rune('a' + arg%5))}, api.DesiredRunning)
	case "start":
		w.AskStart()
	case "restart":
		w.AskRestart()
	case "pull":
		w.Pull = true
	case "code":
		w.Spec.Code, w.TakeCode = &api.Code{Path: codePath, Target: "/app"}, true
	case "code-back":
		if w.Spec.Code == nil || w.CodeOf == 0 {
			return errRefused
		}
	case "retry":
		w.Retry = true
	case "stop":
		w.AskStop()
	case "pause", "unpause":
		ask := map[string]func() error{"pause": w.AskPause, "unpause": w.AskUnpause}[op]
		if ask() != nil {
			return errRefused
		}
	}
	return nil
}

// intentOf is what an operation asks for.
func intentOf(op string) store.Intent {
	return map[string]store.Intent{"start": store.IntentRunning, "unpause": store.IntentRunning, "restart": store.IntentRestart, "stop": store.IntentStopped,
		"pause": store.IntentPaused, "delete": store.IntentDeleted}[op]
}

// acknowledge notes what a client was told.
func (m *simModel) acknowledge(result *store.Result, w *store.Wish) {
	d := m.all[result.ID]
	if d == nil {
		d = &simDeclared{id: result.ID, name: w.Name, woken: time.Now()}
		m.all[d.id], m.live[d.name] = d, d
	}
	d.take(w, result.Generation, m.trees-1)
}

// take makes a wish the declaration of generation.
func (d *simDeclared) take(w *store.Wish, generation int64, tree int) {
	if generation != d.generation {
		d.changed, d.was = time.Now(), map[string]time.Time{}
	}
	if w.Start || w.Restart {
		d.woken = time.Now()
	}
	if w.Restart {
		d.restarted, d.restart = time.Now(), generation
	} else if w.Spec.DesiredState != api.DesiredRunning {
		d.restarted = time.Time{} // overtaken
	}
	if w.Start {
		d.wake = generation
	}
	switch {
	case w.Spec.Code == nil:
		d.code, d.tree = 0, 0
	case w.CodeOf != 0:
		d.code, d.tree = w.CodeOf, 0
	case w.TakeCode || d.spec.Code == nil:
		d.code, d.tree = generation, tree
	}
	d.spec, d.labels, d.generation = w.Spec, w.Labels, generation
	d.deleted = d.deleted || w.Delete
}

// compare tells how the store's record differs from what was acknowledged, "" where it does not.
func (d *simDeclared) compare(r *store.Record) string {
	switch {
	case r.Generation != d.generation:
		return "another generation"
	case !api.SameSpec(&r.Spec, &d.spec):
		return "another spec"
	case !maps.Equal(r.Labels, d.labels):
		return "other labels"
	case r.Code != d.code:
		return "other code"
	case r.Asked.Start != d.wake || r.Asked.Restart != d.restart:
		return "another start or restart"
	case (r.DeletedAt != nil) != d.deleted:
		return "deleted or not"
	}
	return ""
}

// adopt finds out what became of changes that were never answered.
func (m *simModel) adopt(s *store.Store) {
	for _, d := range m.all {
		w := d.unsure
		if w == nil {
			continue
		}
		d.unsure = nil
		if r, ok := s.Get(d.id); ok && r.Generation == d.generation+1 {
			d.take(w, r.Generation, m.trees-1)
		} else if ok && !maps.Equal(r.Labels, d.labels) {
			d.labels = w.Labels
		} else if !ok && w.Delete {
			d.deleted = true
		}
	}
	for _, w := range m.orphan {
		records, _ := s.List()
		for _, r := range records {
			if r.Name == w.Name && m.all[r.ID] == nil {
				m.acknowledge(&store.Result{ID: r.ID, Generation: r.Generation}, &w)
			}
		}
	}
	m.orphan = nil
}

package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// model is what the store must hold after each step, kept the simplest way.
type model struct {
	images   map[string]string // name -> image
	states   map[string]string // name -> observed state
	revision uint64
}

// Whatever is done in whatever order, and however often the store is opened again, it holds what a plain map would, and a
// watch from the beginning has seen each revision once.
func TestStore_IsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		s, err := Open(dir, Options{NoSync: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = s.Close() }() // a failure to close again after a failed step says nothing new
		m := model{images: map[string]string{}, states: map[string]string{}}
		name := rapid.SampledFrom([]string{"aa", "bb", "cc"})
		rt.Repeat(map[string]func(*rapid.T){
			"declare": func(rt *rapid.T) {
				m.declare(rt, s, name.Draw(rt, "name"), rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "image"))
			},
			"observe": func(rt *rapid.T) {
				m.observe(rt, s, name.Draw(rt, "name"), rapid.SampledFrom([]string{"running", "stopped"}).Draw(rt, "state"))
			},
			"bury": func(rt *rapid.T) { m.bury(rt, s, name.Draw(rt, "name")) },
			"reopen": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = Open(dir, Options{NoSync: true}); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) { m.compare(rt, s) },
		})
		m.watched(rt, t, s)
	})
}

func (m *model) declare(rt *rapid.T, s *Store, name, wanted string) {
	r, err := s.Declare(rt.Context(), Declaration{Name: name, Change: image(wanted)})
	if err != nil {
		rt.Fatal(err)
	}
	if changed := m.images[name] != wanted; r.Changed != changed {
		rt.Fatalf("changed %v, want %v", r.Changed, changed)
	} else if changed {
		m.revision++
	}
	if _, there := m.images[name]; there == r.Created {
		rt.Fatalf("created %v, was there %v", r.Created, there)
	} else if !there {
		m.states[name] = api.StateCreated
	}
	m.images[name] = wanted
}

func (m *model) observe(rt *rapid.T, s *Store, name, state string) {
	id := "none"
	if r, err := s.Resolve(name); err == nil {
		id = r.ID
	}
	_, err := s.Observe(rt.Context(), id, func(r *Record) []api.Event { r.Status.State = state; return nil })
	if _, there := m.images[name]; !there {
		if !errors.Is(err, ErrNotFound) {
			rt.Fatalf("observed what is not there: %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	if m.states[name] != state {
		m.revision++
	}
	m.states[name] = state
}

func (m *model) bury(rt *rapid.T, s *Store, name string) {
	r, err := s.Resolve(name)
	if err != nil {
		return
	}
	if err := s.Bury(rt.Context(), r.ID); err != nil {
		rt.Fatal(err)
	}
	m.revision++
	delete(m.images, name)
	delete(m.states, name)
}

func (m *model) compare(rt *rapid.T, s *Store) {
	records, revision := s.List()
	images, states := map[string]string{}, map[string]string{}
	for _, r := range records {
		images[r.Name], states[r.Name] = r.Spec.Image, r.Status.State
	}
	if diff := cmp.Diff(m.images, images) + cmp.Diff(m.states, states); diff != "" || revision != m.revision {
		rt.Fatalf("revision %d, want %d: %s", revision, m.revision, diff)
	}
}

// watched replays the log: the ids that were added and not deleted must be those that stand.
func (m *model) watched(rt *rapid.T, t *testing.T, s *Store) {
	live := map[string]bool{}
	w := s.Watch(0)
	for seen := uint64(0); seen < m.revision; {
		changes, err := w.Next(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range changes {
			if seen++; c.Revision != seen {
				rt.Fatalf("revision %d came as number %d", c.Revision, seen)
			}
			live[c.ID] = c.Type != Deleted
		}
	}
	maps.DeleteFunc(live, func(_ string, lives bool) bool { return !lives })
	records, _ := s.List()
	var ids []string
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	if got := slices.Sorted(maps.Keys(live)); fmt.Sprint(got) != fmt.Sprint(ids) {
		rt.Fatalf("the log ends with %v, the store holds %v", got, ids)
	}
}

package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// However much flows say, what was declared and what became of it stays as long as it would without them, and can be watched from
// there; of what flows said, that of the quiet one stays. It is all the same to a store that is opened again.
func TestLog_AFlowPushesOutOnlyItself(t *testing.T) {
	dir, o := t.TempDir(), Options{NoSync: true, maxLog: 100}
	s := open(t, dir, o)
	loud, quiet := declare(t, s, Declaration{Name: "loud", Change: running}), declare(t, s, Declaration{Name: "quiet", Change: running})
	say := func(id, text string) {
		t.Helper()
		err := s.NoteFlow(t.Context(), id, []api.Event{api.Activity{ActivityType: api.ActivityActor, ContainerID: id, Message: text}.Event()})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"loud added", "quiet added"}
	for n := range 40 {
		for range 20 {
			say(loud.ID, "loud")
		}
		if n%10 == 0 {
			say(quiet.ID, "quiet")
		}
		_, err := s.Observe(t.Context(), quiet.ID, func(r *Record) []api.Event {
			return []api.Event{api.Activity{ActivityType: api.ActivityStatus, ContainerID: quiet.ID, Message: fmt.Sprint(n)}.Event()}
		})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, "quiet "+fmt.Sprint(n))
	}
	check := func(s *Store) {
		t.Helper()
		s.mu.Lock()
		s.recent = nil // what follows comes from the file
		s.mu.Unlock()
		if err := s.kept(0); err != nil {
			t.Error(err)
		}
		var got []string
		said := map[string]int{}
		for w, after := s.Watch(0), uint64(0); after < s.Revision(); {
			changes, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				name := map[string]string{loud.ID: "loud", quiet.ID: "quiet"}[c.ID]
				if c.Flow {
					said[name]++
				} else if c.Type == Added {
					got = append(got, name+" added")
				} else {
					got = append(got, name+" "+fmt.Sprint(len(got)-2))
				}
				after = c.Revision
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if said["quiet"] != 4 || said["loud"] < 40 || said["loud"] > 50 {
			t.Errorf("of the flows is kept: %v", said)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, o)
	check(s)
	for range 100 { // more than there is room for: the oldest goes, as ever
		if _, err := s.Observe(t.Context(), quiet.ID, func(r *Record) []api.Event { return []api.Event{{Name: "x", Data: []byte("{}")}} }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.kept(0); !errors.Is(err, ErrExpired) {
		t.Errorf("from the beginning: %v", err)
	}
	flows := 0
	for _, revisions := range s.logged.by {
		flows += len(revisions)
		if !slices.IsSorted(revisions) {
			t.Error(revisions)
		}
	}
	if s.logged.changes != 100 || s.logged.flows != flows {
		t.Errorf("of %d changes %d or %d are of flows", s.logged.changes, s.logged.flows, flows)
	}
}

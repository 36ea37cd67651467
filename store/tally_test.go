package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// The tally of each revision is that of the events up to there, from memory and from the file, in this process and the next.
func TestStore_TallyAt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{NoSync: true})
	want := []Tally{nil}
	for i := range 10 {
		id := declare(t, s, Declaration{Name: fmt.Sprint("c", i), Change: running}).ID
		_, err := s.Observe(t.Context(), id, func(r *Record) []api.Event {
			r.Status.State = api.StateRunning
			return []api.Event{api.Crash{ContainerID: id}.Event(), api.Crash{ContainerID: id}.Event()}
		})
		if err != nil {
			t.Fatal(err)
		}
		n := int64(i + 1)
		want = append(want, Tally{api.ActivityLog: n, api.StatusChanged: n - 1, api.ContainerCrashed: 2 * (n - 1)},
			Tally{api.ActivityLog: n, api.StatusChanged: n, api.ContainerCrashed: 2 * n})
	}
	zero := func(t Tally) map[string]int64 { // what never was counts as nothing
		m := map[string]int64{}
		for name, n := range t {
			if n != 0 {
				m[name] = n
			}
		}
		return m
	}
	agree := func(s *Store) {
		t.Helper()
		for revision := range want {
			if diff := cmp.Diff(zero(want[revision]), zero(s.TallyAt(uint64(revision)))); diff != "" {
				t.Errorf("revision %d: %s", revision, diff)
			}
		}
		if revision, told := s.Tally(); int(revision) != len(want)-1 || !cmp.Equal(zero(told), zero(want[revision])) {
			t.Errorf("revision %d: %v", revision, told)
		}
	}
	agree(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	agree(open(t, dir, Options{NoSync: true}))
}

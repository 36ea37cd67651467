package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// A container may outlive the declaration that it was made from, and so do the secrets that it knows.
func TestStore_Environments(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	given := func(value string) func(w *Wish) error {
		return func(w *Wish) error {
			w.Spec = api.Spec{Image: "app", DesiredState: api.DesiredRunning, Environment: map[string]string{"TOKEN": value}}
			w.Spec.Default(w.Name)
			return nil
		}
	}
	web := declare(t, s, Declaration{Name: "web", Change: given("first")})
	if _, err := s.Observe(t.Context(), web.ID, func(r *Record) []api.Event {
		r.Current = Placement{Token: "t", Generation: r.TemplateGeneration}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{{"TOKEN": "first"}}
	if diff := cmp.Diff(want, s.Environments(resolve(t, s, "web"))); diff != "" {
		t.Error(diff)
	}
	declare(t, s, Declaration{Name: "web", Change: given("second")})
	want = []map[string]string{{"TOKEN": "second"}, {"TOKEN": "first"}}
	if diff := cmp.Diff(want, s.Environments(resolve(t, s, "web"))); diff != "" {
		t.Error(diff)
	}
}

func resolve(t *testing.T, s *Store, name string) *Record {
	t.Helper()
	r, err := s.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

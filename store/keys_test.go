package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// keyed declares a new container with an idempotency key.
func keyed(principal string, n int) Declaration {
	return Declaration{Principal: principal, Key: fmt.Sprintf("key-%020d", n), BodyHash: "1", Change: running}
}

// A principal's keys are bounded; none is forgotten before its time for that, and others' do not count.
func TestStore_IdempotencyKeys_Bounded(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	options := Options{Now: func() time.Time { return now }, MaxKeys: 3}
	s := open(t, dir, options)
	for i := range 3 {
		declare(t, s, keyed("me", i))
		now = now.Add(time.Hour)
	}
	refused := func() {
		t.Helper()
		_, err := s.Declare(t.Context(), keyed("me", 3))
		wait := int64(0)
		if e := api.AsError(err); e.Type == api.RateLimitError {
			wait, _ = e.Details["retry_after"].(int64)
		}
		if wait != int64((keyLifetime-3*time.Hour)/time.Second)+1 {
			t.Errorf("one key too many: %v, retry after %d s", err, wait)
		}
	}
	refused()
	declare(t, s, keyed("me also", 3))
	if again := declare(t, s, keyed("me", 0)); again.Generation != 1 || !again.Created {
		t.Errorf("a repeated request needs no room: %+v", again)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, options)
	refused()
	now = now.Add(keyLifetime - 3*time.Hour) // the first has expired
	declare(t, s, keyed("me", 3))
	if _, err := s.Declare(t.Context(), keyed("me", 4)); errorType(err) != api.RateLimitError {
		t.Errorf("two at once: %v", err)
	}
	now = now.Add(2 * keyLifetime) // all have, though none was dropped meanwhile
	for i := range 3 {
		declare(t, s, keyed("me", 10+i))
	}
}

// inOneCommit declares all at once, and gives results and errors in their order. The store is held up until all wait, so
// that one commit takes them all.
func inOneCommit(t *testing.T, o Options, all []Declaration) (s *Store, results []Result, errs []error) {
	t.Helper()
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = s.Declare(t.Context(), Declaration{Name: "first", Change: func(*Wish) error {
			time.Sleep(time.Second) // all others are waiting by then: this is fake time
			return errors.New("it only holds up the store")
		}})
	}()
	synctest.Wait()
	results, errs = make([]Result, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, d := range all {
		group.Go(func() { results[i], errs[i] = s.Declare(t.Context(), d) })
	}
	group.Wait()
	return s, results, errs
}

func TestStore_IdempotencyKeys_BoundedInOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, callers = 5, 64
		all := make([]Declaration, callers)
		for i := range all {
			all[i] = keyed("me", i)
		}
		s, _, errs := inOneCommit(t, Options{MaxKeys: most}, all)
		refused := 0
		for _, err := range errs {
			if errorType(err) == api.RateLimitError {
				refused++
			}
		}
		if records, _ := s.List(); refused != callers-most || len(records) != most {
			t.Errorf("%d refused, %d declared", refused, len(records))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestStore_IdempotencyKey_OneOfManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := slices.Repeat([]Declaration{keyed("me", 0)}, 64)
		other := keyed("me", 0)
		other.BodyHash = "2"
		s, results, errs := inOneCommit(t, Options{}, append(all, other))
		won, lost := 0, 0
		for i, r := range results {
			switch {
			case errs[i] == nil && r.Generation == 1 && r.Created && r.Changed:
				won++
			case errorType(errs[i]) == api.ConflictError:
				lost++
			}
		}
		if records, revision := s.List(); len(records) != 1 || revision != 1 || won+lost != 65 || min(won, lost) != 1 {
			t.Errorf("%d containers at revision %d; %d got the result, %d a conflict: %v", len(records), revision, won, lost, errs)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Who finds another generation than expected is told which, and whose.
func TestStore_IfGeneration(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	declare(t, s, Declaration{Name: "web", Principal: "first", Change: running})
	declare(t, s, Declaration{Name: "web", Principal: "second", Change: image("b")})
	declare(t, s, Declaration{Name: "web", Principal: "idle", Change: image("b")})
	expected := int64(1)
	_, err := s.Declare(t.Context(), Declaration{Name: "web", Principal: "third", IfGeneration: &expected, Change: image("c")})
	e := api.AsError(err)
	if e.Type != api.ConflictError || e.Details["generation"] != int64(2) || e.Details["if_generation"] != int64(1) || e.Details["declared_by"] != "second" ||
		!strings.Contains(e.Message, "second") {
		t.Errorf("got %v %v", e, e.Details)
	}
	absent := int64(0)
	if _, err := s.Declare(t.Context(), Declaration{Name: "new", IfGeneration: &absent, Change: running}); err != nil {
		t.Errorf("generation 0 is that of what is not there: %v", err)
	}
	if _, err := s.Declare(t.Context(), Declaration{Name: "newer", IfGeneration: &expected, Change: running}); errorType(err) != api.ConflictError {
		t.Errorf("of what is not there: %v", err)
	}
}

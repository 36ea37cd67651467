package store

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// past are the revisions of what Past gives.
func past(t fataler, s *Store, id string) []uint64 {
	var list []uint64
	if _, err := s.Past(id, func(c *Change) bool {
		if id == "" || c.ID == id {
			list = append(list, c.Revision)
		}
		return true
	}); err != nil {
		t.Fatalf("%v", err)
	}
	return list
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// say adds a change to a container.
func say(t fataler, s *Store, id string) {
	_, err := s.Observe(context.Background(), id, func(r *Record) []api.Event {
		return []api.Event{api.Activity{ActivityType: api.ActivityActor, ContainerID: id}.Event()}
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// forgetPrev makes a change in the file one of an older version.
func forgetPrev(t fataler, s *Store, revision uint64) {
	err := s.db.Update(func(tx *bolt.Tx) error {
		log := tx.Bucket(bucketLog)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(log.Get(revisionKey(revision)), &fields); err != nil {
			return err
		}
		delete(fields, "prev")
		return log.Put(revisionKey(revision), api.Encode(fields))
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// Whatever happened, was forgotten or was written by an older version: the past of one container is what the past of all has of it.
func TestStore_PastOfOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, now := t.TempDir(), time.Now()
		o := Options{NoSync: true, Now: func() time.Time { return now }, Retention: time.Hour}
		s, err := Open(dir, o)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		var ids []string
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 10).Draw(rt, "minutes")) * time.Minute)
			what := rapid.IntRange(0, 9).Draw(rt, "what")
			standing, _ := s.List()
			switch {
			case len(standing) == 0 || what == 0:
				r, err := s.Declare(context.Background(), Declaration{Name: fmt.Sprint("c", len(ids)), Change: running})
				if err != nil {
					rt.Fatal(err)
				}
				ids = append(ids, r.ID)
			case what == 1:
				if err := s.Bury(context.Background(), rapid.SampledFrom(standing).Draw(rt, "buried").ID); err != nil {
					rt.Fatal(err)
				}
			case what == 2:
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = Open(dir, o); err != nil {
					rt.Fatal(err)
				}
			case what == 3:
				forgetPrev(rt, s, rapid.SampledFrom(past(rt, s, "")).Draw(rt, "old"))
			default:
				say(rt, s, rapid.SampledFrom(standing).Draw(rt, "speaks").ID)
			}
		}
		of := map[string][]uint64{}
		if _, err := s.Past("", func(c *Change) bool { of[c.ID] = append(of[c.ID], c.Revision); return true }); err != nil {
			rt.Fatal(err)
		}
		for _, id := range ids {
			if diff := cmp.Diff(of[id], past(rt, s, id)); diff != "" {
				rt.Fatalf("%s: %s", id, diff)
			}
		}
	})
}

// What others have in the log is not read: not even what of it is damaged is in the way.
func TestStore_PastOfOneReadsNoOthers(t *testing.T) {
	s := open(t, t.TempDir(), Options{NoSync: true})
	quiet, loud := declare(t, s, Declaration{Name: "quiet", Change: running}).ID, declare(t, s, Declaration{Name: "loud", Change: running}).ID
	say(t, s, quiet)
	want := past(t, s, quiet)
	for range 5 {
		say(t, s, loud)
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketLog).Put(revisionKey(s.Revision()-2), []byte(`{"damaged, and speaks of `+quiet))
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, past(t, s, quiet)); diff != "" || len(want) != 2 {
		t.Error(diff)
	}
	if err := s.Bury(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	say(t, s, loud)
	if n := len(past(t, s, quiet)); n != 3 {
		t.Errorf("of the deleted one are %d changes", n)
	}
	err = s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketLog).Delete(revisionKey(s.Revision() - 4)) }) // for the check of the file
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkStore_PastOfQuiet is what get_activity of a container costs that said nothing for 100,000 changes of others.
func BenchmarkStore_PastOfQuiet(b *testing.B) {
	s, err := Open(b.TempDir(), Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ids := make([]string, 2)
	for i := range ids {
		r, err := s.Declare(b.Context(), Declaration{Name: fmt.Sprint("c", i), Change: running})
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = r.ID
	}
	for range 98_000 {
		say(b, s, ids[1])
	}
	for b.Loop() {
		if n := len(past(b, s, ids[0])); n != 1 {
			b.Fatal(n)
		}
	}
}

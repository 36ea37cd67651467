package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// household is a closed store with three containers and a deleted one.
type household struct {
	dir          string
	web, db, old string // ids; old is the deleted one's
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	h := &household{dir: t.TempDir()}
	s, err := Open(h.dir, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]*string{"web": &h.web, "db": &h.db, "old": &h.old} {
		*id = declare(t, s, Declaration{Name: name, Change: running}).ID
		if _, err := s.Observe(t.Context(), *id, func(r *Record) []api.Event {
			r.Current = Placement{Token: "t-" + name, DockerName: name, DockerID: "d-" + name}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	declare(t, s, Declaration{Name: "bystander", Change: running})
	if err := errors.Join(s.Bury(t.Context(), h.old), s.Close()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *household) path() string { return filepath.Join(h.dir, fileName) }

// harm changes the closed file.
func (h *household) harm(t *testing.T, f func(tx *bolt.Tx) error) {
	t.Helper()
	if err := change(h.path(), f); err != nil {
		t.Fatal(err)
	}
}

// edited replaces old in a record.
func edited(bucket []byte, key, old, now string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		v := b.Get([]byte(key))
		if !bytes.Contains(v, []byte(old)) {
			return errors.New("this harm does none: " + string(v))
		}
		return b.Put([]byte(key), bytes.ReplaceAll(v, []byte(old), []byte(now)))
	}
}

func TestOpen_PutsDamagedRecordsIntoQuarantine(t *testing.T) {
	tests := []struct {
		name  string
		harm  func(h *household) func(tx *bolt.Tx) error
		spots []string // containers/WEB
		live  []string
	}{
		{"declaration cut off", func(h *household) func(*bolt.Tx) error {
			return edited(bucketContainers, h.web, `"spec":`, `"spec`)
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"status is no JSON", func(h *household) func(*bolt.Tx) error {
			return func(tx *bolt.Tx) error { return tx.Bucket(bucketStatus).Put([]byte(h.web), []byte{0, 1, 2}) }
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"status lost", func(h *household) func(*bolt.Tx) error {
			return func(tx *bolt.Tx) error { return tx.Bucket(bucketStatus).Delete([]byte(h.web)) }
		}, []string{"containers/WEB"}, []string{"bystander", "db"}},
		{"declaration lost", func(h *household) func(*bolt.Tx) error {
			return func(tx *bolt.Tx) error { return tx.Bucket(bucketContainers).Delete([]byte(h.web)) }
		}, []string{"status/WEB"}, []string{"bystander", "db"}},
		{"another's declaration", func(h *household) func(*bolt.Tx) error {
			return func(tx *bolt.Tx) error {
				b := tx.Bucket(bucketContainers)
				return b.Put([]byte(h.web), bytes.Clone(b.Get([]byte(h.db))))
			}
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"another id", func(h *household) func(*bolt.Tx) error {
			return edited(bucketContainers, h.web, `"id":"`+h.web, `"id":"`+h.db)
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"another name", func(h *household) func(*bolt.Tx) error {
			return edited(bucketContainers, h.web, `"name":"web"`, `"name":"wec"`)
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"the name of another", func(h *household) func(*bolt.Tx) error {
			return edited(bucketContainers, h.web, `"name":"web"`, `"name":"db"`)
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"a state that nobody knows", func(h *household) func(*bolt.Tx) error {
			return edited(bucketContainers, h.web, `"desired_state":"running"`, `"desired_state":"runninh"`)
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"a policy that nobody knows", func(h *household) func(*bolt.Tx) error {
			return edited(bucketContainers, h.web, `"name":"always"`, `"name":"alwayt"`)
		}, []string{"containers/WEB", "status/WEB"}, []string{"bystander", "db"}},
		{"both halves lost", func(h *household) func(*bolt.Tx) error {
			return func(tx *bolt.Tx) error {
				return errors.Join(tx.Bucket(bucketContainers).Delete([]byte(h.web)), tx.Bucket(bucketStatus).Delete([]byte(h.web)))
			}
		}, []string{"names/web"}, []string{"bystander", "db"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHousehold(t)
			var raw []byte
			h.harm(t, tt.harm(h))
			h.harm(t, func(tx *bolt.Tx) error { raw = bytes.Clone(tx.Bucket(bucketContainers).Get([]byte(h.web))); return nil })
			for _, when := range []string{"first", "again"} {
				s, err := Open(h.dir, Options{})
				if err != nil {
					t.Fatal(when, err)
				}
				h.judge(t, s, tt.spots, tt.live)
				if err := s.Close(); err != nil {
					t.Fatal(when, err)
				}
			}
			h.keeps(t, raw)
			h.discards(t)
		})
	}
}

// judge compares what was left out, what lives, and what is said of the damaged one.
func (h *household) judge(t *testing.T, s *Store, spots, live []string) {
	t.Helper()
	var got, names []string
	for _, f := range s.Quarantined() {
		got = append(got, strings.ReplaceAll(spot(f.Bucket, f.Key), h.web, "WEB"))
	}
	records, _ := s.List()
	for _, r := range records {
		names = append(names, r.Name)
	}
	if strings.Join(got, " ") != strings.Join(spots, " ") || strings.Join(names, " ") != strings.Join(live, " ") {
		t.Errorf("quarantine %v, want %v; live %v, want %v", s.Quarantined(), spots, names, live)
	}
	if _, ok := s.Get(h.web); ok {
		t.Error("the damaged record is acted upon")
	}
	_, err := s.Resolve("web")
	if _, again := s.Declare(t.Context(), Declaration{Name: "web", Change: running}); errorType(err) != api.SystemError || errorType(again) != api.SystemError {
		t.Errorf("asked for: %v; declared anew: %v", err, again)
	}
}

// keeps tells whether the damaged bytes are still there, and named.
func (h *household) keeps(t *testing.T, raw []byte) {
	t.Helper()
	r, err := Check(h.path())
	if err != nil || len(r.Problems) == 0 || !strings.Contains(strings.Join(r.Problems, "\n"), "web") {
		t.Errorf("check: %v, %q", err, r.Problems)
	}
	if raw == nil {
		return
	}
	var held quarantined
	h.harm(t, func(tx *bolt.Tx) error {
		return json.Unmarshal(tx.Bucket(bucketQuarantine).Get([]byte(spot("containers", h.web))), &held)
	})
	if !bytes.Equal(held.Value, raw) || held.Name != "web" || held.ID != h.web || held.At.IsZero() {
		t.Errorf("kept: %+v", held)
	}
}

func (h *household) discards(t *testing.T) {
	t.Helper()
	if err := Discard(h.dir, "db"); !errors.Is(err, ErrNotFound) {
		t.Errorf("discarded what is well: %v", err)
	}
	if err := Discard(h.dir, "web"); err != nil {
		t.Fatal(err)
	}
	s := open(t, h.dir, Options{})
	if left := s.Quarantined(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if again := declare(t, s, Declaration{Name: "web", Change: running}); !again.Created || again.ID == h.web {
		t.Errorf("declared anew: %+v", again)
	}
}

// A tombstone that cannot be read owns nothing, and is not what somebody is told of a container that is gone.
func TestOpen_PutsADamagedTombstoneIntoQuarantine(t *testing.T) {
	h := newHousehold(t)
	h.harm(t, edited(bucketTombstones, h.old, `{"id"`, `{"i"`))
	s, err := Open(h.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, ok := s.Tombstone(h.old); ok || len(s.Quarantined()) != 1 {
		t.Errorf("quarantine: %v", s.Quarantined())
	}
	if _, err := s.Resolve(h.old); errorType(err) != api.ContainerNotFound {
		t.Error(err)
	}
}

// What is only looked up is left out where it cannot be read.
func TestStore_WorksBesideDamagedHistory(t *testing.T) {
	h := newHousehold(t)
	h.harm(t, func(tx *bolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketHistory).Put(historyKey(h.web, 1), []byte("{")),
			tx.Bucket(bucketHistory).Put([]byte(h.web+"x"), []byte("{}")),
			tx.Bucket(bucketLog).Put(revisionKey(2), []byte("{")),
			tx.Bucket(bucketLog).Put([]byte("short"), []byte("{}")),
			tx.Bucket(bucketExpiries).Put([]byte("short"), nil))
	})
	r, err := Check(h.path())
	if err != nil || len(r.Problems) != 5 {
		t.Errorf("check: %v, %q", err, r.Problems)
	}
	s, err := Open(h.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range maxHistory + 2 {
		declare(t, s, Declaration{ContainerID: "web", Principal: "p", Key: "0123456789abcdef", Change: image("b")})
		declare(t, s, Declaration{ContainerID: "web", Change: image("c")})
	}
	if list, err := s.History(h.web); err != nil || len(list) == 0 || list[0].Generation == 0 {
		t.Errorf("history: %v, %v", list, err)
	}
	if _, err := s.Watch(1).Next(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("a change that cannot be read: %v", err)
	}
	if changes, err := s.Watch(2).Next(t.Context()); err != nil || changes[0].Revision != 3 {
		t.Errorf("after it: %v, %v", changes, err)
	}
}

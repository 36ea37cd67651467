package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// Flaw is a record that cannot be relied upon. Open moves it into quarantine, as it is: what it was about is left alone, the
// container where there is one and its name, until a backup is restored or the record is discarded.
type Flaw struct {
	Bucket string
	Key    string
	// ID is the container that it is about, Name the name that is known of it.
	ID, Name string
	Why      string
}

// String names the record and what is wrong with it.
func (f Flaw) String() string {
	whose := ""
	if f.Name != "" {
		whose = " (" + f.Name + ")"
	}
	return fmt.Sprintf("%s/%s%s: %s", f.Bucket, f.Key, whose, f.Why)
}

// quarantined is a record in quarantine, as it is stored under its bucket and key.
type quarantined struct {
	ID    string    `json:"id"`
	Name  string    `json:"name,omitempty"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
	Value []byte    `json:"value"`
}

// quarantine is what is known of what cannot be read; it does not change while a store is open.
type quarantine struct {
	flaws map[string]Flaw   // by bucket and key
	ids   map[string]Flaw   // the containers that it is about
	names map[string]string // that stay taken, and by which of them
}

func newQuarantine() quarantine {
	return quarantine{flaws: map[string]Flaw{}, ids: map[string]Flaw{}, names: map[string]string{}}
}

func spot(bucket, key string) string { return bucket + "/" + key }

// add notes f. What is wrong with a container's declaration says more than what is wrong with its status. A tombstone's
// container is left alone as it is.
func (q *quarantine) add(f Flaw) {
	q.flaws[spot(f.Bucket, f.Key)] = f
	if f.Bucket == string(bucketNames) {
		q.names[f.Key] = f.ID
	}
	if f.ID == "" || f.Bucket == string(bucketTombstones) {
		return
	}
	if known, ok := q.ids[f.ID]; !ok || known.Bucket != string(bucketContainers) {
		q.ids[f.ID] = f
	}
	if f.Name != "" {
		q.names[f.Name] = f.ID
	}
}

// read takes in what was moved before. A file that never held anything damaged has no such bucket.
func (q *quarantine) read(tx *bolt.Tx) error {
	b := tx.Bucket(bucketQuarantine)
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error {
		bucket, key, _ := strings.Cut(string(k), "/")
		var held quarantined
		if json.Unmarshal(v, &held) != nil { // damaged once more; its key still says what it is about
			held = quarantined{ID: key, Why: "unknown"}
		}
		q.add(Flaw{Bucket: bucket, Key: key, ID: held.ID, Name: held.Name, Why: held.Why})
		return nil
	})
}

// find tells what is wrong with a container or a name; nil where that is not in quarantine.
func (q *quarantine) find(ref string) *Flaw {
	if f, ok := q.flaws[spot(string(bucketNames), ref)]; ok {
		return &f
	}
	id, ok := q.names[ref]
	if !ok {
		id = ref
	}
	if f, ok := q.ids[id]; ok {
		return &f
	}
	return nil
}

// refusal is what a client is told who asks for it.
func (f *Flaw) refusal() *api.Error {
	what := cmp.Or(f.Name, f.ID, f.Key)
	return api.Errorf(api.SystemError, "the record of container %s is damaged and in quarantine; its container is left alone and its name stays taken. "+
		"Restore a backup, or stop the manager and give the record up: flow-manager store discard %s", what, what).
		With("reason", api.ReasonRecordQuarantined).For("", "", f.ID)
}

// Quarantined are the records that could not be read, now or at an earlier start.
func (s *Store) Quarantined() []Flaw { return s.quarantine.sorted() }

func (q *quarantine) sorted() []Flaw {
	return slices.SortedFunc(maps.Values(q.flaws), func(a, b Flaw) int {
		return cmp.Compare(spot(a.Bucket, a.Key), spot(b.Bucket, b.Key))
	})
}

// isolate moves what is flawed out of the way of everything that reads or writes records.
func isolate(tx *bolt.Tx, flaws []Flaw, now time.Time) error {
	q, err := tx.CreateBucketIfNotExists(bucketQuarantine)
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", bucketQuarantine, err)
	}
	for _, f := range flaws {
		from, key := tx.Bucket([]byte(f.Bucket)), []byte(f.Key)
		held := quarantined{ID: f.ID, Name: f.Name, Why: f.Why, At: now, Value: from.Get(key)}
		if err := errors.Join(q.Put([]byte(spot(f.Bucket, f.Key)), api.Encode(held)), from.Delete(key)); err != nil {
			return fmt.Errorf("quarantine %s/%s: %w", f.Bucket, f.Key, err)
		}
	}
	return nil
}

// Discard gives up what is in quarantine of a container, by its id, name or key, in the store of a manager that does not run.
// The name is free again, and the container belongs to nobody, so that no manager touches it.
func Discard(dir, ref string) error {
	path := Path(dir)
	err := change(path, func(tx *bolt.Tx) error { return discard(tx, ref) })
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func discard(tx *bolt.Tx, ref string) error {
	q, found := newQuarantine(), false
	if err := q.read(tx); err != nil {
		return err
	}
	for key, f := range q.flaws {
		if f.ID != ref && f.Name != ref && f.Key != ref {
			continue
		}
		found = true
		if err := errors.Join(tx.Bucket(bucketQuarantine).Delete([]byte(key)), freeNames(tx, f.ID), estrange(tx, f.ID)); err != nil {
			return fmt.Errorf("discard %s: %w", key, err)
		}
	}
	if !found {
		return fmt.Errorf("%q in quarantine: %w; flow-manager store check names what is there", ref, ErrNotFound)
	}
	return nil
}

// estrange notes that this store has made containers for an id that it does not know any more.
func estrange(tx *bolt.Tx, id string) error {
	meta := tx.Bucket(bucketMeta)
	if id == "" || tx.Bucket(bucketContainers).Get([]byte(id)) != nil {
		return nil
	}
	known := strings.Fields(string(meta.Get([]byte("strangers"))))
	return meta.Put([]byte("strangers"), []byte(strings.Join(append(known, id), " ")))
}

// freeNames lets go of the names that lead to a container without a declaration.
func freeNames(tx *bolt.Tx, id string) error {
	if tx.Bucket(bucketContainers).Get([]byte(id)) != nil {
		return nil
	}
	names := tx.Bucket(bucketNames)
	var lost [][]byte
	err := names.ForEach(func(name, owner []byte) error {
		if string(owner) == id {
			lost = append(lost, append([]byte{}, name...))
		}
		return nil
	})
	for _, name := range lost {
		err = errors.Join(err, names.Delete(name))
	}
	return err
}

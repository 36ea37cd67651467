package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// Declared is a spec that was declared for a container, by which request its code was asked for, and when and by whom it was.
type Declared struct {
	Generation int64     `json:"generation"`
	Spec       api.Spec  `json:"spec"`
	Code       int64     `json:"code,omitempty"`
	At         time.Time `json:"at"`
	By         string    `json:"by,omitempty"`
}

// maxHistory is how many specs of a container are kept, beside those that its containers are made from.
const maxHistory = 10

// History gives the specs that were declared for a container, oldest first, as far as they are kept.
func (s *Store) History(id string) ([]Declared, error) {
	var list []Declared
	err := s.read(func(tx *bolt.Tx) error {
		return eachDeclared(tx, id, func(_ []byte, d *Declared) error {
			if d.Generation > 0 {
				list = append(list, *d)
			}
			return nil
		})
	})
	return list, err
}

// Declared gives the spec of one generation of a container; ErrNotFound where it is not kept.
func (s *Store) Declared(id string, generation int64) (*Declared, error) {
	d := &Declared{}
	err := s.read(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketHistory).Get(historyKey(id, generation))
		if data == nil {
			return ErrNotFound
		}
		return json.Unmarshal(data, d)
	})
	if err != nil {
		return nil, fmt.Errorf("generation %d of container %s: %w", generation, id, err)
	}
	return d, nil
}

// Environments are those that containers of a record may have been made with: the declared one, and those of other
// generations whose containers may still stand.
func (s *Store) Environments(r *Record) []map[string]string {
	all := []map[string]string{r.Spec.Environment}
	for _, p := range r.AllPlacements() {
		if p.Generation == r.TemplateGeneration {
			continue
		}
		if d, err := s.Declared(r.ID, p.Generation); err == nil {
			all = append(all, d.Spec.Environment)
		}
	}
	return all
}

// historyKey sorts a container's generations; ids have one length.
func historyKey(id string, generation int64) []byte {
	return append([]byte(id), revisionKey(uint64(generation))...)
}

// cutHistoryKey is the inverse of historyKey; false for what is no such key.
func cutHistoryKey(key []byte) (id string, generation int64, ok bool) {
	if len(key) <= 8 {
		return "", 0, false
	}
	at := len(key) - 8
	return string(key[:at]), int64(binary.BigEndian.Uint64(key[at:])), true
}

// eachDeclared gives what is kept of a container. What cannot be read is given as a spec of generation 0, which nobody goes
// back to, so that it is dropped like any other.
func eachDeclared(tx *bolt.Tx, id string, f func(key []byte, d *Declared) error) error {
	c := tx.Bucket(bucketHistory).Cursor()
	for k, v := c.Seek([]byte(id)); k != nil && bytes.HasPrefix(k, []byte(id)); k, v = c.Next() {
		d := &Declared{}
		if owner, generation, ok := cutHistoryKey(k); !ok || owner != id || json.Unmarshal(v, d) != nil || d.Generation != generation {
			d = &Declared{}
		}
		if err := f(k, d); err != nil {
			return err
		}
	}
	return nil
}

// writeHistory adds what was declared and drops what nobody can go back to any more.
func (tx *txn) writeHistory(e *effect) error {
	r, d := e.record, e.declared
	if err := put(tx.bolt, bucketHistory, historyKey(r.ID, d.Generation), d); err != nil || e.fresh {
		return err
	}
	used := map[int64]bool{r.Current.Generation: true, r.Previous.Generation: true, r.Candidate.Generation: true}
	var old [][]byte
	err := eachDeclared(tx.bolt, r.ID, func(key []byte, one *Declared) error {
		if !used[one.Generation] {
			old = append(old, append([]byte{}, key...))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.dropKeys(bucketHistory, old[:max(0, len(old)-maxHistory)])
}

// dropHistory forgets all that was declared for a container.
func (tx *txn) dropHistory(id string) error {
	var all [][]byte
	err := eachDeclared(tx.bolt, id, func(key []byte, _ *Declared) error {
		all = append(all, append([]byte{}, key...))
		return nil
	})
	if err != nil {
		return err
	}
	return tx.dropKeys(bucketHistory, all)
}

func (tx *txn) dropKeys(bucket []byte, keys [][]byte) error {
	for _, key := range keys {
		if err := tx.bolt.Bucket(bucket).Delete(key); err != nil {
			return fmt.Errorf("drop from %s: %w", bucket, err)
		}
	}
	return nil
}

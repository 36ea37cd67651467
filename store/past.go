package store

import (
	"bytes"
	"encoding/json"

	bolt "go.etcd.io/bbolt"
)

// Past gives the changes that are kept, the newest first, those of one container where id names one, until yield returns false,
// and the revision that they go up to. yield must not block. Of one container no others are read: each of its changes leads to the
// one before.
func (s *Store) Past(id string, yield func(*Change) bool) (uint64, error) {
	newest := s.Revision()
	from := newest
	if id != "" {
		from = s.newestOf(id, newest)
	}
	err := s.read(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := lastUpTo(c, from); k != nil; {
			if !bytes.Contains(v, []byte(id)) { // those are passed over without being decoded
				k, v = c.Prev()
				continue
			}
			revision, ok := revisionOf(k)
			change := &Change{Revision: revision}
			if !ok || json.Unmarshal(v, change) != nil {
				return nil // what was before a damaged one cannot be told to be next to it
			}
			if (id == "" || change.ID == id) && revision <= newest && !yield(change) {
				return nil
			}
			k, v = change.before(c, id)
		}
		return nil
	})
	return newest, err
}

// newestOf is the revision of a container's newest change, or of any later one.
func (s *Store) newestOf(id string, newest uint64) uint64 {
	if r, stands := s.Get(id); stands {
		return r.Revision
	}
	if t, gone := s.Tombstone(id); gone && t.Revision > 0 {
		return t.Revision
	}
	return newest
}

// before gives what is kept before a change: of one container where id names one. Where that is not known it is whatever is kept.
func (c *Change) before(log *bolt.Cursor, id string) (key, value []byte) {
	switch {
	case id == "" || c.ID != id:
		return log.Prev()
	case c.Prev > 0:
		return lastUpTo(log, c.Prev)
	case c.Type == Added:
		return nil, nil
	}
	return log.Prev()
}

// lastUpTo gives the last that is kept up to a revision.
func lastUpTo(log *bolt.Cursor, revision uint64) (key, value []byte) {
	want := revisionKey(revision)
	key, value = log.Seek(want)
	switch {
	case key == nil:
		return log.Last()
	case !bytes.Equal(key, want):
		return log.Prev()
	}
	return key, value
}

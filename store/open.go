package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/rs/xid"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Format is the version of the file's layout that this program reads and writes.
const Format = 1

const (
	lockTimeout       = time.Second
	tombstoneLifetime = 30 * 24 * time.Hour
	keyLifetime       = 24 * time.Hour
)

var (
	bucketMeta       = []byte("meta")
	bucketContainers = []byte("containers")
	bucketStatus     = []byte("status")
	bucketNames      = []byte("names")
	bucketTombstones = []byte("tombstones")
	bucketKeys       = []byte("keys")
	bucketExpiries   = []byte("expiries")
	bucketLog        = []byte("log")
	bucketHistory    = []byte("history")
)

func buckets() [][]byte {
	return [][]byte{bucketMeta, bucketContainers, bucketStatus, bucketNames, bucketTombstones, bucketKeys, bucketExpiries, bucketLog, bucketHistory}
}

// Options tune a store; the zero value is what production uses, with its defaults.
type Options struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// MaxContainers bounds what may be declared; 0 is 1000.
	MaxContainers int
	// MaxKeys bounds how many idempotency keys of one principal are remembered; 0 is 100,000.
	MaxKeys int
	// Retention is how long a change can be watched from; 0 is 24 hours. At most 100,000 changes are kept.
	Retention time.Duration
	// NoSync leaves out the sync of each commit, for simulations whose disk cannot fail.
	NoSync bool
}

// Open opens or makes the store in dir, which is made with mode 0700 where it is absent.
func Open(dir string, o Options) (s *Store, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // bbolt maps the file, and a page of a truncated one is not there
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("%s: %w: %v; restore it from a backup, or move it away to begin anew", dir, ErrDamaged, p)
		}
	}()
	return openFile(dir, o)
}

func openFile(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	path := filepath.Join(dir, "flow-manager.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoSync: o.NoSync})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := newStore(db, o)
	if err := s.load(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	go s.run()
	return s, nil
}

func newStore(db *bolt.DB, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxContainers == 0 {
		o.MaxContainers = 1000
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 100_000
	}
	if o.Retention == 0 {
		o.Retention = 24 * time.Hour
	}
	return &Store{
		db: db, options: o, ops: make(chan *op), closing: make(chan struct{}), done: make(chan struct{}),
		records: map[string]*Record{}, names: map[string]string{}, tombstones: map[string]*Tombstone{}, keys: ledger{},
		grown: make(chan struct{}),
	}
}

// load prepares a new file or reads an old one into memory.
func (s *Store) load(dir string) error {
	if err := s.db.Update(s.initialise); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error {
		if err := s.loadMeta(tx.Bucket(bucketMeta)); err != nil {
			return err
		}
		if err := s.loadRecords(tx); err != nil {
			return err
		}
		if err := s.loadKeys(tx.Bucket(bucketExpiries)); err != nil {
			return err
		}
		return each(tx.Bucket(bucketTombstones), func(_ string, t *Tombstone) error {
			s.tombstones[t.ID] = t
			return nil
		})
	})
}

// syncDir makes the file's own name durable; bbolt syncs its content only.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) initialise(tx *bolt.Tx) error {
	if meta := tx.Bucket(bucketMeta); meta != nil {
		if err := checkFormat(string(meta.Get([]byte("format")))); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(bucketHistory) // stores of the first days have none
		return err
	}
	for _, name := range buckets() {
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	meta := tx.Bucket(bucketMeta)
	for key, value := range map[string]string{"format": strconv.Itoa(Format), "instance": xid.New().String(), "epoch": "1", "revision": "0"} {
		if err := meta.Put([]byte(key), []byte(value)); err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
	return nil
}

func checkFormat(text string) error {
	format, err := strconv.Atoi(text)
	switch {
	case err != nil || format < 1:
		return fmt.Errorf("%w: its format is %q", ErrDamaged, text)
	case format > Format:
		return fmt.Errorf("%w: its format is %d and this version reads up to %d; run the newer version, or restore an older backup", ErrNewerFormat, format, Format)
	}
	return nil
}

func (s *Store) loadMeta(meta *bolt.Bucket) error {
	var err error
	if s.revision, err = strconv.ParseUint(string(meta.Get([]byte("revision"))), 10, 64); err != nil {
		return fmt.Errorf("%w: its revision is unreadable: %w", ErrDamaged, err)
	}
	s.epoch = string(meta.Get([]byte("epoch")))
	s.instance = string(meta.Get([]byte("instance")))
	s.engine = string(meta.Get([]byte("engine")))
	return nil
}

func (s *Store) loadRecords(tx *bolt.Tx) error {
	observations := tx.Bucket(bucketStatus)
	return each(tx.Bucket(bucketContainers), func(id string, d *declaration) error {
		var o observation
		if data := observations.Get([]byte(id)); data == nil || json.Unmarshal(data, &o) != nil {
			return fmt.Errorf("%w: the status of container %s is missing or unreadable", ErrDamaged, id)
		}
		s.records[id] = s.assemble(*d, o)
		s.names[d.Name] = id
		return nil
	})
}

func (s *Store) loadKeys(expiries *bolt.Bucket) error {
	if expiries == nil {
		return fmt.Errorf("%w: a bucket is missing", ErrDamaged)
	}
	now := s.options.Now()
	return expiries.ForEach(func(k, _ []byte) error {
		if expires, name, ok := cutExpiry(k); ok && expires.After(now) {
			s.keys.add(name, expires)
		}
		return nil
	})
}

// each decodes every value of b.
func each[T any](b *bolt.Bucket, f func(key string, value *T) error) error {
	if b == nil {
		return fmt.Errorf("%w: a bucket is missing", ErrDamaged)
	}
	return b.ForEach(func(k, v []byte) error {
		value := new(T)
		if err := json.Unmarshal(v, value); err != nil {
			return fmt.Errorf("%w: record %s: %w", ErrDamaged, k, err)
		}
		return f(string(k), value)
	})
}

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/rs/xid"
	bolt "go.etcd.io/bbolt"
)

// fileName is the store's file in the data directory. Others beside it have more to their names.
const fileName = "flow-manager.db"

// Path is where the store in dir is.
func Path(dir string) string { return filepath.Join(dir, fileName) }

const (
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
	bucketQuarantine = []byte("quarantine") // made with the first damaged record
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
	// MaxTombstones bounds how many deletions are remembered, the newest ones; 0 is 10,000.
	MaxTombstones int
	// Retention is how long a change can be watched from; 0 is 24 hours. At most 100,000 changes are kept, and of what flows said
	// at most 50,000, those of the quieter ones longer.
	Retention time.Duration
	// Mark is a file outside of the data directory that says how far the store has come, so that one that was copied back is
	// noticed; empty: none.
	Mark string
	// NoSync leaves out the sync of each commit, for simulations whose disk cannot fail.
	NoSync bool
	// Compacted is told when Open rewrote the file, of which more than half was free: the sizes in bytes before and after, or
	// why it could not and the file stays as it is. It may be nil.
	Compacted func(from, to int64, err error)
	// Writable is told when commits stop working, with why, and with nil when one works again. It must not block; it may be nil.
	Writable func(err error)
	// Fail is called with the name of each point at which a test may want the process to die; nil in production.
	Fail func(point string)

	migrations []migration // nil: those of this version
	maxLog     int         // 0 is maxLog
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxContainers == 0 {
		o.MaxContainers = 1000
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 100_000
	}
	if o.MaxTombstones == 0 {
		o.MaxTombstones = 10_000
	}
	if o.Retention == 0 {
		o.Retention = 24 * time.Hour
	}
	if o.maxLog == 0 {
		o.maxLog = maxLog
	}
	if o.Writable == nil {
		o.Writable = func(error) {}
	}
	if o.Compacted == nil {
		o.Compacted = func(int64, int64, error) {}
	}
	if o.Fail == nil {
		o.Fail = func(string) {}
	}
	if o.migrations == nil {
		o.migrations = migrations()
	}
	return o
}

// Open opens or makes the store in dir, which is made with mode 0700 where it is absent. Records that cannot be relied upon
// are moved into quarantine.
func Open(dir string, o Options) (*Store, error) {
	path := Path(dir)
	s := newStore(o.withDefaults())
	err := s.load(path)
	switch {
	case errors.Is(err, ErrDamaged):
		return nil, fmt.Errorf("%s: %w. To put a backup in its place: flow-manager store restore FILE. To begin anew, move it away", path, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.beginMark(); err != nil {
		return nil, s.abandon(fmt.Errorf("%s: %w", path, err))
	}
	go s.run()
	return s, nil
}

func newStore(o Options) *Store {
	return &Store{
		options: o, ops: make(chan *op), closing: make(chan struct{}), done: make(chan struct{}), grown: make(chan struct{}),
	}
}

// load reads the file into memory, and makes it smaller where much of it is free. Where that does not go well it is closed.
func (s *Store) load(path string) error {
	if err := makeMissing(path, &s.options); err != nil {
		return err
	}
	if err := s.openAt(path); err != nil {
		return err
	}
	size, err := s.shrink(path)
	if err != nil || size == 0 {
		return s.abandon(err)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the file that was replaced: %w", err)
	}
	if err := s.openAt(path); err != nil {
		return err
	}
	s.options.Compacted(size, s.file.Size(), nil)
	return nil
}

func (s *Store) openAt(path string) error {
	var err error
	if s.db, err = openBolt(path, mode{noSync: s.options.NoSync}); err != nil {
		return err
	}
	err = guarded(func() error {
		if err := migrate(s.db, path, &s.options); err != nil {
			return err
		}
		if s.file, err = os.Stat(path); err != nil {
			return err
		}
		return s.readAll()
	})
	return s.abandon(err)
}

// abandon closes the file where err says that it will not be used.
func (s *Store) abandon(err error) error {
	if err == nil || errors.Is(err, errPanicked) { // after a panic bbolt may hold locks that Close would wait for
		return err
	}
	return errors.Join(err, s.db.Close())
}

var errPanicked = errors.New("it cannot be read or written as it is")

// guarded makes an error of what bbolt makes of a file that is not what it was when it was looked over: a panic, or a fault
// where a page of the mapped file is not there.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w: %s", ErrDamaged, errPanicked, finding(p))
		}
	}()
	return f()
}

// finding is what bbolt says is wrong with a file, without how it came to say so.
func finding(p any) string {
	return strings.TrimPrefix(strings.TrimPrefix(fmt.Sprint(p), "panic: "), "assertion failed: ")
}

func (s *Store) readAll() error {
	var c *content
	s.keys = ledger{}
	err := s.db.View(func(tx *bolt.Tx) error {
		var err error
		if c, err = contents(tx); err != nil {
			return err
		}
		if s.logged, err = readLogged(tx); err != nil {
			return err
		}
		return s.loadKeys(tx.Bucket(bucketExpiries))
	})
	if err != nil {
		return err
	}
	if len(c.flaws) > 0 {
		if err := s.db.Update(func(tx *bolt.Tx) error { return isolate(tx, c.flaws, s.options.Now().UTC()) }); err != nil {
			return fmt.Errorf("move damaged records into quarantine: %w", err)
		}
	}
	s.instance, s.epoch, s.engine, s.restored, s.revision = c.instance, c.epoch, c.engine, c.restored, c.revision
	s.strangers, s.clock, s.told = c.strangers, c.clock, c.told
	s.engineEvent.Store(c.engineEvent)
	s.writtenEvent = c.engineEvent
	s.records, s.names, s.graves, s.quarantine = c.records, c.names, newGraves(c.tombstones), c.quarantine
	s.trimGraves()
	return nil
}

// makeMissing makes an empty store where there is none. It appears whole: a file without its content is a damaged one.
func makeMissing(path string, o *Options) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	err := writeFile(path, false, func(f *os.File) error {
		db, err := bolt.Open(f.Name(), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoSync: o.NoSync})
		if err != nil {
			return err
		}
		return errors.Join(db.Update(func(tx *bolt.Tx) error { return initialise(tx, formatAfter(o.migrations)) }), db.Close())
	})
	if errors.Is(err, fs.ErrExist) {
		return nil // another process has made it meanwhile
	}
	return err
}

func initialise(tx *bolt.Tx, format int) error {
	for _, name := range buckets() {
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	return putAll(tx.Bucket(bucketMeta), map[string]string{
		"format": strconv.Itoa(format), "instance": xid.New().String(), "epoch": newEpoch(), "revision": "0"})
}

// newEpoch tells the revisions of one file from those of any other: a restored one and one that was made anew begin to count
// where clients may have been already.
func newEpoch() string { return xid.New().String() }

func putAll(b *bolt.Bucket, values map[string]string) error {
	for key, value := range values {
		if err := b.Put([]byte(key), []byte(value)); err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
	return nil
}

func (s *Store) loadKeys(expiries *bolt.Bucket) error {
	now := s.options.Now()
	return expiries.ForEach(func(k, _ []byte) error {
		if expires, name, ok := cutExpiry(k); ok && expires.After(now) {
			s.keys.add(name, expires)
		}
		return nil
	})
}

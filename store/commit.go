package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// maxBatch bounds how many operations share one sync, and with it how long the first of them waits.
const maxBatch = 512

// op is one caller's transaction. decide reads through tx and changes nothing; what it returns happens as a whole or not
// at all, together with the operations that share its sync.
type op struct {
	decide func(tx *txn) (effect, error)
	err    error
	done   chan struct{}
}

// effect is what one operation changes.
type effect struct {
	record   *Record // written, both halves or one
	spec     bool
	status   bool
	drop     *Tombstone        // takes the record's place
	gone     *api.Container    // what that was
	fresh    bool              // record is new
	former   map[string]string // the labels that record had, where they changed
	events   []api.Event
	flow     bool // all it is about is what a flow said
	key      *keyEntry
	declared *Declared // kept, so that it can be gone back to
	engine   string
	clock    *steady
	accept   bool // what was restored
	// strangers are the create tokens of containers that accept leaves alone.
	strangers []string
	restored  string // when it was found out that the file was copied back
}

func (e *effect) changes() bool { return e.record != nil || e.drop != nil }

// id is that of the container that it changes.
func (e *effect) id() string {
	if e.drop != nil {
		return e.drop.ID
	}
	return e.record.ID
}

// txn is what the operations of one commit have decided so far.
type txn struct {
	*Store
	bolt    *bolt.Tx
	now     time.Time
	next    uint64
	count   int
	idle    bool               // nothing was written, which says nothing about the disk
	reached bool               // it is in the file though the commit did not work
	pending map[string]*Record // nil: dropped
	named   map[string]string  // "": freed
	effects []effect
	buried  int          // how many of the effects leave a tombstone
	spent   []*Tombstone // those of before that go
	log     []Change
	told    Tally
	dropped []string // for each change that goes from the log, the container whose flow caused it, or ""
	seen    int64    // the engine event that it writes, 0 for none
}

// do runs decide in a transaction and returns when that is on disk. ctx counts until the operation is taken up: what has
// been taken up is waited for, because nobody could say whether it happened.
func (s *Store) do(ctx context.Context, decide func(tx *txn) (effect, error)) error {
	o := &op{decide: decide, done: make(chan struct{})}
	select {
	case s.ops <- o:
		<-o.done
		return o.err
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for the store: %w", ctx.Err())
	}
}

func (s *Store) run() {
	defer close(s.done)
	s.looked() // all was read
	for {
		select {
		case o := <-s.ops:
			s.commit(s.gather(o))
			s.looked()
		case <-s.unmapping:
			s.unmap()
		case <-s.trial:
			s.probe()
		case <-s.closing:
			s.noteEngineEvent()
			return
		}
	}
}

// noteEngineEvent writes when the newest event of the engine was seen, for whoever opens the file next. That it cannot be written
// is nothing: it is then not known.
func (s *Store) noteEngineEvent() {
	seen := s.engineEvent.Load()
	if seen == s.writtenEvent || s.Err() != nil {
		return
	}
	_ = s.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put([]byte("engine_event"), strconv.AppendInt(nil, seen, 10))
	})
}

// gather takes along whoever is already waiting.
func (s *Store) gather(first *op) []*op {
	batch := []*op{first}
	for len(batch) < maxBatch {
		select {
		case o := <-s.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

func (s *Store) commit(batch []*op) {
	tx, err := s.decideAll(batch)
	s.conclude(batch, tx, err)
}

// conclude tells everybody what came of a transaction.
func (s *Store) conclude(batch []*op, tx *txn, err error) {
	if err != nil {
		tx.reached = tx.next > s.revision && s.reached(tx.next)
		err = fmt.Errorf("%w: %w", ErrNotWritable, err)
		for _, o := range batch {
			if o.err == nil {
				o.err = err
			}
		}
	}
	s.publish(tx, err)
	for _, o := range batch {
		close(o.done)
	}
}

// errNothing rolls a transaction back in which nothing was changed.
var errNothing = errors.New("nothing to commit")

func (s *Store) decideAll(batch []*op) (*txn, error) {
	tx := &txn{Store: s, now: s.options.Now().UTC(), next: s.revision, told: s.told, count: len(s.records), pending: map[string]*Record{}, named: map[string]string{}}
	err := s.update(func(b *bolt.Tx) error {
		tx.bolt = b
		for _, o := range batch {
			var e effect
			if e, o.err = tx.guarded(o); o.err == nil {
				tx.take(e)
			}
		}
		return tx.write()
	})
	if errors.Is(err, errNothing) {
		tx.idle, err = true, nil
	}
	return tx, err
}

// guarded keeps a bug in one caller's edit from ending the process and everybody else's transaction.
func (tx *txn) guarded(o *op) (e effect, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("edit panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return o.decide(tx)
}

// lookup is view over the mirror under the transaction's own changes.
func (tx *txn) lookup(id string) (*Record, bool) {
	if r, ok := tx.pending[id]; ok {
		return r, r != nil
	}
	return tx.Store.lookup(id)
}

func (tx *txn) byName(name string) (*Record, bool) {
	id, ok := tx.named[name]
	if !ok {
		id = tx.names[name]
	}
	return tx.lookup(id)
}

// others are all records but id's.
func (tx *txn) others(id string) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for other, r := range tx.records {
			if _, newer := tx.pending[other]; !newer && other != id && !yield(r) {
				return
			}
		}
		for other, r := range tx.pending {
			if r != nil && other != id && !yield(r) {
				return
			}
		}
	}
}

// take lets later operations of the same commit see what e changes.
func (tx *txn) take(e effect) {
	if e.changes() {
		tx.next++
		tx.log = append(tx.log, tx.change(&e))
	}
	if e.record != nil {
		e.record.Revision = tx.next
		e.record.ResourceVersion = tx.Version(tx.next)
		tx.pending[e.record.ID], tx.named[e.record.Name] = e.record, e.record.ID
	}
	if e.fresh {
		tx.count++
	}
	if e.drop != nil {
		tx.count--
		tx.buried++
		tx.pending[e.drop.ID], tx.named[e.drop.Name] = nil, ""
	}
	tx.effects = append(tx.effects, e)
}

func (tx *txn) change(e *effect) Change {
	tx.told = tx.told.plus(e.events, 1)
	c := Change{Revision: tx.next, At: tx.now, Type: Modified, Spec: e.spec, Events: e.events, FormerLabels: e.former, Told: tx.told, Flow: e.flow}
	if old, stands := tx.lookup(e.id()); stands {
		c.Prev = old.Revision
	}
	if e.drop != nil {
		e.drop.Revision = tx.next
		e.gone.ResourceVersion = tx.Version(tx.next)
		c.ID, c.Type, c.Gone = e.drop.ID, Deleted, e.gone
		return c
	}
	c.ID, c.Record = e.record.ID, e.record
	if e.fresh {
		c.Type = Added
	}
	return c
}

func (tx *txn) write() error {
	written := false
	for i := range tx.effects {
		did, err := tx.writeEffect(&tx.effects[i])
		if err != nil {
			return err
		}
		written = written || did
	}
	if !written {
		return errNothing
	}
	if err := tx.stands(); err != nil {
		return err
	}
	for i := range tx.log {
		if err := put(tx.bolt, bucketLog, revisionKey(tx.log[i].Revision), &tx.log[i]); err != nil {
			return err
		}
	}
	tx.spent = tx.graves.spent(tx.buried, tx.options.MaxTombstones, tx.now)
	if err := errors.Join(eraseTombstones(tx.bolt, tx.spent), tx.trim()); err != nil {
		return err
	}
	if seen := tx.engineEvent.Load(); seen != tx.writtenEvent {
		tx.seen = seen
		if err := tx.putMeta("engine_event", strconv.FormatInt(seen, 10)); err != nil {
			return err
		}
	}
	return tx.putMeta("revision", strconv.FormatUint(tx.next, 10))
}

func (tx *txn) writeEffect(e *effect) (bool, error) {
	var errs []error
	if e.spec {
		errs = append(errs, put(tx.bolt, bucketContainers, []byte(e.record.ID), e.record.declaration()))
	}
	if e.status {
		errs = append(errs, put(tx.bolt, bucketStatus, []byte(e.record.ID), e.record.observation()))
	}
	if e.fresh {
		errs = append(errs, tx.bolt.Bucket(bucketNames).Put([]byte(e.record.Name), []byte(e.record.ID)))
	}
	if e.drop != nil {
		errs = append(errs, tx.writeDrop(e.drop))
	}
	if e.declared != nil {
		errs = append(errs, tx.writeHistory(e))
	}
	if e.key != nil {
		errs = append(errs, tx.writeKey(e.key))
	}
	if e.clock != nil {
		errs = append(errs, tx.putMeta("clock", e.clock.String()))
	}
	if e.engine != "" {
		errs = append(errs, tx.putMeta("engine", e.engine))
	}
	if e.restored != "" {
		errs = append(errs, tx.putMeta("restored", e.restored), tx.putMeta("epoch", newEpoch()))
	}
	if e.accept {
		errs = append(errs, tx.bolt.Bucket(bucketMeta).Delete([]byte("restored")), tx.putMeta("strangers", strings.Join(e.strangers, " ")))
	}
	return len(errs) > 0, errors.Join(errs...)
}

func (tx *txn) writeDrop(t *Tombstone) error {
	return errors.Join(
		tx.bolt.Bucket(bucketContainers).Delete([]byte(t.ID)),
		tx.bolt.Bucket(bucketStatus).Delete([]byte(t.ID)),
		tx.bolt.Bucket(bucketNames).Delete([]byte(t.Name)),
		tx.dropHistory(t.ID),
		put(tx.bolt, bucketTombstones, []byte(t.ID), t),
	)
}

// publish shows the world what was committed: what the file shows is what everybody sees, and what the next commit is made upon.
func (s *Store) publish(tx *txn, err error) {
	if !tx.idle {
		s.judge(err)
	}
	if err != nil && !tx.reached {
		return
	}
	if tx.seen != 0 {
		s.writtenEvent = tx.seen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.graves.drop(len(tx.spent))
	for i := range tx.effects {
		s.publishEffect(&tx.effects[i])
	}
	if tx.next == s.revision {
		return
	}
	s.revision, s.told = tx.next, tx.told
	s.logged.publish(tx)
	s.writeMark()
	s.remember(tx.log)
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *Store) publishEffect(e *effect) {
	if e.key != nil {
		s.keys.add(e.key.name, e.key.Expires)
	}
	if e.record != nil {
		s.records[e.record.ID], s.names[e.record.Name] = e.record, e.record.ID
	}
	if e.drop != nil {
		delete(s.records, e.drop.ID)
		delete(s.names, e.drop.Name)
		s.graves.add(e.drop)
	}
	if e.clock != nil {
		s.clock = *e.clock
	}
	if e.engine != "" {
		s.engine = e.engine
	}
	if e.restored != "" {
		s.restored = e.restored
	}
	if e.accept {
		s.restored, s.strangers = "", e.strangers
	}
}

func (tx *txn) putMeta(key, value string) error {
	return tx.bolt.Bucket(bucketMeta).Put([]byte(key), []byte(value))
}

// ascendingFill is how full pages get of keys that come in ascending order, as ids and revisions do: halves that are left behind
// by a split stay halves.
const ascendingFill = 0.9

func put(tx *bolt.Tx, bucket, key []byte, value any) error {
	b := tx.Bucket(bucket)
	if !bytes.Equal(bucket, bucketStatus) { // whose values grow where they are
		b.FillPercent = ascendingFill
	}
	if err := b.Put(key, api.Encode(value)); err != nil {
		return fmt.Errorf("write %s %q: %w", bucket, key, err)
	}
	return nil
}

func revisionKey(revision uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, revision)
}

// revisionOf is the inverse of revisionKey; false for what is no such key.
func revisionOf(key []byte) (uint64, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

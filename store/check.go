package store

import (
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Report is what a store's file holds.
type Report struct {
	Path       string
	Size       int64
	Format     int
	Revision   uint64
	Containers int
	// Problems are the records that cannot be relied upon, and what does not agree; a store with such opens all the same.
	Problems []string
}

// Check looks at the whole of a store's file, which nobody may have open, and changes nothing. The error is ErrDamaged where
// it could not be opened as a store.
func Check(path string) (Report, error) {
	r := Report{Path: path}
	err := look(path, func(tx *bolt.Tx) error { return r.read(tx) })
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// look opens a file for reading only.
func look(path string, f func(tx *bolt.Tx) error) error {
	db, err := openBolt(path, mode{readOnly: true})
	if err != nil {
		return err
	}
	err = guarded(func() error { return db.View(f) })
	return errors.Join(err, db.Close())
}

// change opens a file, alters it in one transaction and closes it.
func change(path string, f func(tx *bolt.Tx) error) error {
	db, err := openBolt(path, mode{})
	if err != nil {
		return err
	}
	if err = guarded(func() error { return db.Update(f) }); errors.Is(err, errPanicked) {
		return err // bbolt may hold locks that Close would wait for
	}
	return errors.Join(err, db.Close())
}

func (r *Report) read(tx *bolt.Tx) error {
	var err error
	r.Size = tx.Size()
	if r.Format, err = formatIn(tx); err != nil {
		return err
	}
	if err := readable(r.Format, Format); err != nil {
		return err
	}
	for err := range tx.Check() {
		r.problem("file: %s", finding(err))
	}
	c, err := asWritten(tx, r.Format)
	if err != nil {
		return err
	}
	r.Revision, r.Containers = c.revision, len(c.records)
	for _, f := range c.quarantine.sorted() {
		r.problem("%s", f)
	}
	return r.compare(tx, c)
}

// asWritten is contents for a file of any format that can be read.
func asWritten(tx *bolt.Tx, format int) (*content, error) {
	if format == 1 {
		return contentsOf1(tx, time.Time{}) // nothing is written by it
	}
	return contents(tx)
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Errorf(format, args...).Error())
}

// compare looks at what is not read at Open, and at what has to agree.
func (r *Report) compare(tx *bolt.Tx, c *content) error {
	for id, record := range c.records {
		if record.Revision > c.revision {
			r.problem("containers/%s (%s): its revision is %d, and the store's is %d", id, record.Name, record.Revision, c.revision)
		}
	}
	for _, part := range []struct {
		bucket []byte
		record func(key, value []byte) error
	}{
		{bucketLog, checkChange}, {bucketKeys, checkKey}, {bucketHistory, checkDeclared},
		{bucketExpiries, func(key, _ []byte) error { return checkExpiry(tx, key) }},
	} {
		b := tx.Bucket(part.bucket)
		if b == nil {
			continue // of a format that had none
		}
		err := b.ForEach(func(k, v []byte) error {
			if err := part.record(k, v); err != nil {
				r.problem("%s/%q: %w", part.bucket, k, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var errNoKey = errors.New("its key is none")

func checkChange(key, value []byte) error {
	if _, ok := revisionOf(key); !ok {
		return errNoKey
	}
	return decode(value, &Change{})
}

func checkKey(_, value []byte) error { return decode(value, &keyEntry{}) }

func checkDeclared(key, value []byte) error {
	_, generation, ok := cutHistoryKey(key)
	var d Declared
	err := decode(value, &d)
	switch {
	case !ok:
		return errNoKey
	case err == nil && d.Generation != generation:
		return fmt.Errorf("it says that it is generation %d", d.Generation)
	}
	return err
}

func checkExpiry(tx *bolt.Tx, key []byte) error {
	_, name, ok := cutExpiry(key)
	if !ok {
		return errNoKey
	}
	if tx.Bucket(bucketKeys).Get(name) == nil {
		return errors.New("there is no such idempotency key")
	}
	return nil
}

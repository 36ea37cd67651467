package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Format is the version of the file's layout that this program reads and writes.
const Format = 2

// migration changes a file of one format into the next one. What it cannot read it moves into quarantine, as it is. now is for
// what is noted with a time.
type migration func(tx *bolt.Tx, now time.Time) error

// migrations are those from format 1 on, in order.
func migrations() []migration { return []migration{toFormat2} }

func formatAfter(list []migration) int { return 1 + len(list) }

// migrate brings a file to this version's format, in one transaction. The file as it was is kept beside it.
func migrate(db *bolt.DB, path string, o *Options) error {
	var format int
	err := db.View(func(tx *bolt.Tx) error {
		var err error
		format, err = formatIn(tx)
		return err
	})
	if err != nil {
		return err
	}
	if err := readable(format, formatAfter(o.migrations)); err != nil {
		return err
	}
	if format == formatAfter(o.migrations) {
		return nil
	}
	if err := writeFile(path+".format-"+strconv.Itoa(format), true, func(f *os.File) error { return copyTo(db, f) }); err != nil {
		return fmt.Errorf("keep a copy before the format changes from %d to %d: %w", format, formatAfter(o.migrations), err)
	}
	o.Fail("migration-copied")
	if err := db.Update(func(tx *bolt.Tx) error { return runMigrations(tx, format, o) }); err != nil {
		return fmt.Errorf("change the format from %d to %d: %w", format, formatAfter(o.migrations), err)
	}
	o.Fail("migration-done")
	return nil
}

func runMigrations(tx *bolt.Tx, format int, o *Options) error {
	now := o.Now().UTC()
	for _, m := range o.migrations[format-1:] {
		if err := m(tx, now); err != nil {
			return err
		}
	}
	o.Fail("migration-uncommitted")
	return tx.Bucket(bucketMeta).Put([]byte("format"), []byte(strconv.Itoa(formatAfter(o.migrations))))
}

// toFormat2 writes each record anew, in the groups that it has now. What a record of format 1 does not tell is taken so:
//
//   - A step that did not work is forgotten, and tried at once. Its failure is met again, or it is not.
//   - Each request asked for its spec.
//   - A stop that is under way has at most the grace of its spec, a backoff at most 300 s.
func toFormat2(tx *bolt.Tx, now time.Time) error {
	c, err := contentsOf1(tx, now)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucketIfNotExists(bucketHistory); err != nil {
		return fmt.Errorf("make bucket %s: %w", bucketHistory, err)
	}
	if len(c.flaws) > 0 {
		if err := isolate(tx, c.flaws, now); err != nil {
			return err
		}
	}
	for id, r := range c.records {
		if err := errors.Join(put(tx, bucketContainers, []byte(id), r.declaration()), put(tx, bucketStatus, []byte(id), r.observation())); err != nil {
			return err
		}
	}
	return nil
}

// formatIn is the version of a file's layout.
func formatIn(tx *bolt.Tx) (int, error) {
	m := tx.Bucket(bucketMeta)
	if m == nil {
		return 0, damaged("bucket meta is missing")
	}
	text := string(m.Get([]byte("format")))
	format, err := strconv.Atoi(text)
	if err != nil || format < 1 {
		return 0, damaged("its format is %q", text)
	}
	return format, nil
}

func readable(format, newest int) error {
	if format > newest {
		return fmt.Errorf("%w: its format is %d and this version reads up to %d; run the newer version, or restore an older backup", ErrNewerFormat, format, newest)
	}
	return nil
}

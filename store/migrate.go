package store

import (
	"fmt"
	"os"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// Format is the version of the file's layout that this program reads and writes.
const Format = 1

// migration changes a file of one format into the next one.
type migration func(tx *bolt.Tx) error

// migrations are those from format 1 on, in order; there is none yet.
func migrations() []migration { return []migration{} }

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
		return completed(db)
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
	for _, m := range o.migrations[format-1:] {
		if err := m(tx); err != nil {
			return err
		}
	}
	o.Fail("migration-uncommitted")
	return tx.Bucket(bucketMeta).Put([]byte("format"), []byte(strconv.Itoa(formatAfter(o.migrations))))
}

// completed gives stores of the first days the bucket that they do not have.
func completed(db *bolt.DB) error {
	missing := false
	err := db.View(func(tx *bolt.Tx) error { missing = tx.Bucket(bucketHistory) == nil; return nil })
	if err != nil || !missing {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketHistory)
		return err
	})
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

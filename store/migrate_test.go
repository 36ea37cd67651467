package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestMigrations_LeadToThisFormat(t *testing.T) {
	if got := formatAfter(migrations()); got != Format {
		t.Errorf("the migrations lead to format %d, and this is %d", got, Format)
	}
}

// writtenAt is when the store of format 1 was written that the tests have.
var writtenAt = time.Date(2026, 1, 5, 9, 10, 2, 130_800_000, time.UTC)

func then() time.Time { return writtenAt }

// formatOne puts that store into a folder, once it was edited.
func formatOne(t *testing.T, edit func(tx *bolt.Tx) error) (dir string, file []byte) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, fileName)
	file, err := os.ReadFile(filepath.Join("testdata", "format-1", "steps.db"))
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err == nil && edit != nil {
		if err = change(path, edit); err == nil {
			file, err = os.ReadFile(path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// metaOf reads a closed file's format and what a migration of the tests writes.
func metaOf(t *testing.T, path string) (format int, third string) {
	t.Helper()
	err := look(path, func(tx *bolt.Tx) error {
		var err error
		format, err = formatIn(tx)
		third = string(tx.Bucket(bucketMeta).Get([]byte("third")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return format, third
}

func toThree(tx *bolt.Tx, _ time.Time) error {
	return tx.Bucket(bucketMeta).Put([]byte("third"), []byte("here"))
}

func TestMigrate(t *testing.T) {
	dir, before := formatOne(t, nil)
	path, copied := filepath.Join(dir, fileName), filepath.Join(dir, fileName+".format-1")
	failure := errors.New("it does not work")
	fails := func(*bolt.Tx, time.Time) error { return failure }
	if _, err := Open(dir, Options{migrations: append(migrations(), toThree, fails)}); !errors.Is(err, failure) {
		t.Fatalf("a migration failed, and Open says %v", err)
	}
	if format, third := metaOf(t, path); format != 1 || third != "" {
		t.Errorf("format %d, %q after a migration that failed", format, third)
	}
	s, err := Open(dir, Options{migrations: append(migrations(), toThree)})
	if err != nil {
		t.Fatal(err)
	}
	if records, _ := s.List(); len(records) == 0 || len(s.Quarantined()) > 0 {
		t.Errorf("%v, %v", recordNames(records), s.Quarantined())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if format, third := metaOf(t, path); format != 3 || third != "here" {
		t.Errorf("format %d, %q", format, third)
	}
	if kept, err := os.ReadFile(copied); err != nil || !bytes.Equal(kept, before) {
		t.Errorf("the copy differs from the file as it was: %v", err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("by the older version: %v", err)
	}
	if _, _, err := Restore(dir, copied, Options{}); err != nil {
		t.Errorf("back to the copy: %v", err)
	}
	if format, _ := metaOf(t, path); format != 1 {
		t.Errorf("the copy is of format %d", format)
	}
}

// Wherever it dies, the file is of the old format or of the new one, and there is a copy of the old one before anything changed.
func TestMigrate_DiesAtAnyPoint(t *testing.T) {
	for point, want := range map[string]int{"migration-copied": 1, "migration-begun": 1, "migration-uncommitted": 1, "migration-done": 2} {
		t.Run(point, func(t *testing.T) {
			dir, before := formatOne(t, nil)
			path := filepath.Join(dir, fileName)
			killed(t, "migrate", dir, point)
			if format, _ := metaOf(t, path); format != want {
				t.Errorf("format %d", format)
			}
			if kept, err := os.ReadFile(path + ".format-1"); err != nil || !bytes.Equal(kept, before) {
				t.Errorf("the copy differs from the file as it was: %v", err)
			}
			if out, err := child(t, "migrate", dir, ""); err != nil {
				t.Fatal(err, out)
			}
			s := open(t, dir, Options{})
			if records, _ := s.List(); len(records) != recordsOfFormatOne || len(s.Quarantined()) > 0 {
				t.Errorf("once more: %d records, %v", len(records), s.Quarantined())
			}
			if kept, err := os.ReadFile(path + ".format-1"); err != nil || !bytes.Equal(kept, before) {
				t.Errorf("once more: the copy differs from the file as it was: %v", err)
			}
		})
	}
}

package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestMigrations_LeadToThisFormat(t *testing.T) {
	if got := formatAfter(migrations()); got != Format {
		t.Errorf("the migrations lead to format %d, and this is %d", got, Format)
	}
}

// metaOf reads a closed file's format and what toTwo writes.
func metaOf(t *testing.T, path string) (format int, second, instance string) {
	t.Helper()
	err := look(path, func(tx *bolt.Tx) error {
		var err error
		format, err = formatIn(tx)
		second, instance = string(tx.Bucket(bucketMeta).Get([]byte("second"))), string(tx.Bucket(bucketMeta).Get([]byte("instance")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return format, second, instance
}

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	declare(t, s, Declaration{Name: "web", Change: running})
	instance, revision := s.Instance(), s.Revision()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("it does not work")
	if _, err := Open(dir, Options{migrations: []migration{toTwo, func(*bolt.Tx) error { return failure }}}); !errors.Is(err, failure) {
		t.Fatalf("a migration failed, and Open says %v", err)
	}
	if format, second, _ := metaOf(t, filepath.Join(dir, fileName)); format != 1 || second != "" {
		t.Errorf("format %d, %q after a migration that failed", format, second)
	}
	s, err := Open(dir, Options{migrations: []migration{toTwo, func(*bolt.Tx) error { return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	if records, now := s.List(); len(records) != 1 || now != revision || s.Instance() != "two-"+instance {
		t.Errorf("%v of %d, %s", recordNames(records), now, s.Instance())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if format, second, _ := metaOf(t, filepath.Join(dir, fileName)); format != 3 || second != "here" {
		t.Errorf("format %d, %q", format, second)
	}
	copied := filepath.Join(dir, fileName+".format-1")
	if format, second, as := metaOf(t, copied); format != 1 || second != "" || as != instance {
		t.Errorf("the copy: format %d, %q, %s", format, second, as)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("by the older version: %v", err)
	}
	if _, _, err := Restore(dir, copied, Options{}); err != nil {
		t.Errorf("back to the copy: %v", err)
	}
	os.Remove(filepath.Join(dir, fileName))
}

// Wherever it dies, the file is of the old format or of the new one, and there is a copy of the old one before anything changed.
func TestMigrate_DiesAtAnyPoint(t *testing.T) {
	for point, want := range map[string]int{"migration-copied": 1, "migration-begun": 1, "migration-uncommitted": 1, "migration-done": 2} {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			declare(t, s, Declaration{Name: "web", Change: running})
			instance := s.Instance()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			killed(t, "migrate", dir, point)
			format, second, as := metaOf(t, filepath.Join(dir, fileName))
			if format != want || (second == "here") != (want == 2) || (as == instance) != (want == 1) {
				t.Errorf("format %d, %q, %s", format, second, as)
			}
			if format, second, as := metaOf(t, filepath.Join(dir, fileName+".format-1")); format != 1 || second != "" || as != instance {
				t.Errorf("the copy: format %d, %q, %s", format, second, as)
			}
			if out, err := child(t, "migrate", dir, ""); err != nil {
				t.Fatal(err, out)
			}
			if format, _, as := metaOf(t, filepath.Join(dir, fileName)); format != 2 || as != "two-"+instance {
				t.Errorf("once more: format %d, %s", format, as)
			}
			os.Remove(filepath.Join(dir, fileName)) // the tests' own check reads this version's format
		})
	}
}

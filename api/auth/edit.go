package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// ErrNotWritten means that the file is as it was though the request was in order.
var ErrNotWritten = errors.New("the auth file cannot be written")

// Create makes a token for a principal and adds it to the file at path, which is made where it is missing. The token itself
// is returned and kept nowhere. A zero lifetime never ends.
func Create(path, name string, role api.Role, lifetime time.Duration) (token string, made Entry, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	var expires *time.Time
	if lifetime > 0 {
		at := now.Add(lifetime)
		expires = &at
	}
	token, made = newEntry(name, role, now, expires)
	if bad := made.flaws(); len(bad) > 0 {
		return "", Entry{}, errors.New(api.Invalid(bad...).Message)
	}
	err = edit(path, func(entries []Entry) ([]Entry, error) {
		entries = append(entries, made)
		if len(flaws(entries)) > 0 { // the file is whole, so it is the id, by the rarest of chances
			return nil, fmt.Errorf("the id %s is taken; try again", made.ID)
		}
		return entries, nil
	})
	return token, made, err
}

// Revoke takes the tokens with these ids out of the file at path, all of them or, where one is not there, none.
func Revoke(path string, ids ...string) error {
	return edit(path, func(entries []Entry) ([]Entry, error) {
		for _, id := range ids {
			at := slices.IndexFunc(entries, func(e Entry) bool { return e.ID == id })
			if at < 0 {
				return nil, fmt.Errorf("no token has the id %q: %s", id, known(entries))
			}
			entries = slices.Delete(entries, at, at+1)
		}
		return entries, nil
	})
}

func known(entries []Entry) string {
	if len(entries) == 0 {
		return "the file has no tokens"
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.ID + " (" + e.Name + ")"
	}
	return "the file has " + strings.Join(list, ", ")
}

// edit replaces the file by what change makes of it. Whoever edits holds the folder's lock from the reading to the replacing.
func edit(path string, change func([]Entry) ([]Entry, error)) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link to it stays one
	}
	folder, err := lock(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("%w: lock its folder: %w", ErrNotWritten, err)
	}
	defer folder.Close() // ends the lock
	entries, err := Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if entries, err = change(entries); err != nil {
		return err
	}
	if err := replace(folder, path, entries); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotWritten, path, err)
	}
	return nil
}

// lock waits for the folder: the file itself cannot carry the lock, because it is another one after each edit.
func lock(folder string) (*os.File, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
	}
}

// replace leaves either the old file or the new one, whole, whenever the machine stops.
func replace(folder *os.File, path string, entries []Entry) error {
	data, err := json.MarshalIndent(document{entries}, "", "  ")
	if err != nil {
		return err
	}
	if len(data) >= maxFileBytes {
		return fmt.Errorf("%d tokens are too many for one file; revoke some", len(entries))
	}
	temporary, err := os.CreateTemp(folder.Name(), "."+filepath.Base(path)+".*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // gone already, unless something failed
	_, err = temporary.Write(append(data, '\n'))
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return folder.Sync()
}

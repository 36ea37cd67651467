package code

import (
	"cmp"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

var (
	// ErrChanged means that the tree changed while it was copied; taking it again may work.
	ErrChanged = errors.New("the tree changed while it was copied")
	// ErrDamaged means that a snapshot is not what its digest says; taking the same tree again makes it anew.
	ErrDamaged = errors.New("the snapshot is damaged")
	// ErrAbsent means that there is no snapshot of that digest.
	ErrAbsent = errors.New("no such snapshot")
)

// shown is how a client sees the path of an entry.
func shown(entry string) string { return cmp.Or(entry, ".") }

// refused is what a client is told of a tree that cannot be taken as it is; entry is to blame.
func refused(entry, format string, args ...any) error {
	return api.Errorf(api.ValidationError, format, args...).With("entry", shown(entry))
}

func changed(entry string) error {
	return api.Errorf(api.ConflictError, "%q changed while the code was copied: let nothing write to the code, then try again", shown(entry)).
		With("entry", shown(entry)).Because(ErrChanged)
}

// unopened is an entry that cannot be looked at or opened. Where it is no longer what it was a moment ago, it changed.
func unopened(entry string, err error) error {
	for _, gone := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENXIO} {
		if errors.Is(err, gone) {
			return changed(entry)
		}
	}
	return unreadable(entry, err)
}

// unreadable is an entry that cannot be read.
func unreadable(entry string, err error) error {
	e := api.Errorf(api.SystemError, "%q cannot be read: see on the manager's host what is wrong with it, then try again", shown(entry))
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		e = api.Errorf(api.ValidationError, "%q may not be read by the manager: give its user the permission", shown(entry))
	}
	return e.With("entry", shown(entry)).Because(err)
}

// unwritable is a snapshot that cannot be written.
func unwritable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return api.Errorf(api.SystemError, "no space is left for the code in the manager's data directory: free some there, or leave out what the flow does not need").Because(err)
	}
	return api.Errorf(api.SystemError, "the code cannot be written to the manager's data directory: the manager's log says why").Because(err)
}

func damaged(digest string, found error) error {
	return api.Errorf(api.SystemError, "the manager's copy %s of the code is damaged: update the container with the same code again", digest).
		Because(fmt.Errorf("%w: %w", ErrDamaged, found))
}

func absent(digest string) error {
	return api.Errorf(api.SystemError, "the manager's copy %s of the code is not there: update the container with its code again", digest).Because(ErrAbsent)
}

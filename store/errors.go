package store

import "errors"

// Errors of Open.
var (
	// ErrInUse means that another process has the file.
	ErrInUse = errors.New("the data directory is in use by another process")
	// ErrNewerFormat means that a newer version of this program wrote the file.
	ErrNewerFormat = errors.New("the store was written by a newer version")
	// ErrDamaged means that the file cannot be read as a store.
	ErrDamaged = errors.New("the store is damaged")
	// errNotRegular means that a folder, a FIFO or a device was named where a file is to be.
	errNotRegular = errors.New("it is no regular file")
)

// Errors of a running store.
var (
	// ErrNotWritable means that a commit did not work; what it was about is as it was, or nobody can say.
	ErrNotWritable = errors.New("the store cannot be written")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrNotFound means that there is no container of that id.
	ErrNotFound = errors.New("no such container")
	// ErrExpired means that a watch asked for changes that are no longer kept.
	ErrExpired = errors.New("the changes asked for are no longer kept")
)

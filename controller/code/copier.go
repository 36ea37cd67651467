package code

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

const syncers = 16

// copier writes the entries that it is told of below a folder of ours, which nobody else writes to.
type copier struct {
	to      string
	reserve func(e entry) error // room for what is about to be written
	digest  digester
	reader  *reader
	entries []entry
}

func (c *copier) visit(ctx context.Context, in folder, e entry) error {
	if err := c.reserve(e); err != nil {
		return err
	}
	var sum []byte
	var err error
	to := filepath.Join(c.to, e.path)
	switch e.kind {
	case kindFolder:
		err = unwritable(mkdir(to))
	case kindLink:
		err = unwritable(os.Symlink(e.target, to))
	default:
		sum, err = c.file(ctx, in, e, to)
	}
	if err != nil {
		return err
	}
	c.digest.add(e, sum)
	c.entries = append(c.entries, e)
	return nil
}

// mkdir gives the folder its mode whatever the umask is.
func mkdir(path string) error {
	mode := os.FileMode(kindFolder.mode()).Perm()
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// file copies one file and returns the sum of its contents.
func (c *copier) file(ctx context.Context, in folder, e entry, to string) ([]byte, error) {
	from, err := in.open(e)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	mode := os.FileMode(e.kind.mode()).Perm()
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, unwritable(err)
	}
	sum, err := c.reader.read(ctx, from, e, file)
	if err == nil {
		err = unwritable(file.Chmod(mode)) // whatever the umask is
	}
	return sum, errors.Join(err, unwritable(file.Close()))
}

// sync makes all of the copy durable. A journal commits together what is synced at once: 10,000 files one by one took 3.7 s
// here, 16 at a time 0.8 s. (syncfs would take less, but it waits for what everybody else has written, and for no context.)
func (c *copier) sync(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(syncers)
	for _, e := range c.entries {
		if e.kind == kindLink {
			continue // it is in its folder
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("sync the code: %w", err)
			}
			return unwritable(syncFile(filepath.Join(c.to, e.path)))
		})
	}
	return group.Wait()
}

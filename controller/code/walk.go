package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// listBatch is how many names are read before they are counted.
const listBatch = 1000

// walker goes through a tree in the order of the digest and tells visit of each entry, with the folder that it is in.
type walker struct {
	meter
	visit func(ctx context.Context, in folder, e entry) error
}

// walk visits root and all that is below it.
func (w *walker) walk(ctx context.Context, root folder) error {
	s, err := root.stat()
	if err != nil {
		return unreadable("", err)
	}
	e := entry{kind: kindFolder, stamp: s}
	if err := w.visit(ctx, root, e); err != nil {
		return err
	}
	return w.inside(ctx, root, "", 1)
}

// inside visits what is in f, which lies at path; depth is that of what is in it.
func (w *walker) inside(ctx context.Context, f folder, at string, depth int) error {
	names, err := w.names(f, at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the code: %w", err)
		}
		if err := w.step(ctx, f, at, name, depth); err != nil {
			return err
		}
	}
	return nil
}

// names lists f in the order of the names' bytes. They are counted while they are read.
func (w *walker) names(f folder, at string) ([]string, error) {
	var all []string
	for {
		batch, err := f.Readdirnames(listBatch)
		if errors.Is(err, io.EOF) {
			slices.Sort(all)
			return all, nil
		}
		if err != nil {
			return nil, unreadable(at, err)
		}
		if err := w.list(at, len(batch)); err != nil {
			return nil, err
		}
		all = append(all, batch...)
	}
}

func (w *walker) step(ctx context.Context, in folder, at, name string, depth int) error {
	e, err := w.find(in, path.Join(at, name), name, depth)
	if err != nil {
		return err
	}
	if err := w.visit(ctx, in, e); err != nil {
		return err
	}
	if e.kind != kindFolder {
		return nil
	}
	file, err := in.open(e)
	if err != nil {
		return err
	}
	defer file.Close()
	return w.inside(ctx, folder{file}, e.path, depth+1)
}

// find looks at an entry and judges it.
func (w *walker) find(in folder, path, name string, depth int) (entry, error) {
	if err := w.place(path, name, depth); err != nil {
		return entry{}, err
	}
	s, target, err := in.look(name)
	if err != nil {
		return entry{}, unopened(path, err)
	}
	e, err := newEntry(path, s, target)
	if err != nil {
		return entry{}, err
	}
	return e, w.measure(e)
}

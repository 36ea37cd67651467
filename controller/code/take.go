package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Take copies the folder at path, which must be absolute and free of links, into a snapshot, and returns its digest. A tree
// that has a sound snapshot gets no second one. Collect spares the snapshot until release is called, which is to be done
// once a link points at it or what Collect's keep returns has it. An error is an *api.Error, or the context's; nothing
// is left of the copy then, or, where the last sync of all failed, a whole snapshot that Collect removes.
func (s *Snapshots) Take(ctx context.Context, path string) (digest string, release func(), err error) {
	root, err := openTree(path)
	if err != nil {
		return "", nil, err
	}
	defer root.Close()
	partial := s.fresh(partialFolder, "")
	defer os.RemoveAll(partial) // if it was published it is not there, and what cannot be removed now the next Open removes
	if digest, err = s.copy(ctx, root, partial); err != nil {
		return "", nil, err
	}
	release = s.hold(digest)
	if err := s.publish(ctx, partial, digest); err != nil {
		release()
		return "", nil, err
	}
	return digest, release, nil
}

// copy makes a synced copy of root at to and returns its digest.
func (s *Snapshots) copy(ctx context.Context, root folder, to string) (string, error) {
	c := copier{to: to, digest: newDigester(), reader: newReader()}
	w := walker{meter: meter{limits: s.limits}, visit: c.visit}
	if err := w.walk(ctx, root); err != nil {
		return "", err
	}
	if err := judgeLinks(ctx, c.entries); err != nil {
		return "", err
	}
	if err := s.unchanged(ctx, root, c.entries); err != nil {
		return "", err
	}
	return c.digest.String(), c.sync(ctx)
}

// unchanged goes through root once more. Between the two walks, all of it was as it was copied.
func (s *Snapshots) unchanged(ctx context.Context, root folder, copied []entry) error {
	if _, err := root.Seek(0, io.SeekStart); err != nil {
		return unreadable("", err)
	}
	left := copied
	w := walker{meter: meter{limits: s.limits}, visit: func(_ context.Context, _ folder, e entry) error {
		if len(left) == 0 || left[0] != e {
			return changed(differing(copied, left, e))
		}
		left = left[1:]
		return nil
	}}
	if err := w.walk(ctx, root); err != nil {
		return err
	}
	if len(left) > 0 {
		return changed(left[0].path)
	}
	return nil
}

// differing names what was added, removed or changed where e was found in the place of the first of left.
func differing(copied, left []entry, e entry) string {
	isNew := !slices.ContainsFunc(copied, func(c entry) bool { return c.path == e.path })
	if len(left) == 0 || isNew {
		return e.path
	}
	return left[0].path
}

// publish gives partial its name, or finds that a sound snapshot has it. One that is damaged is set aside.
func (s *Snapshots) publish(ctx context.Context, partial, digest string) error {
	var damaged fs.FileInfo
	for {
		standing, err := s.settle(partial, digest, damaged)
		if err != nil {
			return unwritable(err)
		}
		if standing == nil {
			break
		}
		if err = s.Verify(ctx, digest); err == nil {
			break
		}
		if !errors.Is(err, ErrDamaged) {
			return err
		}
		damaged = standing
	}
	return unwritable(syncFile(s.dir))
}

// settle renames partial unless a snapshot stands there, which it returns. The one that was found damaged makes way, but only
// that: another Take may have replaced it meanwhile.
func (s *Snapshots) settle(partial, digest string, damaged fs.FileInfo) (fs.FileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	standing, err := s.stands(digest)
	if err != nil {
		return nil, err
	}
	if standing != nil && (damaged == nil || !os.SameFile(standing, damaged)) {
		return standing, nil
	}
	if standing != nil {
		if err := os.Rename(s.in(digest), s.fresh(damagedFolder, digest+"-")); err != nil {
			return nil, fmt.Errorf("set the damaged snapshot aside: %w", err)
		}
	}
	return nil, os.Rename(partial, s.in(digest))
}

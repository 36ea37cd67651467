package code

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	partial := s.fresh(partialFolder)
	if err := s.measure(ctx); err != nil {
		return "", nil, err
	}
	var reserved int64
	defer func() {
		_ = os.RemoveAll(partial) // if it was published it is not there, and what cannot be removed now the next Open removes
		s.giveBack(reserved)
	}()
	if digest, err = s.copy(ctx, root, partial, &reserved); err != nil {
		return "", nil, err
	}
	release = s.hold(digest)
	if err := s.publish(ctx, partial, digest, &reserved); err != nil {
		release()
		return "", nil, err
	}
	return digest, release, nil
}

// copy makes a synced copy of root at to and returns its digest. What it takes is added to reserved.
func (s *Snapshots) copy(ctx context.Context, root folder, to string, reserved *int64) (string, error) {
	c := copier{to: to, digest: newDigester(), reader: newReader(), reserve: func(e entry) error {
		n, err := s.reserve(e)
		*reserved += n
		return err
	}}
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

// publish gives partial its name, and what was reserved for it is its own then, or finds that a sound snapshot has the name. One that
// is damaged is set aside.
func (s *Snapshots) publish(ctx context.Context, partial, digest string, reserved *int64) error {
	var damaged fs.FileInfo
	for {
		standing, err := s.settle(partial, digest, damaged, reserved)
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
func (s *Snapshots) settle(partial, digest string, damaged fs.FileInfo, reserved *int64) (fs.FileInfo, error) {
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
		aside := filepath.Join(damagedFolder, digest+"-"+rand.Text())
		if err := os.Rename(s.in(digest), s.in(aside)); err != nil {
			return nil, fmt.Errorf("set the damaged snapshot aside: %w", err)
		}
		s.room.standLocked(aside, s.room.leaveLocked(digest))
	}
	if err := os.Rename(partial, s.in(digest)); err != nil {
		return nil, err
	}
	s.room.taken -= *reserved
	s.room.standLocked(digest, *reserved)
	*reserved = 0
	return nil, nil
}

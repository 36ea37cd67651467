package code

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Collect removes the snapshots that no link leads to, that are not held since they were taken, and that are not in what keep
// returns. It returns the digests of those that are gone, also beside an error.
//
// keep is called once, while nothing can be taken, linked or released, so it sees every digest that was recorded before its
// release. It must be short and must not call the Snapshots. While a link cannot be understood nothing is removed.
func (s *Snapshots) Collect(ctx context.Context, keep func() map[string]bool) (removed []string, err error) {
	if removed, err = s.discard(keep); err != nil {
		return removed, err
	}
	if err := syncFile(s.dir); err != nil { // so that no crash brings one back with half of what it had
		return removed, err
	}
	return removed, empty(ctx, s.in(removedFolder))
}

// discard renames what is not used, the damaged ones of a digest with it.
func (s *Snapshots) discard(keep func() map[string]bool) (removed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	linked, err := s.linked()
	if err != nil {
		return nil, err
	}
	kept := keep()
	used := func(digest string) bool { return linked[digest] || kept[digest] || s.held[digest] > 0 }
	if removed, err = s.discardFrom("", used); err != nil {
		return removed, err
	}
	_, err = s.discardFrom(damagedFolder, used)
	return removed, err
}

// linked are the digests that links lead to.
func (s *Snapshots) linked() (map[string]bool, error) {
	links, err := os.ReadDir(s.in(linksFolder))
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	linked := map[string]bool{}
	for _, l := range links {
		digest, err := s.leads(l.Name())
		if err != nil {
			return nil, err
		}
		linked[digest] = true
	}
	return linked, nil
}

// digestIn is the digest that a name begins with, of a snapshot or of one that was set aside.
func digestIn(name string) string {
	digest, _, _ := strings.Cut(name, "-")
	return digest
}

// discardFrom renames what is not used of the snapshots in a folder.
func (s *Snapshots) discardFrom(folder string, used func(digest string) bool) (removed []string, err error) {
	entries, err := os.ReadDir(s.in(folder))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, e := range entries {
		digest := digestIn(e.Name())
		if !isDigest(digest) || used(digest) {
			continue
		}
		if err := os.Rename(s.in(folder, e.Name()), s.fresh(removedFolder)); err != nil {
			return removed, fmt.Errorf("remove a snapshot: %w", err)
		}
		s.room.leaveLocked(filepath.Join(folder, e.Name()))
		removed = append(removed, digest)
	}
	return removed, nil
}

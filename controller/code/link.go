package code

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flow-manager/flow-manager/api"
)

const maxName = 64

// isName tells whether name may name a link: ids and create tokens do. No such name can lead out of a folder.
func isName(name string) bool {
	return name != "" && len(name) <= maxName && strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// LinkPath is the source of the mount of name's code, an absolute path; the engine finds out at every start where it leads.
// It is empty where name cannot name a link.
func (s *Snapshots) LinkPath(name string) string {
	if !isName(name) {
		return ""
	}
	return s.in(linksFolder, name)
}

// Link makes name's link lead to the snapshot of digest, at once and whatever it led to before. The snapshot must be there.
func (s *Snapshots) Link(name, digest string) error {
	if !isName(name) {
		return api.Errorf(api.ValidationError, "%q cannot name a link to code: take a container's id or create token", name)
	}
	if err := s.swap(name, digest); err != nil {
		return err
	}
	return syncFile(s.in(linksFolder))
}

func (s *Snapshots) swap(name, digest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isDigest(digest) {
		return absent(digest)
	}
	standing, err := s.stands(digest)
	if err != nil {
		return err
	}
	if standing == nil {
		return absent(digest)
	}
	temporary := s.fresh(partialFolder)
	if err := os.Symlink(filepath.Join("..", digest), temporary); err != nil {
		return unwritable(err)
	}
	if err := os.Rename(temporary, s.in(linksFolder, name)); err != nil {
		return errors.Join(unwritable(err), os.Remove(temporary))
	}
	return nil
}

// Linked tells which snapshot name's link leads to. One that is missing, unreadable, or not as Link makes it leads to none:
// linking it again mends it.
func (s *Snapshots) Linked(name string) (digest string, ok bool) {
	if !isName(name) {
		return "", false
	}
	digest, err := s.leads(name)
	return digest, err == nil
}

// leads reads the link called name.
func (s *Snapshots) leads(name string) (digest string, err error) {
	target, err := os.Readlink(s.in(linksFolder, name))
	if err != nil {
		return "", fmt.Errorf("read the link of %s: %w", name, err)
	}
	digest, found := strings.CutPrefix(target, "../")
	if !found || !isDigest(digest) {
		return "", fmt.Errorf("the link of %s leads to %q, which is no snapshot", name, target)
	}
	return digest, nil
}

// Unlink takes name's link away; that it is not there is no error.
func (s *Snapshots) Unlink(name string) error {
	if !isName(name) {
		return nil
	}
	if err := s.drop(name); err != nil {
		return err
	}
	return syncFile(s.in(linksFolder))
}

func (s *Snapshots) drop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Remove(s.in(linksFolder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the link of %s: %w", name, err)
	}
	return nil
}

// Links are the names that have a link.
func (s *Snapshots) Links() ([]string, error) {
	entries, err := os.ReadDir(s.in(linksFolder))
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

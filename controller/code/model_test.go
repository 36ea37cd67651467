package code

import (
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyTree has up to twelve entries, in folders of its own. Its links stay inside.
func anyTree(t *rapid.T) tree {
	folders, found := []string{""}, tree{}
	for range rapid.IntRange(0, 12).Draw(t, "entries") {
		at := path.Join(rapid.SampledFrom(folders).Draw(t, "in"), anyName(t))
		if _, taken := found[at]; taken {
			continue
		}
		found[at] = anyThing(t)
		if found[at].kind == kindFolder {
			folders = append(folders, at)
		}
	}
	return found
}

func anyName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "a b", "-", "..x", "\n", "\xff", "ä", "a-", "A"}).Draw(t, "name")
}

func anyThing(t *rapid.T) thing {
	switch kind := rapid.SampledFrom([]kind{kindFile, kindProgram, kindFolder, kindLink}).Draw(t, "kind"); kind {
	case kindFolder:
		return dir()
	case kindLink:
		return link(rapid.SampledFrom([]string{".", "none", "./none", "none/x"}).Draw(t, "target"))
	default:
		return thing{kind, rapid.SampledFrom([]string{"", "x", "y", "xy", "\x00", ".", "none"}).Draw(t, "text")}
	}
}

// anyEdit is from with a thing added, removed, replaced or renamed; or nothing at all.
func anyEdit(t *rapid.T, from tree) tree {
	to := maps.Clone(from)
	var leaves []string
	for _, p := range from.paths() {
		if from[p].kind != kindFolder || !from.hasBelow(p) {
			leaves = append(leaves, p)
		}
	}
	if len(leaves) == 0 {
		return to
	}
	at := rapid.SampledFrom(leaves).Draw(t, "at")
	switch rapid.SampledFrom([]string{"replace", "remove", "rename", "nothing"}).Draw(t, "edit") {
	case "replace":
		to[at] = anyThing(t)
	case "remove":
		delete(to, at)
	case "rename":
		if name := path.Join(path.Dir(at), anyName(t)); !to.has(name) {
			delete(to, at)
			to[name] = from[at]
		}
	}
	return to
}

func (t tree) has(p string) bool { _, ok := t[p]; return ok }

func (t tree) hasBelow(p string) bool {
	for other := range t {
		if strings.HasPrefix(other, p+"/") {
			return true
		}
	}
	return false
}

// noise changes what a digest is not of.
func noise(t testing.TB, root string, of tree) {
	t.Helper()
	for _, p := range of.paths() {
		if of[p].kind == kindLink {
			continue
		}
		must(t, os.Chmod(filepath.Join(root, p), os.FileMode(of[p].kind.mode())&0o700|0o400))
		must(t, os.Chtimes(filepath.Join(root, p), time.Time{}, time.Unix(int64(len(p)), 0)))
	}
}

// Two trees have the same digest if and only if they are the same in names, kinds and contents, and it is the digest that
// doc.go describes.
func TestSnapshots_Take_Digests(t *testing.T) {
	s := fresh(t, Limits{})
	rapid.Check(t, func(r *rapid.T) {
		one := anyTree(r)
		two := anyEdit(r, one)
		first, second := grow(t, one), grow(t, two)
		noise(t, second, two)
		a, b := take(t, s, first), take(t, s, second)
		if (a == b) != maps.Equal(one, two) {
			r.Errorf("%q and %q have digests %s and %s", one, two, a, b)
		}
		if a != one.digest() || b != two.digest() {
			r.Errorf("%q and %q have digests %s and %s, but want %s and %s", one, two, a, b, one.digest(), two.digest())
		}
		must(t, errors.Join(os.RemoveAll(first), os.RemoveAll(second)))
	})
}

// A snapshot is sound if and only if the tree that was taken stands there.
func TestSnapshots_Verify_AnyOther(t *testing.T) {
	s := fresh(t, Limits{})
	rapid.Check(t, func(r *rapid.T) {
		one := anyTree(r)
		two := anyEdit(r, one)
		first := grow(t, one)
		digest := take(t, s, first)
		must(t, os.RemoveAll(s.in(digest)))
		second := grow(t, two)
		must(t, errors.Join(os.Chmod(second, 0o755), os.Rename(second, s.in(digest))))
		err := s.Verify(t.Context(), digest)
		if same := maps.Equal(one, two); same && err != nil || !same && !errors.Is(err, ErrDamaged) {
			r.Errorf("%q in the place of %q: %v", two, one, err)
		}
		must(t, errors.Join(os.RemoveAll(first), os.RemoveAll(s.in(digest))))
	})
}

package code

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/flow-manager/flow-manager/api"
)

func TestMain(m *testing.M) {
	if actor := os.Getenv("CODE_TEST_ACTOR"); actor != "" {
		os.Exit(act(actor))
	}
	goleak.VerifyTestMain(m)
}

// thing is a file, program, folder or link of a tree, or a kind that is not to be taken.
type thing struct {
	kind kind
	text string // contents or target
}

// tree is what a folder holds, by path.
type tree map[string]thing

func dir() thing                 { return thing{kind: kindFolder} }
func file(contents string) thing { return thing{kindFile, contents} }
func program(text string) thing  { return thing{kindProgram, text} }
func link(target string) thing   { return thing{kindLink, target} }
func (t tree) paths() []string   { return slices.SortedFunc(maps.Keys(t), byNames) }
func byNames(a, b string) int    { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) }
func (t tree) with(p string, x thing) tree {
	t = maps.Clone(t)
	t[p] = x
	return t
}

// sample has one of each kind.
func sample() tree {
	return tree{
		"a.txt": file("first"), "bin": dir(), "bin/run": program("#!/bin/sh\n"), "bin/self": link("../bin/run"),
		"empty": dir(), "lib": dir(), "lib/deep": dir(), "lib/deep/b.txt": file("second"), "lib/up": link(".."), "z": file(""),
	}
}

// digest follows the description of the digest in doc.go, and nothing else.
func (t tree) digest() string {
	sum := sha256.New()
	field := func(value []byte) {
		_ = binary.Write(sum, binary.BigEndian, int64(len(value)))
		sum.Write(value)
	}
	sum.Write([]byte("flow-manager code snapshot 1\nd"))
	field(nil)
	field(nil)
	for _, p := range t.paths() {
		x := t[p]
		sum.Write([]byte{byte(x.kind)})
		field([]byte(p))
		switch x.kind {
		case kindFolder:
			field(nil)
		case kindLink:
			field([]byte(x.text))
		default:
			contents := sha256.Sum256([]byte(x.text))
			field(contents[:])
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// grow makes t in a folder of its own and returns that.
func grow(t testing.TB, from tree) string {
	t.Helper()
	root := scratch(t)
	for _, p := range from.paths() {
		plant(t, filepath.Join(root, p), from[p])
	}
	return root
}

// plant makes one thing.
func plant(t testing.TB, at string, x thing) {
	t.Helper()
	var err error
	switch x.kind {
	case kindFolder:
		err = os.Mkdir(at, 0o755)
	case kindLink:
		err = os.Symlink(x.text, at)
	default:
		err = os.WriteFile(at, []byte(x.text), os.FileMode(x.kind.mode()).Perm())
	}
	must(t, err)
}

// scratch is a new folder whose path has no link in it; in memory where that can be had, for most tests sync a lot. What a test
// puts beside it is removed with it.
func scratch(t testing.TB) string {
	t.Helper()
	above, err := os.MkdirTemp("/dev/shm", "code-test-")
	if err != nil {
		above, err = filepath.EvalSymlinks(t.TempDir())
	}
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(above)) })
	must(t, os.Chmod(above, 0o711))
	path := filepath.Join(above, "scratch")
	must(t, os.Mkdir(path, 0o700))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, limits Limits) *Snapshots {
	t.Helper()
	s, err := Open(context.Background(), dir, limits)
	must(t, err)
	return s
}

// fresh is a new set of snapshots. When the test ends nothing may be half made or half removed.
func fresh(t testing.TB, limits Limits) *Snapshots {
	t.Helper()
	s := open(t, filepath.Join(scratch(t), "code"), limits)
	t.Cleanup(func() { tidy(t, s) })
	return s
}

func tidy(t testing.TB, s *Snapshots) {
	t.Helper()
	for _, folder := range []string{partialFolder, removedFolder} {
		if left := list(t, s.in(folder)); len(left) > 0 {
			t.Errorf("left over in %s: %q", folder, left)
		}
	}
}

func list(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// digests are the snapshots that there are.
func digests(t testing.TB, s *Snapshots) []string {
	t.Helper()
	return slices.DeleteFunc(list(t, s.dir), func(name string) bool { return !isDigest(name) })
}

// take takes a tree that can be taken, and releases it.
func take(t testing.TB, s *Snapshots, path string) string {
	t.Helper()
	digest, release, err := s.Take(t.Context(), path)
	must(t, err)
	release()
	return digest
}

// refuses fails the test unless Take gives an error of that type whose message has all of words, and leaves nothing.
func refuses(t testing.TB, s *Snapshots, path string, want api.ErrorType, words ...string) *api.Error {
	t.Helper()
	before := digests(t, s)
	_, _, err := s.Take(t.Context(), path)
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Type != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("the message lacks %q: %s", w, e.Message)
		}
	}
	if after := digests(t, s); !slices.Equal(before, after) {
		t.Errorf("snapshots left over: %q", after)
	}
	tidy(t, s)
	return e
}

// read is the tree below root, as it stands.
func read(t testing.TB, root string) tree {
	t.Helper()
	found := tree{}
	var inside func(at string)
	inside = func(at string) {
		for _, name := range list(t, filepath.Join(root, at)) {
			p := path.Join(at, name)
			found[p] = look(t, filepath.Join(root, p))
			if found[p].kind == kindFolder {
				inside(p)
			}
		}
	}
	inside("")
	return found
}

func look(t testing.TB, at string) thing {
	t.Helper()
	info, err := os.Lstat(at)
	must(t, err)
	switch mode := info.Mode(); {
	case mode.IsDir():
		return dir()
	case mode&os.ModeSymlink != 0:
		target, err := os.Readlink(at)
		must(t, err)
		return link(target)
	case mode.IsRegular():
		contents, err := os.ReadFile(at)
		must(t, err)
		if mode&0o100 != 0 {
			return program(string(contents))
		}
		return file(string(contents))
	}
	return thing{} // of no snapshot
}

// damage flips one bit of a file.
func damage(t testing.TB, at string, bit int) {
	t.Helper()
	contents, err := os.ReadFile(at)
	must(t, err)
	contents = bytes.Clone(contents)
	contents[bit/8] ^= 1 << (bit % 8)
	must(t, os.WriteFile(at, contents, 0))
}

package code

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

const flow = "c0ffee00000000000000"

func TestSnapshots_Link(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		s := fresh(t, Limits{})
		first, second := take(t, s, grow(t, sample())), take(t, s, grow(t, tree{"a": file("x")}))
		for _, digest := range []string{first, second, second, first} {
			must(t, s.Link(flow, digest))
			if got, ok := s.Linked(flow); got != digest || !ok {
				t.Errorf("linked to %s, %v; want %s", got, ok, digest)
			}
			real, err := filepath.EvalSymlinks(s.LinkPath(flow))
			if err != nil || real != s.in(digest) {
				t.Errorf("the link leads to %s, %v", real, err)
			}
		}
		if again := open(t, s.dir, Limits{}); again.LinkPath(flow) != s.LinkPath(flow) || !filepath.IsAbs(s.LinkPath(flow)) {
			t.Errorf("the link's path is %s", s.LinkPath(flow))
		}
	})
	t.Run("OK/RelativeFolder", func(t *testing.T) {
		t.Chdir(scratch(t))
		s := open(t, "code", Limits{})
		if path := s.LinkPath(flow); !filepath.IsAbs(path) {
			t.Errorf("the link's path is %s", path)
		}
	})
	t.Run("OK/OverWhateverStandsThere", func(t *testing.T) {
		s := fresh(t, Limits{})
		digest := take(t, s, grow(t, sample()))
		for _, target := range []string{"/etc", "../none", "..", ".." + "/" + strings.Repeat("0", 64)} {
			_ = os.Remove(s.in(linksFolder, flow))
			must(t, os.Symlink(target, s.in(linksFolder, flow)))
			must(t, s.Link(flow, digest))
			if got, _ := s.Linked(flow); got != digest {
				t.Errorf("over a link to %s: linked to %q", target, got)
			}
		}
	})
	t.Run("OK/Unlink", func(t *testing.T) {
		s := fresh(t, Limits{})
		must(t, s.Link(flow, take(t, s, grow(t, sample()))))
		for range 2 {
			must(t, s.Unlink(flow))
			if digest, ok := s.Linked(flow); ok {
				t.Errorf("still linked to %s", digest)
			}
		}
	})
	t.Run("ErrAbsent", func(t *testing.T) {
		s := fresh(t, Limits{})
		for _, digest := range []string{"", "..", "links", strings.Repeat("0", 64), strings.Repeat("0", 63) + "G", "../../" + strings.Repeat("0", 64)} {
			if err := s.Link(flow, digest); !errors.Is(err, ErrAbsent) {
				t.Errorf("link to %q: %v", digest, err)
			}
			if err := s.Verify(t.Context(), digest); !errors.Is(err, ErrAbsent) {
				t.Errorf("verify %q: %v", digest, err)
			}
		}
	})
	t.Run("ErrName", func(t *testing.T) {
		s := fresh(t, Limits{})
		digest := take(t, s, grow(t, sample()))
		must(t, s.Link(flow, digest))
		for _, name := range []string{"", ".", "..", "../links/" + flow, "../x", "a/b", "a b", "A", strings.Repeat("a", 65), "a\x00"} {
			err := s.Link(name, digest)
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Type != api.ValidationError {
				t.Errorf("link %q: %v", name, err)
			}
			if got, ok := s.Linked(name); ok || s.LinkPath(name) != "" || s.Unlink(name) != nil {
				t.Errorf("%q is linked to %q at %q", name, got, s.LinkPath(name))
			}
		}
		must(t, s.Link(strings.Repeat("a", 64), digest))
	})
}

func TestSnapshots_Linked(t *testing.T) {
	s := fresh(t, Limits{})
	for name, plantAt := range map[string]func(at string) error{
		"none":    func(string) error { return nil },
		"foreign": func(at string) error { return os.Symlink("/etc", at) },
		"below":   func(at string) error { return os.Symlink("../"+strings.Repeat("0", 64)+"/lib", at) },
		"sibling": func(at string) error { return os.Symlink(strings.Repeat("0", 64), at) },
		"file":    func(at string) error { return os.WriteFile(at, nil, 0o600) },
	} {
		must(t, plantAt(s.in(linksFolder, name)))
		if digest, ok := s.Linked(name); ok || digest != "" {
			t.Errorf("%s: linked to %q, %v", name, digest, ok)
		}
	}
}

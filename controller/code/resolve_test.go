package code

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

func TestJudgeLinks(t *testing.T) {
	chain := tree{"l0": link("a")}
	for i := range 1000 {
		chain[fmt.Sprintf("l%d", i+1)] = link(fmt.Sprintf("l%d", i))
	}
	tests := map[string]struct {
		tree tree
		bad  string // the link that is refused
	}{
		"file beside":               {tree{"l": link("a")}, ""},
		"the tree itself":           {tree{"l": link("."), "d": dir(), "d/l": link("..")}, ""},
		"down and up":               {tree{"l": link("d/../a"), "d": dir()}, ""},
		"nothing there":             {tree{"l": link("none/x")}, ""},
		"trailing slash":            {tree{"l": link("d//"), "d": dir()}, ""},
		"through a link":            {tree{"l": link("m/x"), "m": link("d"), "d": dir()}, ""},
		"chain":                     {chain, ""},
		"name that begins with ..":  {tree{"l": link("..a")}, ""},
		"up":                        {tree{"l": link("..")}, "l"},
		"up and back":               {tree{"l": link("../code/a")}, "l"},
		"up behind what is missing": {tree{"l": link("none/../../a")}, "l"},
		"up behind a file":          {tree{"l": link("a/../../a"), "a": file("")}, "l"},
		"absolute":                  {tree{"l": link("/a")}, "l"},
		// As text, a link to p/q/s/../x stays; but s leads to the top, and above that is outside.
		"up behind a link": {tree{"p": dir(), "p/q": dir(), "p/q/s": link("../.."), "l": link("p/q/s/../x")}, "l"},
		"by way of two":    {tree{"p": dir(), "p/s": link(".."), "q": link("p/s"), "r": dir(), "r/l": link("../q/../x")}, "r/l"},
		"itself":           {tree{"l": link("l")}, "l"},
		"circle":           {tree{"l": link("m"), "m": link("n/x"), "n": link("l")}, "l"},
		"below itself":     {tree{"l": link("l/x")}, "l"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := judgeLinks(t.Context(), tt.tree.entries())
			e, refused := errors.AsType[*api.Error](err)
			if !refused {
				e = &api.Error{}
				must(t, err)
			}
			if entry, _ := e.Details["entry"].(string); entry != tt.bad {
				t.Errorf("got %v, want %q refused", err, tt.bad)
			}
		})
	}
}

func (t tree) entries() []entry {
	var all []entry
	for _, p := range t.paths() {
		e := entry{path: p, kind: t[p].kind}
		if e.kind == kindLink {
			e.target = t[p].text
		}
		all = append(all, e)
	}
	return all
}

// The kernel is asked whether a link leads out of a tree. Two links are free, others help them to lead astray.
func FuzzJudgeLinks(f *testing.F) {
	for _, seed := range [][2]string{
		{"../a", "."}, {"up/../..", "../.."}, {"../top/../x", "one"}, {"one/two/back/../../..", "a/.."}, {"/etc", ".//"}, {"two", "one"},
		{"none/../../..", "one/none/../two"}, {"back/../..", "back"}, {"a/..", "..."},
	} {
		f.Add(seed[0], seed[1])
	}
	static := tree{
		"a": file(""), "one": dir(), "one/two": dir(), "one/two/back": link("../.."), "one/up": link(".."), "top": link("."),
		"one/two/three": dir(), "one/two/three/step": link("../../../one"),
	}
	root := grow(f, static)
	top, err := os.Open(root)
	must(f, err)
	f.Cleanup(func() { top.Close() })
	f.Fuzz(func(t *testing.T, first, second string) {
		free := map[string]string{"one/two/first": first, "second": second}
		all := static
		for at, target := range free {
			_ = os.Remove(filepath.Join(root, at))
			if os.Symlink(target, filepath.Join(root, at)) != nil {
				t.Skip("no target of a link")
			}
			all = all.with(at, link(target))
		}
		judged := judgeLinks(t.Context(), all.entries())
		for at := range free {
			truth := beneath(int(top.Fd()), at)
			if judged == nil && errors.Is(truth, unix.EXDEV) {
				t.Errorf("%q leads out: %q", at, free)
			}
			if judged != nil && truth == nil && beneath(int(top.Fd()), other(at)) == nil {
				t.Errorf("both stay inside, but: %v", judged)
			}
		}
	})
}

func other(at string) string {
	if at == "second" {
		return "one/two/first"
	}
	return "second"
}

// beneath follows the link at to its end, without leaving the folder top.
func beneath(top int, at string) error {
	fd, err := unix.Openat2(top, at, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH})
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// A hostile tree costs no more than its size: every link has a long target, and leads through all others.
func BenchmarkJudgeLinks_Hostile(b *testing.B) {
	hostile := tree{"l000000": link(strings.Repeat("d/../", 200))}
	for i := 1; i < 100_000; i++ {
		hostile[fmt.Sprintf("l%06d", i)] = link(strings.Repeat("d/../", 200) + fmt.Sprintf("l%06d", i-1))
	}
	entries := hostile.entries()
	for b.Loop() {
		must(b, judgeLinks(b.Context(), entries))
	}
}

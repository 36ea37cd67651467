package code

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// collect keeps only those.
func collect(t testing.TB, s *Snapshots, kept ...string) []string {
	t.Helper()
	removed, err := s.Collect(t.Context(), keep(kept...))
	must(t, err)
	return removed
}

func keep(digests ...string) func() map[string]bool {
	return func() map[string]bool {
		kept := map[string]bool{}
		for _, d := range digests {
			kept[d] = true
		}
		return kept
	}
}

func TestSnapshots_Collect(t *testing.T) {
	numbered := func(n int) tree { return tree{"n": file(fmt.Sprint(n))} }
	t.Run("OK", func(t *testing.T) {
		s := fresh(t, Limits{})
		linked, kept, loose := take(t, s, grow(t, numbered(1))), take(t, s, grow(t, numbered(2))), take(t, s, grow(t, numbered(3)))
		held, release, err := s.Take(t.Context(), grow(t, numbered(4)))
		must(t, err)
		must(t, s.Link(flow, linked))
		must(t, os.WriteFile(s.in("foreign"), nil, 0o600))
		if removed := collect(t, s, kept); !slices.Equal(removed, []string{loose}) {
			t.Errorf("removed %q, want %s", removed, loose)
		}
		for _, digest := range []string{linked, kept, held} {
			must(t, s.Verify(t.Context(), digest))
		}
		if err := s.Verify(t.Context(), loose); !errors.Is(err, ErrAbsent) {
			t.Errorf("the removed one: %v", err)
		}
		release()
		release()
		must(t, s.Unlink(flow))
		removed, want := collect(t, s), []string{linked, kept, held}
		slices.Sort(want)
		if !slices.Equal(removed, want) {
			t.Errorf("removed %q, want %q", removed, want)
		}
		if _, err := os.Stat(s.in("foreign")); err != nil {
			t.Error(err)
		}
	})
	t.Run("OK/HeldByEach", func(t *testing.T) {
		s, root := fresh(t, Limits{}), grow(t, sample())
		_, one, err := s.Take(t.Context(), root)
		must(t, err)
		digest, two, err := s.Take(t.Context(), root)
		must(t, err)
		one()
		one() // releases nobody else's
		if removed := collect(t, s); len(removed) > 0 {
			t.Errorf("removed %q, which is held", removed)
		}
		two()
		if removed := collect(t, s); !slices.Equal(removed, []string{digest}) || len(s.held) > 0 {
			t.Errorf("removed %q; still held: %v", removed, s.held)
		}
	})
	// If anything could be released between the look at what is held and keep, a digest recorded just before would be missed.
	t.Run("OK/KeepIsAskedInOneWithTheRest", func(t *testing.T) {
		s := fresh(t, Limits{})
		_, err := s.Collect(t.Context(), func() map[string]bool {
			if s.mu.TryLock() {
				s.mu.Unlock()
				t.Error("a release could come in between")
			}
			return nil
		})
		must(t, err)
	})
	t.Run("OK/AfterADeadOne", func(t *testing.T) {
		s := fresh(t, Limits{})
		must(t, os.MkdirAll(s.in(removedFolder, "left/over"), 0o755))
		collect(t, s)
	})
	t.Run("ErrLink", func(t *testing.T) {
		s := fresh(t, Limits{})
		digest := take(t, s, grow(t, sample()))
		must(t, os.Symlink("../"+digest+"/lib", s.in(linksFolder, "strange")))
		removed, err := s.Collect(t.Context(), keep())
		if err == nil || !strings.Contains(err.Error(), "strange") || len(removed) > 0 {
			t.Errorf("removed %q, %v", removed, err)
		}
		must(t, s.Verify(t.Context(), digest))
	})
	t.Run("ErrCancelled", func(t *testing.T) {
		s := fresh(t, Limits{})
		digest := take(t, s, grow(t, sample()))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		removed, err := s.Collect(ctx, keep())
		if !errors.Is(err, context.Canceled) || !slices.Equal(removed, []string{digest}) {
			t.Errorf("removed %q, %v", removed, err)
		}
		collect(t, s) // goes on where the other was stopped
	})
}

// Whenever snapshots are collected while one is taken, the one that was taken is there, and whole.
func TestSnapshots_Collect_WhileTaking(t *testing.T) {
	root := grow(t, sample())
	for _, stands := range []bool{false, true} {
		for n := 1; ; n++ {
			s := fresh(t, Limits{})
			if stands {
				take(t, s, root)
			}
			h := &hook{Context: t.Context(), at: n, act: func() { collect(t, s) }}
			digest, release, err := s.Take(h, root)
			must(t, err)
			must(t, s.Verify(t.Context(), digest))
			release()
			if h.looks < n {
				break
			}
		}
	}
}

// What nobody holds may be collected before it is linked, and then Link says so: a link never leads to nothing.
func TestSnapshots_Link_WhileCollecting(t *testing.T) {
	s, digest := fresh(t, Limits{}), tree{}.digest()
	done := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if _, err := s.Collect(t.Context(), keep()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	linked := 0
	for range 3000 {
		if err := os.Mkdir(s.in(digest), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
		err := s.Link(flow, digest)
		if err != nil && !errors.Is(err, ErrAbsent) {
			t.Fatal(err)
		}
		if err == nil {
			linked++
			if err := s.Verify(t.Context(), digest); err != nil {
				t.Errorf("linked to what is not there: %v", err)
			}
		}
		must(t, s.Unlink(flow))
	}
	close(done)
	collector.Wait()
	if linked == 0 || linked == 3000 {
		t.Errorf("linked %d times of 3000: nothing was proved", linked)
	}
}

// Flows change their code, come and go, while snapshots are collected all the time.
func TestSnapshots_Concurrently(t *testing.T) {
	const flows, rounds = 4, 12
	roots := []string{grow(t, sample()), grow(t, tree{}), grow(t, tree{"a": file("x")})}
	s := fresh(t, Limits{})
	var records sync.Map // of digests, by flow
	recorded := func() map[string]bool {
		kept := map[string]bool{}
		records.Range(func(_, digest any) bool { kept[digest.(string)] = true; return true })
		return kept
	}
	var group sync.WaitGroup
	for i := range flows {
		group.Go(func() {
			name := fmt.Sprint("flow", i)
			for round := range rounds {
				digest, release, err := s.Take(t.Context(), roots[(i+round)%len(roots)])
				if err != nil {
					t.Error(err)
					return
				}
				records.Store(name, digest)
				release()
				if err := errors.Join(s.Verify(t.Context(), digest), s.Link(name, digest)); err != nil {
					t.Error(err)
				}
				records.Delete(name)
				if linked, _ := s.Linked(name); linked != digest {
					t.Errorf("%s is linked to %s, not %s", name, linked, digest)
				}
				if err := s.Verify(t.Context(), digest); err != nil {
					t.Error(err)
				}
				if err := s.Unlink(name); round%3 == 0 && err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if _, err := s.Collect(t.Context(), recorded); err != nil {
					t.Error(err)
				}
			}
		}
	})
	group.Wait()
	close(done)
	collector.Wait()
	if collect(t, s); len(digests(t, s)) > 0 {
		t.Errorf("left: %q", digests(t, s))
	}
}

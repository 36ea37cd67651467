package code

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

// counted holds that what is counted is what is on the disk.
func counted(t *testing.T, s *Snapshots) {
	t.Helper()
	again := open(t, s.dir, Limits{})
	must(t, again.measure(t.Context()))
	if s.room.taken != again.room.taken {
		t.Errorf("%d bytes are counted, and %d are there", s.room.taken, again.room.taken)
	}
}

// All copies together have a bound: what does not fit is refused with what to do, leaves nothing, and fits once there is room.
func TestSnapshots_Total(t *testing.T) {
	three := func(n int) string { return grow(t, tree{"n": file(fmt.Sprint(n)), "l": link("n")}) } // blocks, with the folder
	t.Run("OK/RoomComesBack", func(t *testing.T) {
		s := fresh(t, Limits{Total: 6 * block})
		first := three(1)
		one, two := take(t, s, first), take(t, s, three(2))
		refuses(t, s, three(3), api.SystemError, "--max-code-bytes", "24576 bytes")
		if removed := collect(t, s, two); !slices.Equal(removed, []string{one}) {
			t.Fatalf("removed %q", removed)
		}
		take(t, s, three(3))
		counted(t, s)
	})
	t.Run("OK/TheSameTwice", func(t *testing.T) {
		s, root := fresh(t, Limits{Total: 6 * block}), three(1)
		take(t, s, root)
		take(t, s, root)
		take(t, s, three(2))
		counted(t, s)
	})
	t.Run("ErrTotal/OfBefore", func(t *testing.T) {
		s := fresh(t, Limits{})
		take(t, s, grow(t, tree{"f": file(strings.Repeat("x", 2*block+1)), "d": dir()})) // 5 blocks
		again := open(t, s.dir, Limits{Total: 6 * block})
		refuses(t, again, three(1), api.SystemError, "--max-code-bytes")
		take(t, again, grow(t, tree{}))
		counted(t, again)
		collect(t, again)
		take(t, again, three(1))
		counted(t, again)
	})
	t.Run("ErrTotal/SetAside", func(t *testing.T) {
		s, root := fresh(t, Limits{Total: 6 * block}), three(1)
		digest, release, err := s.Take(t.Context(), root)
		must(t, err)
		defer release()
		damage(t, filepath.Join(s.in(digest), "n"), 0)
		take(t, s, root) // another one stands, and the damaged one is kept for who runs on it
		refuses(t, s, grow(t, tree{}), api.SystemError, "--max-code-bytes")
		counted(t, s)
	})
	t.Run("ErrTotal/AtOnce", func(t *testing.T) {
		s := fresh(t, Limits{Total: 12 * block})
		var all sync.WaitGroup
		for n := range 16 {
			root := three(n)
			all.Go(func() {
				if _, _, err := s.Take(t.Context(), root); err != nil && !strings.Contains(err.Error(), "--max-code-bytes") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(digests(t, s)); n < 1 || n > 4 {
			t.Errorf("%d fit", n)
		}
		counted(t, s)
	})
}

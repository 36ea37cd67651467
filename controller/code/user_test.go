package code

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// The manager need not be root. A thread of root's can be without root's rights to files.
func TestSnapshots_Take_NotRoot(t *testing.T) {
	tests := map[string]struct {
		closed string // who is not its owner may at most pass through
		words  []string
	}{
		"OK/above":  {"..", nil},
		"ErrFile":   {"a.txt", []string{`"a.txt"`, "permission"}},
		"ErrFolder": {"lib", []string{`"lib"`, "permission"}},
		"ErrTree":   {".", []string{"permission"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			above, home := filepath.Join(scratch(t), "above"), scratch(t)
			must(t, errors.Join(os.Chmod(filepath.Dir(above), 0o711), os.Rename(grow(t, tree{}), above)))
			root := filepath.Join(above, "tree")
			must(t, errors.Join(os.Rename(grow(t, sample()), root), os.Chmod(root, 0o755), os.Chmod(above, 0o755)))
			must(t, os.Chmod(filepath.Join(root, tt.closed), 0o711))
			notRoot(t, home)
			s := open(t, filepath.Join(home, "code"), Limits{})
			if tt.words != nil {
				refuses(t, s, root, api.ValidationError, tt.words...)
				return
			}
			take(t, s, root)
		})
	}
}

func TestSnapshots_Verify_NotRoot(t *testing.T) {
	root, home := grow(t, tree{}), scratch(t)
	must(t, os.Chmod(root, 0o755))
	notRoot(t, home)
	s := open(t, filepath.Join(home, "code"), Limits{})
	digest := take(t, s, root)
	must(t, os.Chmod(s.in(digest), 0))
	if err := s.Verify(t.Context(), digest); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want it damaged", err)
	}
}

// notRoot takes root's rights to files from this thread for the rest of the test, but for those to home.
func notRoot(t *testing.T, home string) {
	t.Helper()
	const nobody = 65534
	if os.Getuid() != 0 {
		t.Skip("another user's files are needed, which root alone can make")
	}
	must(t, os.Chown(home, nobody, nobody))
	runtime.LockOSThread()
	must(t, unix.Setfsuid(nobody))
	t.Cleanup(func() {
		must(t, unix.Setfsuid(0))
		runtime.UnlockOSThread()
	})
}

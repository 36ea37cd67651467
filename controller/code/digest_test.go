package code

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A file that is not of the size that it was listed with changed, and however fast it grows, no more than that size is copied.
func TestReader_Read(t *testing.T) {
	for name, tt := range map[string]struct {
		listed, holds int
		want          error
	}{
		"OK":                  {200_000, 200_000, nil},
		"OK/Empty":            {0, 0, nil},
		"ErrChanged/Shorter":  {200_000, 199_999, ErrChanged},
		"ErrChanged/Longer":   {200_000, 200_001, ErrChanged},
		"ErrChanged/Much":     {200_000, 1 << 20, ErrChanged},
		"ErrChanged/NotEmpty": {0, 1, ErrChanged},
	} {
		t.Run(name, func(t *testing.T) {
			var to bytes.Buffer
			_, err := newReader().read(t.Context(), sized(t, tt.holds), entry{path: "f", stamp: stamp{size: int64(tt.listed)}}, &to)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if to.Len() > tt.listed {
				t.Errorf("%d bytes were copied", to.Len())
			}
		})
	}
	t.Run("ErrCancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var to bytes.Buffer
		_, err := newReader().read(&hook{Context: ctx, at: 3, act: cancel}, sized(t, 1<<20), entry{stamp: stamp{size: 1 << 20}}, &to)
		if !errors.Is(err, context.Canceled) || to.Len() > 1<<19 {
			t.Errorf("%d bytes were copied: %v", to.Len(), err)
		}
	})
}

// sized is an open file of so many bytes.
func sized(t *testing.T, bytes int) *os.File {
	t.Helper()
	at := filepath.Join(scratch(t), "f")
	must(t, os.WriteFile(at, make([]byte, bytes), 0o600))
	opened, err := os.Open(at)
	must(t, err)
	t.Cleanup(func() { must(t, opened.Close()) })
	return opened
}

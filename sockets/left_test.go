package sockets

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/xid"
)

func TestHub_Left(t *testing.T) {
	h, open, _ := newHub(t, Config{})
	old := xid.New().String()
	for _, name := range []string{old, "code", "not-an-id-of-twenty."} {
		if err := os.Mkdir(filepath.Join(h.cfg.RunDir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{open, old}
	slices.Sort(want)
	got, err := h.Left()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := h.Remove(old); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Left(); err != nil || !slices.Equal(got, []string{open}) {
		t.Errorf("after the removal: %v, %v", got, err)
	}
	if err := os.RemoveAll(h.cfg.RunDir); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Left(); err != nil || len(got) > 0 {
		t.Errorf("without a run directory: %v, %v", got, err)
	}
}

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/xid"
	bolt "go.etcd.io/bbolt"
)

// graveyard makes a store in dir in which n containers were deleted, a second apart, the last one just now.
func graveyard(tb testing.TB, dir string, n int) {
	tb.Helper()
	path := filepath.Join(dir, fileName)
	if err := makeMissing(path, &Options{NoSync: true}); err != nil {
		tb.Fatal(err)
	}
	now := time.Now().UTC()
	err := change(path, func(tx *bolt.Tx) error {
		for i := range n {
			t := Tombstone{ID: xid.New().String(), Name: fmt.Sprint("flow-", i), Labels: map[string]string{"team": "a"}, DeletedBy: "someone",
				DeletedAt: now.Add(-time.Duration(n-i) * time.Second), Placements: []Placement{{Token: xid.New().String(), DockerName: fmt.Sprint("flow-", i), DockerID: "d"}}}
			if err := put(tx, bucketTombstones, []byte(t.ID), &t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

var crowds = []int{0, 20_000, 100_000}

// What one more deletion costs where so many were already.
func BenchmarkStore_Bury(b *testing.B) {
	for _, n := range crowds {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			graveyard(b, dir, n)
			s, err := Open(dir, Options{NoSync: true, MaxContainers: b.N + 1})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ids := make([]string, b.N)
			for i := range ids {
				r, err := s.Declare(b.Context(), Declaration{Name: fmt.Sprint("web-", i), Change: running})
				if err != nil {
					b.Fatal(err)
				}
				ids[i] = r.ID
			}
			b.ResetTimer()
			for _, id := range ids {
				if err := s.Bury(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a start costs where so many were deleted, from the second one on.
func BenchmarkOpen_Deletions(b *testing.B) {
	for _, n := range crowds {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			graveyard(b, dir, n)
			begin := func() {
				s, err := Open(dir, Options{NoSync: true})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			began := time.Now()
			begin()
			first := time.Since(began)
			for b.Loop() {
				begin()
			}
			info, err := os.Stat(filepath.Join(dir, fileName))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(first.Milliseconds()), "ms-first")
			b.ReportMetric(float64(info.Size()>>10), "KiB")
		})
	}
}

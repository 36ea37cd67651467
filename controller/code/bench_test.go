package code

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// 10,000 files of 100 MiB together, on disk, in turns with `cp -r` of the same tree and a sync of its filesystem. That is done
// twice; what the two differ by is noise.
func BenchmarkTake_AgainstCopy(b *testing.B) {
	tree := manyFiles(b, onDisk(b), 10_000, 100<<20)
	var ours, theirs, again time.Duration
	for b.Loop() {
		dir := onDisk(b)
		s := open(b, filepath.Join(dir, "code"), Limits{})
		copied := func(name string) time.Duration {
			return timed(func() {
				execute(b, "cp", "-r", tree, filepath.Join(dir, name))
				execute(b, "sync", "-f", dir)
			})
		}
		execute(b, "sync", "-f", dir)
		theirs += copied("one")
		ours += timed(func() { take(b, s, tree) })
		again += copied("two")
		must(b, os.RemoveAll(dir))
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "take-s")
	b.ReportMetric(2*ours.Seconds()/(theirs+again).Seconds(), "take/cp")
	b.ReportMetric(again.Seconds()/theirs.Seconds(), "cp/cp")
}

// The limits as they are in production: at each, the tree is taken; one above, it is refused.
func BenchmarkTake_AtTheLimits(b *testing.B) {
	for name, grow := range map[string]func(extra int) string{
		"entries": func(extra int) string { return manyFiles(b, onDisk(b), 99_009+extra, 0) }, // and 991 folders
		"bytes":   func(extra int) string { return manyFiles(b, onDisk(b), 1, 1<<30+extra) },
	} {
		b.Run(name, func(b *testing.B) {
			at, above := grow(0), grow(1)
			for b.Loop() {
				s := open(b, filepath.Join(onDisk(b), "code"), Limits{})
				b.ReportMetric(timed(func() { take(b, s, at) }).Seconds(), "take-s")
				b.ReportMetric(timed(func() { refuses(b, s, above, api.ValidationError, "leave out") }).Seconds(), "refuse-s")
				b.ReportMetric(timed(func() { must(b, s.Verify(b.Context(), digests(b, s)[0])) }).Seconds(), "verify-s")
			}
		})
	}
}

func onDisk(b *testing.B) string {
	b.Helper()
	path, err := filepath.EvalSymlinks(b.TempDir())
	must(b, err)
	return path
}

func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

func execute(b *testing.B, command string, args ...string) {
	b.Helper()
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %v: %v\n%s", command, args, err, out)
	}
}

// manyFiles makes files of equal size, a hundred to a folder, which hold bytes together.
func manyFiles(b *testing.B, root string, files, bytes int) string {
	b.Helper()
	contents := make([]byte, bytes/files)
	_, _ = rand.NewChaCha8([32]byte{}).Read(contents)
	for i := range files {
		folder := filepath.Join(root, fmt.Sprintf("%03d", i/100))
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			b.Fatal(err)
		}
		must(b, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%05d", i)), contents, 0o644))
	}
	return root
}

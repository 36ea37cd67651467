package store

import (
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// pagesKept is how long the file's pages that were looked at stay mapped.
const pagesKept = 10 * time.Second

// unmap lets go of the file's pages. They count as the process's memory while it has them mapped, for as long as the kernel
// needs them for nothing else: the start, which reads everything, would leave the whole file. Whoever looks at one again has it
// from the kernel's cache.
func (s *Store) unmap() {
	s.unmapping = nil
	_ = s.read(func(tx *bolt.Tx) error { // a store that cannot be read is told of by whoever needs it
		// The mapping is at least as long as the pages in use, and stays where it is during the transaction.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		return nil
	})
}

// looked sees to it that pages that are mapped now are let go of after a while.
func (s *Store) looked() {
	if s.unmapping == nil {
		s.unmapping = time.After(pagesKept)
	}
}

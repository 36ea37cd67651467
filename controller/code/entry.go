package code

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kind is what an entry is, as the digest has it.
type kind byte

const (
	kindFolder  kind = 'd'
	kindFile    kind = 'f'
	kindProgram kind = 'x'
	kindLink    kind = 'l'
)

func (k kind) isFile() bool { return k == kindFile || k == kindProgram }

// mode is what an entry of a snapshot has, its type included. The mode of a link means nothing.
func (k kind) mode() uint32 {
	switch k {
	case kindFolder:
		return unix.S_IFDIR | 0o755
	case kindProgram:
		return unix.S_IFREG | 0o755
	case kindFile:
		return unix.S_IFREG | 0o644
	}
	return unix.S_IFLNK | 0o777
}

// stamp is what the kernel says of a file. Two that are equal, at two moments, are of a file that nobody changed in between.
type stamp struct {
	dev, ino     uint64
	mode         uint32
	size         int64
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{dev: st.Dev, ino: st.Ino, mode: st.Mode, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

func fstat(fd int) (stamp, error) {
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return stamp{}, fmt.Errorf("stat: %w", err)
	}
	return stampOf(&st), nil
}

// entry is one thing in a tree. The tree's own folder has the empty path.
type entry struct {
	path   string
	kind   kind
	stamp  stamp
	target string
}

// newEntry refuses what is neither file, folder nor link.
func newEntry(path string, s stamp, target string) (entry, error) {
	e := entry{path: path, stamp: s, target: target}
	switch s.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.kind = kindFolder
	case unix.S_IFLNK:
		e.kind = kindLink
	case unix.S_IFREG:
		e.kind = kindFile
		if s.mode&unix.S_IXUSR != 0 {
			e.kind = kindProgram
		}
	default:
		return entry{}, refused(path, "%q is a %s: code has files, folders and links only, so remove it or leave it out", path, typeName(s.mode))
	}
	return e, nil
}

func typeName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "device"
}

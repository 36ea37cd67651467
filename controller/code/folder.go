package code

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Nothing that took an entry's place meanwhile is waited for (a FIFO's writer) or set going (a terminal).
const (
	openFlags   = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	folderFlags = openFlags | unix.O_DIRECTORY
)

// folder is an open folder. What is in it is reached by single names and never through a link. (os.Root follows links that
// stay inside, and its OpenRoot waits for the writer of a FIFO that took a folder's place.)
type folder struct{ *os.File }

// openTree opens the folder at an absolute path that has no link in it.
func openTree(path string) (folder, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return folder{}, refused("", "the code's path %q must be absolute, without . and .. in it", path)
	}
	f, err := descend(path)
	switch {
	case errors.Is(err, unix.ENOENT):
		return folder{}, refused("", "the code's path %q is not there: name a folder on the manager's host", path)
	case errors.Is(err, unix.ENOTDIR):
		return folder{}, refused("", "the code's path %q is no folder, or has a link in it: name the folder itself", path)
	case err != nil:
		return folder{}, unreadable(path, err)
	}
	return f, nil
}

// descend opens the folder at path name by name. Those above need not be readable, so they are only named.
func descend(path string) (folder, error) {
	at, err := openFolderAt(unix.AT_FDCWD, "/", folderFlags|unix.O_PATH)
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		at, err = at.leaveFor(name, folderFlags|unix.O_PATH)
	}
	if err != nil {
		return folder{}, err
	}
	return at.leaveFor(".", folderFlags)
}

// leaveFor opens a folder in f and closes f.
func (f folder) leaveFor(name string, flags int) (folder, error) {
	defer f.Close()
	return openFolderAt(f.fd(), name, flags)
}

// openFolder opens the folder at path; its last name may not be a link.
func openFolder(path string) (folder, error) {
	return openFolderAt(unix.AT_FDCWD, path, folderFlags)
}

func openFolderAt(at int, name string, flags int) (folder, error) {
	file, err := openAt(at, name, flags)
	return folder{file}, err
}

func openAt(at int, name string, flags int) (*os.File, error) {
	var fd int
	err := uninterrupted(func() (err error) {
		fd, err = unix.Openat(at, name, flags, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// uninterrupted repeats a call that a signal cut short, as network filesystems have it.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (f folder) fd() int { return int(f.Fd()) }

// stat looks at f itself.
func (f folder) stat() (stamp, error) { return fstat(f.fd()) }

// look finds out what name in f is, with a link's target.
func (f folder) look(name string) (s stamp, target string, err error) {
	var st unix.Stat_t
	err = uninterrupted(func() error { return unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return stamp{}, "", fmt.Errorf("look at %s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err = f.readlink(name)
	}
	return stampOf(&st), target, err
}

func (f folder) readlink(name string) (string, error) {
	var n int
	buffer := make([]byte, unix.PathMax)
	err := uninterrupted(func() (err error) {
		n, err = unix.Readlinkat(f.fd(), name, buffer)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read link %s: %w", name, err)
	}
	return string(buffer[:n]), nil
}

// open opens the entry e of f, which must still be the one that was looked at.
func (f folder) open(e entry) (*os.File, error) {
	flags := openFlags
	if e.kind == kindFolder {
		flags = folderFlags
	}
	file, err := openAt(f.fd(), path.Base(e.path), flags)
	if err != nil {
		return nil, unopened(e.path, err)
	}
	now, err := fstat(int(file.Fd()))
	if err == nil && now != e.stamp {
		err = changed(e.path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

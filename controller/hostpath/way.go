package hostpath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is where the kernel gives up as well.
const maxLinks = 40

// way is how a path is reached.
type way struct {
	end     string   // without symlinks; what is not there is taken for what it says
	folders []string // in which names were looked up, those of symlinks included
	missing error    // why end is not there
}

// follow goes along a path like the kernel does, so that every folder is known whose owner could lead it elsewhere.
func follow(path string) (way, error) {
	w := way{end: "/"}
	rest := names(path)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			w.end = filepath.Dir(w.end)
			continue
		}
		w.folders = append(w.folders, w.end)
		target, err := w.step(name)
		if err != nil || w.missing != nil {
			w.end = filepath.Join(append([]string{w.end}, rest...)...)
			return w, err
		}
		if target == "" {
			continue
		}
		if links++; links > maxLinks {
			return w, fmt.Errorf("follow %s: %w", path, syscall.ELOOP)
		}
		if filepath.IsAbs(target) {
			w.end = "/"
		}
		rest = append(names(target), rest...)
	}
	return w, nil
}

// step looks a name up: w.end moves there, unless it is a symlink, of which the target is given.
func (w *way) step(name string) (target string, err error) {
	next := filepath.Join(w.end, name)
	info, err := os.Lstat(next)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.end, w.missing = next, err
		return "", nil
	case err != nil:
		return "", err
	case info.Mode()&fs.ModeSymlink != 0:
		return os.Readlink(next)
	}
	w.end = next
	return "", nil
}

func names(path string) []string {
	var list []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			list = append(list, name)
		}
	}
	return list
}

// ownedByRoot is nil where nobody but root can change what w leads to. The sticky bit does not help: it keeps others from
// renaming what is there, not from making what is not there yet.
func (w *way) ownedByRoot() error {
	for _, folder := range append(w.folders, w.end) {
		info, err := os.Stat(folder)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !ok:
			return fmt.Errorf("the owner of %s is not known", folder)
		case !info.IsDir():
			return fmt.Errorf("%s is no folder", folder)
		case stat.Uid != 0 || info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("%s (owner %d, mode %04o) can be written by others than root, who could lead the way elsewhere; "+
				"make it root's own (chown root, chmod go-w), or choose a folder that nobody else can write to or above",
				folder, stat.Uid, stat.Mode&0o7777)
		}
	}
	return nil
}

// within tells whether a clean absolute path is root or below it.
func within(path, root string) bool {
	return path == root || root == "/" || strings.HasPrefix(path, root+"/")
}

package hostpath

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// engineSockets are what leads to the container engines that listen on this host now, wherever they were told to keep their
// sockets: the socket of one that takes orders, containerd's folder, and the exec-root of a Docker engine, which has a folder
// libnetwork. Only root's count: anybody can give a socket of his own such a name.
func engineSockets() ([]string, error) {
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, fmt.Errorf("read which sockets there are: %w", err)
	}
	var found []string
	for line := range bytes.Lines(table) {
		path := listener(line)
		if reach := reachOf(path); reach != "" && !slices.Contains(found, reach) && isRoots(path) {
			found = append(found, reach)
		}
	}
	return found, nil
}

// listening is the flag (__SO_ACCEPTCON) of a socket that takes connections.
const listening = "00010000"

// listener is the absolute path of a line of the table, "" where nobody listens there.
func listener(line []byte) string {
	fields := bytes.SplitN(bytes.TrimRight(line, "\n"), []byte(" "), 7) // Num RefCount Protocol Flags Type St, then Inode and Path
	if len(fields) < 7 || string(fields[3]) != listening {
		return ""
	}
	_, path, _ := bytes.Cut(bytes.TrimLeft(fields[6], " "), []byte(" ")) // short inodes are padded
	if !filepath.IsAbs(string(path)) {
		return ""
	}
	return filepath.Clean(string(path))
}

// reachOf is what must not be mounted for a socket's sake, "" where it is no engine's.
func reachOf(path string) string {
	folder, name := filepath.Split(path)
	folder = filepath.Clean(folder)
	switch {
	case name == "docker.sock", name == "podman.sock", name == "crio.sock":
		return path
	case name == "containerd.sock":
		return folder
	case filepath.Base(folder) == "libnetwork":
		return filepath.Dir(folder)
	}
	return ""
}

func isRoots(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0
}

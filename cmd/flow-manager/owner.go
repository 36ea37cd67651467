package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// checkOwner refuses a folder of the manager's that belongs to somebody else, who could put another store or another socket there.
// One that is not there yet is made.
func checkOwner(flag, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", flag, err)
	case !info.IsDir():
		return fmt.Errorf("%s %s is no folder", flag, dir)
	}
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	own := userName(os.Geteuid())
	return fmt.Errorf("%s %s belongs to %s, and the manager runs as %s: name another folder, or give it to the manager with chown %s %[2]s", flag, dir, userName(int(stat.Uid)), own, own)
}

// userName is the name of a user of this host, or the number where there is none.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

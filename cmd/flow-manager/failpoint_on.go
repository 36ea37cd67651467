//go:build failpoint

package main

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpoint kills this process with SIGKILL when it reaches the point that FLOW_FAILPOINT names, as "point" or, for the
// nth time that it is reached, "point:n". Without the variable it is nil.
func failpoint() func(string) {
	name, times, _ := strings.Cut(os.Getenv("FLOW_FAILPOINT"), ":")
	if name == "" {
		return nil
	}
	wanted, err := strconv.ParseInt(times, 10, 64)
	if err != nil {
		wanted = 1
	}
	var reached atomic.Int64
	return func(point string) {
		if point == name && reached.Add(1) == wanted {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // nothing after this line runs
			select {}
		}
	}
}

// bootID is what FLOW_BOOT_ID says, so that a test can play a reboot of the host, or else the kernel's.
func bootID() string { return cmp.Or(os.Getenv("FLOW_BOOT_ID"), kernelBootID()) }

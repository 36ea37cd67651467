//go:build !failpoint

package main

// failpoint is nil in production.
func failpoint() func(string) { return nil }

// bootID names this run of the host, by which a reboot is known.
func bootID() string { return kernelBootID() }

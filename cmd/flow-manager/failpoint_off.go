//go:build !failpoint

package main

// failpoint is nil in production.
func failpoint() func(string) { return nil }

// Package api is the contract in Go: the declared object, its validation and defaults, the events and errors that go over
// the wire, and the rules that every other package shares (what a change costs, which hash a template has, what is secret).
//
// It imports the standard library and the image reference parser only, does no I/O, holds no state, and keeps no clock:
// whatever needs the time is given it.
package api

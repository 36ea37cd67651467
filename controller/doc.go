// Package controller makes the engine agree with what is declared, and keeps it agreeing.
//
// # Guarantees
//
//   - One container is reconciled by one worker at a time; different ones in parallel. It reads what is declared and what
//     is there afresh; whatever woke it is only a hint.
//   - What to do is decided by the pure package plan, one step at a time, and what a step does to a record is written by it
//     alone. This package sees, acts, and has plan note what came of it. Every step may be repeated, so that dying between any
//     two lines of this package is repaired by planning again.
//   - Nothing is done before the engine was listed whole, and nothing while it is away.
//   - A container is only ever acted upon if its create token and its Docker id (or, where none is recorded yet, its exact
//     name) are those of a live record or a tombstone. Others that bear our labels or our name are reported and left alone.
//   - A create intent is on disk before the engine is asked to create, the Docker id before the first start.
//   - A worker makes short calls only. What takes time (a graceful stop, a backoff, a pull, a copy) is a wait in the record, or
//     an operation beside the loop, looked at again when due; so a newer declaration is seen at once.
//   - No container causes more than 60 engine calls, or more than 60 commits, in any minute, clients' requests apart.
//   - No jump of the host's clock makes a wait longer or shorter: waits are measured on a steady clock, across a restart of this
//     process for at most what was left of them.
//   - An engine that is lost each time one container starts is not lost for ever: starts go one by one after such a loss, and
//     that container is held.
//
// The outcome is written to the store as status, and the store's watch is how anybody learns of it.
package controller

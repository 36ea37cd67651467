// Package server is what clients may ask and are told. It knows the store and no transport: it is the session.App of one.
//
// What it guarantees to a client:
//
//   - An acknowledgement means that what was declared is on disk, and is sent once. No handler talks to the engine.
//   - An answer. The answer to a request is an event to its session, sent once: when the controller has observed the result, or
//     cannot bring it about, or a later request asked for something else. For a session that is gone no answer is kept.
//   - Order. Every other event comes from the store's watch, in the order of its revisions, and goes to every session, encoded once.
//   - Nothing is lost or doubled between two resource versions that a session subscribes from, as long as the store's log has them.
//   - Masking. A viewer is shown records and events through ForViewer only, and no event that it does not know.
//
// What it does not: a request that was received and not acknowledged may or may not have been carried out, and what was sent to a
// client that is gone is lost. Resuming is done with resource versions: see subscribe.
//
// # The requests
//
// One handler for each event decodes, validates, writes what is declared to the store and acknowledges it when that is on disk.
// What takes its time, a sample, a flow's reply, a wait, is gone on with on a goroutine of its own, which Run waits for at the end:
// a session's next request does not wait for it.
//
// Who may ask for what is one table, api.RequestRoles; what is not in it is dispatched for nobody.
//
// # The streams
//
// A session that subscribes has a stream instead of what everybody is told: it is sent the events that are kept out of the store's
// log, from wherever it says, at its own pace. Each has a resource version of its own, also where one change has several. How
// a container stands (container_changed) is not in the log, which would grow by a spec with every change: it is that of the change
// while the change is in memory, and that of now when it is told again later. What a flow writes to its output goes the same way,
// read no faster than its client reads.
//
// Drain answers all that clients still wait for; Run returns when all that was started has ended.
package server

// Package socketio is where clients meet the manager: Socket.IO over WebSocket and HTTP long polling.
//
// What the transport guarantees, to its App and to every client that behaves:
//
//   - Order. The events of one session reach Handle one at a time in the order of the wire, the first of them also when
//     it follows CONNECT at once. What Emit and Ack send to one client arrives in the order of the calls, behind the
//     CONNECT answer, whole: over a change of transport too.
//   - Nobody waits for anybody else. A handler that hangs holds up its own session; Emit never blocks; what is long, a
//     page or a reply, goes at the pace of its client (EmitWait, EmitPaced, AckWait), whose next requests wait meanwhile.
//   - A client that reads slowly loses the least first. Of the events that everybody is told it gets the newest status of
//     each container, which says how many it stands for (coalesced); then one events_dropped {from, to, events} in the
//     place of those that did not fit, and nothing more of these until it has read that, so that it lists again but once.
//     What it is owed, answers, acknowledgements and errors, is never dropped: where there is no room for it, or the client
//     has not caught up after a while, the session ends, and the last that the client can read is an error that says so.
//   - Bounds. Connections, in all, by address and by principal; requests a second, in flight, and waiting; packets waiting,
//     for one session and for all; bytes handed to the library, bytes read a second; the size, nesting and number of
//     elements of a request; the time of a header, a body, a message, a CONNECT, a pong, a write: each has a limit
//     (Limits), and what is over it is answered by name where the request can still be read, a rate_limit_error with
//     retry_after in seconds where it may be tried again, and otherwise ends the connection. A client that is refused
//     is read no faster than one that is served. Counts says how often, by reason.
//   - Survival. No bytes from a stranger and no panic in a handler, a middleware, a writer or a listener end the process.
//   - An end. A session has one Begin and one End; what its client sent before it went is still handled. Shutdown
//     has what was received answered, and leaves no goroutine behind.
//
// What it does not: what was emitted to a client that is gone is lost, and sessions do not survive their connection. What requests
// and events mean it does not know: that is its App (session.App; in the manager, api/server).
//
// # The guards
//
// The library underneath is not fit to meet strangers by itself, so nothing reaches it but what is known to be harmless:
//
//	request ─▶ handler ─▶ gate or buffered answer ─▶ library ─▶ decoder ─▶ Session.in ─▶ handleLoop ─▶ App
//	          Host, Origin, query, method,          transports   parse     bounded        │
//	          size, one at a time, slots,           and pings              queue          ▼
//	          message deadline, read rate
//	client ◀─ listener (write deadline) ◀─ library ◀─ sendWindow ◀─ writeLoop ◀─ Session.out ◀─ Emit, Ack
//
// The library keeps the transports, the upgrade, the pings and the CONNECT answer. Events and acknowledgements never pass
// through its upper layer in either direction: there each event costs a goroutine, order is lost, a missing argument is
// a panic, and sending to many drops most of a burst. A link is one of its connections, a Session one joined client.
package socketio

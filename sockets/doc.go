// Package sockets lets the manager and its flows talk: one Unix socket per container, on which the manager listens and the
// flow connects.
//
// What it guarantees:
//
//   - Order. Clients' messages reach a container in the order of their Send calls; what a container says reaches the Watcher
//     in the order it was read, one call at a time. Between containers there is no order, and none waits for another.
//   - At most once. Send returns without an error only after the frame was written whole to the socket. A frame that was cut
//     off by a lost connection is no message to the flow, so it is written again on the next connection until its time is up.
//   - No blocking. Queue waits for room, and only while the flow takes messages. Status and Lifecycle never block; of several
//     unsent statuses the newest is kept. A flow that does not read costs its own messages and, after the write deadline, its
//     connection; nothing else.
//   - Bounds. Frames, connections, waiting messages and unsent notices are limited per container; what is over the limit is
//     refused, and the Watcher or the caller is told. How much a container says unasked is limited by reading no faster: a
//     flow that runs wild waits for itself. How often it connects is limited as well.
//   - Outages. The Watcher is told once when a message waited out its time and nobody was connected, and once when the flow is
//     back.
//   - Ends. Close and Remove return when every goroutine that they end has ended. Close leaves the sockets' files, so that a
//     flow finds the next manager at the same path; Open takes over whatever stands there.
//
// A frame is a length of four bytes, big-endian, and so many bytes of UTF-8 JSON: one object. Nothing is kept across a crash:
// messages that wait are lost with the process, and their senders know that they got no answer.
//
// Each listener has one goroutine and each connection two. A waiting message has none.
package sockets

// Command flowctl declares, lists and talks to the containers that a flow-manager keeps.
//
// # Guarantees
//
//   - It is a client like any other: one Socket.IO session a run, over WebSocket only. What goes on until it is interrupted
//     (get and top that watch, logs that follow, events) and wait make another one where that is lost, and miss nothing that the
//     server keeps.
//   - Its exit code is 0 when all it was asked for was done, 1 when something was refused or failed, 2 on wrong usage, 3
//     when an answer did not come in time, and 130 when it was interrupted.
//   - An error is one line on stderr, and its bad fields one line each below. Nothing that a server or a container wrote
//     reaches the terminal unescaped.
//   - It sends nothing before all that it was given has been read and understood.
//   - Every wait has an end: answers by --timeout, observed results by --wait-timeout, and an interrupt ends any at once.
//   - What it is told on stdout is what was asked for; how it gets on there is told on stderr.
//   - A token is sent to the server that it was given with, and is never shown.
package main

// Package session is what the transport and the server have in common: who a client is, what it asks, and what it is sent.
//
// A transport (api/socketio) makes sessions and requests and serves them to an App; the server (api/server) is the App. Neither
// imports the other, so that the server runs as well over sessions that have no connection (api/server/servertest).
//
// What is said here holds for every transport: the order of calls and of what is emitted, who blocks and who does not, and that
// a request is acknowledged at most once.
package session

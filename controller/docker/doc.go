// Package docker is the controller's Runtime on the Docker Engine API.
//
// It guarantees that every container is made with the same hardening (no new privileges, no raw sockets, no devices of its own,
// bounded logs and processes, never the engine's own restarts), that nothing is mounted whose source is missing, and that errors are told
// apart by the engine's own classes, never by their text. It negotiates the API version on the first call and keeps no state.
package docker

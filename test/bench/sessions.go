package main

import (
	"net"
	"os"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/socketio"
	"github.com/flow-manager/flow-manager/store"
)

// sessions is our server on a store of its own.
func sessions() (serving, fanOut, error) {
	dir, err := os.MkdirTemp("", "flow-manager-bench-sessions-")
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		return nil, nil, err
	}
	_ = os.RemoveAll(dir) // the open file is enough
	app := server.New(server.Backend{Store: s, Log: zerolog.Nop()})
	transport, err := socketio.New(socketio.Config{Log: zerolog.Nop(), Events: api.Requests()}, app)
	if err != nil {
		return nil, nil, err
	}
	serve := func(l net.Listener) error { return transport.Server(transport.Handler()).Serve(transport.Listener(l)) }
	return serve, func(i int) { app.Broadcast(news(i)) }, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
)

// address is where a server is: the URL that the handshake asks for, and the file of a Unix socket.
type address struct {
	url    string
	socket string
}

// parseServer reads http(s)://host[:port] or unix:///path.
func parseServer(server string) (address, error) {
	if path, ok := strings.CutPrefix(server, "unix://"); ok && strings.HasPrefix(path, "/") {
		// No proxy is ever asked for localhost.
		return address{"ws://localhost/socket.io/?EIO=4&transport=websocket", path}, nil
	}
	schemes := map[string]string{"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}
	u, err := url.Parse(server)
	if err != nil || schemes[u.Scheme] == "" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return address{}, usagef("the server must be like http://127.0.0.1:8000, https://host or unix:///path")
	}
	return address{url: schemes[u.Scheme] + "://" + u.Host + "/socket.io/?EIO=4&transport=websocket"}, nil
}

// dial makes the WebSocket connection; it ends with ctx's cause where ctx ends first.
func dial(ctx context.Context, server string) (*websocket.Conn, error) {
	at, err := parseServer(server)
	if err != nil {
		return nil, err
	}
	// A deadline would make the dialer fail with a time-out of its own, a moment before ctx ends.
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()

	w := &wire{socket: at.socket, release: func() bool { return true }}
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, NetDialContext: w.dial}
	conn, response, err := dialer.DialContext(within, at.url, nil)
	switch {
	case !w.release() || ctx.Err() != nil:
		if conn != nil {
			_ = conn.Close()
		}
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, explain(server, response, err)
	}
	return conn, nil
}

// wire opens the network connection below the WebSocket one and closes it when the handshake's context ends, which the
// dialer does not look at while it reads.
type wire struct {
	socket  string
	release func() bool // false: the context ended first
}

func (w *wire) dial(ctx context.Context, network, host string) (net.Conn, error) {
	if w.socket != "" {
		network, host = "unix", w.socket
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err == nil {
		w.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// explain says why there is no connection and what to do about it.
func explain(server string, response *http.Response, err error) error {
	if !errors.Is(err, websocket.ErrBadHandshake) {
		return fmt.Errorf("%w: is flow-manager running at %s? start it with: flow-manager serve", err, server)
	}
	var refusal struct {
		Message string `json:"message"`
	}
	if json.NewDecoder(response.Body).Decode(&refusal) != nil || refusal.Message == "" {
		return fmt.Errorf("%s answered %q: is that a flow-manager?", server, response.Status)
	}
	return fmt.Errorf("%s answered %q: %s", server, response.Status, refusal.Message)
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// parseServer reads http(s)://host[:port][/base] or unix:///path.
func parseServer(server string) (address, error) {
	if path, ok := strings.CutPrefix(server, "unix://"); ok && strings.HasPrefix(path, "/") {
		// No proxy is ever asked for localhost.
		return address{"ws://localhost/socket.io/?EIO=4&transport=websocket", path}, nil
	}
	schemes := map[string]string{"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}
	u, err := url.Parse(server)
	if err != nil || schemes[u.Scheme] == "" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return address{}, usagef("the server must be like http://127.0.0.1:8000, https://host or unix:///path")
	}
	return address{url: schemes[u.Scheme] + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/") + "/socket.io/?EIO=4&transport=websocket"}, nil
}

// dial makes the WebSocket connection; it ends with ctx's cause where ctx ends first.
func dial(ctx context.Context, server string, roots *x509.CertPool) (*websocket.Conn, error) {
	at, err := parseServer(server)
	if err != nil {
		return nil, err
	}
	// A deadline would make the dialer fail with a time-out of its own, a moment before ctx ends.
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()

	w := &wire{socket: at.socket, release: func() bool { return true }}
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, NetDialContext: w.dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	conn, response, err := dialer.DialContext(within, at.url, nil)
	switch {
	case !w.release() || ctx.Err() != nil:
		if conn != nil {
			_ = conn.Close()
		}
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, connectionError{explain(server, response, err)}
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
		return unreached(server, err)
	}
	var refusal struct {
		Message string `json:"message"`
	}
	if json.NewDecoder(response.Body).Decode(&refusal) != nil || refusal.Message == "" {
		hint := ""
		if response.StatusCode == http.StatusBadRequest && strings.HasPrefix(server, "http://") {
			hint = " one that serves TLS is at https://"
		}
		return fmt.Errorf("%s answered %q: is that a flow-manager?%s", server, response.Status, hint)
	}
	return fmt.Errorf("%s answered %q: %s", server, response.Status, refusal.Message)
}

// unreached says so where no server, or none that can be trusted, was found at all.
func unreached(server string, err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of %s is not trusted: %w; give its authority with --tls-ca or FLOWCTL_TLS_CA, or use the name that it is for", server, err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%s does not speak TLS: %w; use http:// if that is what it is to be", server, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: the socket at %s is for the manager's own user; run flowctl as that one", err, server)
	}
	return fmt.Errorf("%w: is flow-manager running at %s? start it with: flow-manager serve", err, server)
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/socketio"
	"github.com/flow-manager/flow-manager/sockets"
)

const unixScheme = "unix://"

// listen binds first and judges then: only the address that it came to be tells who can reach it.
func (m *manager) listen(s *settings) error {
	var err error
	if m.listener, err = bind(s.Listen); err != nil {
		return usageError{err}
	}
	if err := m.judgeExposure(s); err != nil {
		return usageError{err}
	}
	if address, network := m.listener.Addr().(*net.TCPAddr); network {
		m.controller.Policy.ManagerPort = address.Port // before anything is declared or made
	}
	m.basePath = s.BasePath
	m.transport, err = socketio.New(socketio.Config{
		AllowedHosts: allowedHosts(s, m.listener.Addr()), AllowedOrigins: s.AllowedOrigins, Events: api.Requests(), Authenticate: m.authenticate(), Log: m.log,
		TrustedProxies: s.proxies, BasePath: s.BasePath,
		Unrated: []string{api.SendMessage}, Limits: socketio.Limits{MaxConnections: s.MaxSessions, RequestsPerSecond: s.MaxRequests},
	}, m.server)
	if err != nil {
		return usageError{err}
	}
	return nil
}

func bind(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		listener, err := sockets.ListenOwn(path)
		if errors.Is(err, sockets.ErrTaken) {
			return nil, fmt.Errorf("listen on %s: %w; stop it, or choose another path by --listen", address, err)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w; choose another path by --listen", address, err)
		}
		return listener, nil
	}
	listener, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: %w; is another manager running? choose another address by --listen", address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w; give --listen an address like 127.0.0.1:8000 or unix:///path", address, err)
	}
	return listener, nil
}

// judgeExposure refuses to let in everybody from everywhere without being told so, and warns of tokens that others could read.
func (m *manager) judgeExposure(s *settings) error {
	address, network := m.listener.Addr().(*net.TCPAddr)
	if !network || address.IP.IsLoopback() {
		return nil
	}
	switch {
	case m.tokens == nil && !s.InsecureNoAuth:
		return fmt.Errorf("--listen %s is reachable from outside, and whoever reaches it may declare containers; give --auth-file (see flow-manager token create --help), listen on loopback, or say --insecure-no-auth", address)
	case m.tokens != nil && m.certificate == nil:
		m.log.Warn().Str("operation", "listen").Str("listen", address.String()).
			Msg("tokens cross the network in the clear: give --tls-cert and --tls-key, unless a proxy or tunnel encrypts them")
	}
	return nil
}

func allowedHosts(s *settings, address net.Addr) []string {
	if len(s.AllowedHosts) > 0 {
		return s.AllowedHosts
	}
	hosts := []string{"localhost", "127.0.0.1", "[::1]"}
	tcp, network := address.(*net.TCPAddr)
	if host, _, err := net.SplitHostPort(s.Listen); network && err == nil && host != "" && !tcp.IP.IsUnspecified() {
		hosts = append(hosts, net.JoinHostPort(host, fmt.Sprint(tcp.Port)))
	}
	return hosts
}

// secured is where clients are accepted: bounded, and behind TLS where there is a certificate.
func (m *manager) secured() net.Listener {
	bounded := m.transport.Listener(m.listener)
	if m.certificate == nil {
		return bounded
	}
	return tls.NewListener(bounded, m.certificate.config())
}

// address is where clients find the manager.
func (m *manager) address() string {
	at := m.listener.Addr()
	if at.Network() == "unix" {
		return unixScheme + at.String()
	}
	return at.String()
}

package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

// pair is a certificate that is its own authority, in the files that a manager is given.
type pair struct{ cert, key string }

func newPair(t *testing.T) pair {
	dir := t.TempDir()
	p := pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	p.renew(t, 1)
	return p
}

// renew writes another certificate, known by its number.
func (p pair) renew(t *testing.T, number int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{p.cert: {Type: "CERTIFICATE", Bytes: cert}, p.key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// trust makes a client's settings of the pair's certificate.
func (p pair) trust(t *testing.T) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data)
	return &tls.Config{RootCAs: roots}
}

func (p pair) flags() []string { return []string{"--tls-cert", p.cert, "--tls-key", p.key} }

// startSecure starts a manager that serves TLS.
func startSecure(t *testing.T, p pair, args ...string) *manager {
	t.Helper()
	m := &manager{t: t, dir: t.TempDir(), args: append(p.flags(), args...), scheme: "https"}
	m.web.Transport = &http.Transport{TLSClientConfig: p.trust(t)}
	m.keep()
	return m
}

// shown is the number of the certificate that the manager shows to a new client.
func (m *manager) shown() (int64, error) {
	conn, err := tls.Dial("tcp", m.addr, &tls.Config{InsecureSkipVerify: true}) // it is looked at, not relied on
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestListen_TLS(t *testing.T) {
	p := newPair(t)
	file := newTokens(t)
	token, _ := file.create("ann", api.Operator)
	m := startSecure(t, p, "--auth-file", file.path)
	dialer := &websocket.Dialer{TLSClientConfig: p.trust(t)}
	c, err := login(dialer, "wss://"+m.addr, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.must(t, "list_containers", object{})
	for origin, want := range map[string]int{"https://" + m.addr: http.StatusOK, "https://evil.example": http.StatusForbidden} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url()+"/socket.io/?EIO=4&transport=polling", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", origin)
		answer, err := m.web.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("origin %s: %s", origin, answer.Status)
		}
	}
	if conn, err := tls.Dial("tcp", m.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	if code, said := flowctl(t, "get", "--server", m.url(), "--tls-ca", p.cert, "--token", token); code != 0 {
		t.Errorf("flowctl: %d %s", code, said)
	}
	if code, said := flowctl(t, "get", "--server", m.url(), "--token", token); code != 1 || !strings.Contains(said, "--tls-ca") || strings.Count(said, "\n") != 1 {
		t.Errorf("flowctl without the authority: %d %s", code, said)
	}
	if code, said := flowctl(t, "get", "--server", "http://"+m.addr, "--token", token); code != 1 || !strings.Contains(said, "https://") {
		t.Errorf("flowctl without TLS: %d %s", code, said)
	}

	p.renew(t, 2)
	m.hup()
	m.eventually("the new certificate", func() error { return m.shows(2) })
	if err := os.WriteFile(p.key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.hup()
	m.eventually("the fault is told", func() error { return m.toldOnce(p.key, "read --tls-cert") })
	if err := m.shows(2); err != nil {
		t.Error(err)
	}
	c.must(t, "list_containers", object{}) // who was there stays
}

func (m *manager) shows(number int64) error {
	got, err := m.shown()
	if err == nil && got != number {
		err = errNotYet
	}
	return err
}

func flowctl(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	return run(t, "flowctl", args)
}

func TestListen_UnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "fm.sock")
	m := &manager{t: t, dir: t.TempDir(), args: []string{"--listen", "unix://" + path}}
	m.web.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	m.keep()
	for at, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		if info, err := os.Lstat(at); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v", at, info.Mode(), err)
		}
	}
	server := "unix://" + path
	if code, said := flowctl(t, "get", "--server", server); code != 0 {
		t.Errorf("flowctl: %d %s", code, said)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://evil.example/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign Host: %s", answer.Status)
	}
	second := []string{"serve", "--listen", server, "--data-dir", t.TempDir(), "--run-dir", t.TempDir()}
	if code, said := exit(t, second...); code != 2 || !strings.Contains(said, "another process listens there") || !strings.Contains(said, "--listen") {
		t.Errorf("a second manager: %d %s", code, said)
	}
	if code, said := exit(t, append(second, newPair(t).flags()...)...); code != 2 || !strings.Contains(said, "--tls-cert") {
		t.Errorf("with TLS: %d %s", code, said)
	}
	m.kill()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("a killed manager leaves its socket, or this proves nothing: %v", err)
	}
	m.start()
	if code, said := flowctl(t, "get", "--server", server); code != 0 {
		t.Errorf("flowctl, after a crash: %d %s", code, said)
	}
	m.stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestListen_WhoCanReachItIsJudgedAfterBinding(t *testing.T) {
	file := newTokens(t)
	file.create("ann", api.Operator)
	auth := []string{"--auth-file", file.path}
	const warning = "tokens cross the network in the clear"
	secure := newPair(t).flags()
	tests := []struct {
		name, listen string
		args         []string
		serves       bool
		warns        bool
	}{
		{"everywhere", "0.0.0.0:0", nil, false, false},
		{"no host", ":0", nil, false, false},
		{"everywhere, IPv6", "[::]:0", nil, false, false},
		{"everywhere, mapped", "[::ffff:0.0.0.0]:0", nil, false, false},
		{"loopback by name", "localhost:0", nil, true, false},
		{"loopback, mapped", "[::ffff:127.0.0.1]:0", nil, true, false},
		{"loopback, another", "127.1.2.3:0", nil, true, false},
		{"told so", "0.0.0.0:0", []string{"--insecure-no-auth"}, true, false},
		{"tokens", "0.0.0.0:0", auth, true, true},
		{"tokens and TLS", "0.0.0.0:0", slices.Concat(secure, auth), true, false},
		{"TLS", "0.0.0.0:0", secure, false, false},
		{"loopback, tokens", "127.0.0.1:0", auth, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"--listen", tt.listen}, tt.args...)
			if !tt.serves {
				code, said := exit(t, append([]string{"serve", "--data-dir", t.TempDir(), "--run-dir", t.TempDir()}, args...)...)
				if code != 2 || !strings.Contains(said, "--auth-file") || !strings.Contains(said, "--insecure-no-auth") {
					t.Errorf("code %d; it said %s", code, said)
				}
				return
			}
			said := served(t, args)
			if n := strings.Count(said, warning); (n == 1) != tt.warns || n > 1 {
				t.Errorf("it warned %d times: %s", n, said)
			}
		})
	}
}

// served starts a manager that nobody can ask anything, waits until it serves, stops it, and gives its log.
func served(t *testing.T, args []string) string {
	t.Helper()
	m := &manager{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(func() {
		if m.cmd != nil {
			m.kill()
		}
	})
	m.launch()
	m.stop()
	return m.log.tail(64 << 10)
}

package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// newSecureFake serves what newFake does over TLS, and gives the file of its authority.
func newSecureFake(t *testing.T) (f *fake, url, ca string) {
	t.Helper()
	f = newFake(t)
	f.on["list_containers"] = func(s *session, r request) { s.ack(r, `{"containers":[]}`) }
	var sessions sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.Add(1)
		defer sessions.Done()
		f.serve(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the refused ones
	server.StartTLS()
	t.Cleanup(func() { server.Close(); sessions.Wait() })
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return f, server.URL, ca
}

func TestTLS(t *testing.T) {
	f, url, ca := newSecureFake(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		server, ca string
		code       int
		says       string
	}{
		"its authority":        {url, ca, exitOK, ""},
		"the system's":         {url, "", exitError, "error: the certificate of " + url + " is not trusted: "},
		"http to https":        {strings.Replace(url, "https", "http", 1), ca, exitError, "one that serves TLS is at https://"},
		"https to http":        {strings.Replace(f.url, "http", "https", 1), ca, exitError, "does not speak TLS"},
		"no such file":         {url, filepath.Join(t.TempDir(), "absent"), exitUsage, "--tls-ca: open "},
		"no certificate in it": {url, empty, exitUsage, "holds no certificate in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, set := range []func() result{
				func() result { return flowctl(t, "", "get", "--server", tt.server, "--tls-ca", tt.ca) },
				func() result {
					t.Setenv("FLOWCTL_TLS_CA", tt.ca)
					return flowctl(t, "", "get", "--server", tt.server)
				},
			} {
				got := set()
				if got.Code != tt.code || !strings.Contains(got.Err, tt.says) || strings.Count(got.Err, "\n") > 1 {
					t.Errorf("got %+v, want %d and %q", got, tt.code, tt.says)
				}
			}
		})
	}
}

// Root may connect to every socket, so the system's answer to others is given by hand.
func TestUnreached_ErrPermission(t *testing.T) {
	err := unreached("unix:///run/x.sock", &os.PathError{Op: "connect", Path: "/run/x.sock", Err: syscall.EACCES})
	if !strings.Contains(err.Error(), "is for the manager's own user") {
		t.Errorf("got %v", err)
	}
}

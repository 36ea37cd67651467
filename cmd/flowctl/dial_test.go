package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDial_OK(t *testing.T) {
	for token, want := range map[string]string{"": "40", `se"cret`: `40{"token":"se\"cret"}`} {
		f := newFake(t)
		var got string
		f.welcome = func(s *session, packet string) { got = packet; s.send(`40{"sid":"x"}`) }
		c, err := Dial(soon(t), f.url, token, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got != want {
			t.Errorf("CONNECT is %s, want %s", got, want)
		}
		if origin := f.header.Values("Origin"); origin != nil {
			t.Errorf("Origin is sent: %q", origin)
		}
	}
}

func TestDial_UnixSocket(t *testing.T) {
	f := newFake(t)
	path := filepath.Join(t.TempDir(), "manager.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			sessions.Add(1)
			defer sessions.Done()
			f.serve(w, r)
		})}}
	server.Start()
	defer sessions.Wait()
	defer server.Close()
	t.Setenv("http_proxy", "http://127.0.0.1:1") // is for other hosts
	c, err := Dial(soon(t), "unix://"+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestDial_ErrRefused(t *testing.T) {
	tests := map[string]struct{ answer, want string }{
		"authentication": {
			`44{"message":"the token is not known","data":{"error":true,"error_type":"authentication_error","message":"the token is not known"}}`,
			"SERVER refused the session: the token is not known (authentication_error); give a token with --token or FLOWCTL_TOKEN",
		},
		"no data":     {`44{"message":"full"}`, "SERVER refused the session: full"},
		"other data":  {`44{"message":"full","data":7}`, "SERVER refused the session: full"},
		"no object":   {`44"full"`, `SERVER refused the session: "full"`},
		"malformed":   {"4", "the server sent something that is not Socket.IO: an empty message"},
		"unknown":     {"49", `the server sent something that is not Socket.IO: message "9"`},
		"no packet":   {"x", `the server sent something that is not Socket.IO: packet 'x'`},
		"empty":       {"\x00", `the server sent something that is not Socket.IO: packet '\x00'`},
		"broken open": {`0{"pingInterval":0}`, "the server sent something that is not Socket.IO: open packet \"{\\\"pingInterval\\\":0}\""},
		"closed":      {"1", "SERVER ended the connection"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.welcome = func(s *session, _ string) { s.send(tt.answer) }
			_, err := Dial(soon(t), f.url, "", nil)
			if err == nil {
				t.Fatal("joined")
			}
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(err.Error(), f.url, "SERVER")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDial_ErrHandshake(t *testing.T) {
	tests := map[string]struct {
		status     int
		body, want string
	}{
		"ours":  {421, `{"code":3,"message":"this Host is not allowed here"}`, `SERVER answered "421 Misdirected Request": this Host is not allowed here`},
		"other": {404, "<html>", `SERVER answered "404 Not Found": is that a flow-manager?`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer server.Close()
			_, err := Dial(soon(t), server.URL, "", nil)
			if err == nil || strings.ReplaceAll(err.Error(), server.URL, "SERVER") != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestDial_ErrUsage(t *testing.T) {
	for _, server := range []string{"", "127.0.0.1:8000", "localhost:8000", "ftp://x", "http://", "http://u:p@x", "http://x/?a=b", "unix://x"} {
		if _, err := Dial(soon(t), server, "", nil); !isUsage(err) {
			t.Errorf("%q: %v, want a usage error", server, err)
		}
	}
}

// A server that accepts and then says nothing is left as soon as ctx ends, in each phase of joining.
func TestDial_Cancelled(t *testing.T) {
	gone := errors.New("no longer wanted")
	t.Run("handshake", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ctx, cancel := context.WithCancelCause(soon(t))
		accepted, left := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(accepted)
			conn, err := listener.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1)) // the handshake is under way
			cancel(gone)
			<-left
		}()
		if _, err := Dial(ctx, "http://"+listener.Addr().String(), "", nil); !errors.Is(err, gone) {
			t.Errorf("got %v, want the cause", err)
		}
		close(left)
		<-accepted
	})
	t.Run("join", func(t *testing.T) {
		f := newFake(t)
		ctx, cancel := context.WithCancelCause(soon(t))
		f.welcome = func(*session, string) { cancel(gone) }
		if _, err := Dial(ctx, f.url, "", nil); !errors.Is(err, gone) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

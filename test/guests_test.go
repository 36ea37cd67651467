package test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// stranger is somebody at another address of this host.
func stranger(last byte) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}, Timeout: patience}
}

// Who connects and says nothing, or begins and does not join, keeps nobody out: neither who looks whether the manager is well nor
// who has something to declare.
func TestGuests_KeepNobodyOut(t *testing.T) {
	t.Parallel()
	const most = 200
	idle := func(t *testing.T, m *manager) {
		for n := range 3 * most / 2 {
			conn, err := stranger(2).DialContext(t.Context(), "tcp", m.addr)
			if err != nil {
				t.Fatalf("connection %d: %v", n, err)
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	unjoined := func(t *testing.T, m *manager) {
		began := 0
		for _, last := range []byte{2, 3} {
			web := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return stranger(last).DialContext(ctx, network, addr)
			}}}
			t.Cleanup(web.CloseIdleConnections)
			for range most / 2 {
				answer, err := web.Get("http://" + m.addr + "/socket.io/?EIO=4&transport=polling")
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					began++
				}
			}
		}
		if began < most/4 {
			t.Fatalf("%d handshakes are no crowd", began)
		}
	}
	for name, crowd := range map[string]func(*testing.T, *manager){"idle": idle, "unjoined": unjoined} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newManager(t, "--max-sessions", fmt.Sprint(most))
			crowd(t, m)
			for range 5 {
				began := time.Now()
				if err := m.probe("/healthz"); err != nil {
					t.Errorf("/healthz after %s: %v", time.Since(began), err)
				}
				if code, said := flowctl(t, "get", "--server", m.url()); code != 0 {
					t.Errorf("flowctl get: %d %s", code, said)
				}
			}
		})
	}
}

package socketio

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestTransport_Listener(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxConnections: 1, MaxPerAddress: 10}}, app{handle: echo})
	idle := make([]net.Conn, 2+64)
	for i := range idle {
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle[i] = conn
	}
	extra, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	eventually(t, "one connection too many is counted", func() bool { return e.Counts()[refusedConnection] == 1 })
	_ = extra.SetReadDeadline(time.Now().Add(patience))
	if _, err := extra.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("one connection too many: %v", err)
	}
	_ = idle[0].Close()
	_ = idle[1].Close()
	eventually(t, "room again", func() bool {
		ws, _, err := dial(t, e.addr, nil)
		if err == nil {
			_ = ws.Close()
		}
		return err == nil
	})
}

// One address does not take all TCP connections, those included that never ask for anything.
func TestListener_ConnectionsPerAddress(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxConnections: 100, MaxPerAddress: 1}}, app{handle: echo})
	for range 2 + 64 {
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	extra, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	eventually(t, "one connection too many is counted", func() bool { return e.Counts()[refusedConnection] == 1 })
	elsewhere := websocket.Dialer{NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}
	ws, _, err := elsewhere.Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatalf("from another address: %v", err)
	}
	_ = ws.Close()
}

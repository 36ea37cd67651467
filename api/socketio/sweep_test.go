package socketio

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// Connections that never join, or stay when their session is over, are ended.
func TestTransport_sweep(t *testing.T) {
	e := start(t, Config{Limits: Limits{JoinTimeout: 40 * time.Millisecond}}, app{handle: echo})
	idle, parted, polling := open(t, e.addr), join(t, e.addr), poll(t, e.addr)
	parted.send("41")
	idle.mustClose()
	parted.mustClose()
	eventually(t, "the polling connection is gone", func() bool { return len(e.allLinks()) == 0 })
	if status, _ := polling.do(http.MethodGet, ""); status != http.StatusBadRequest {
		t.Errorf("polling on: %d", status)
	}
	if n := e.engine.Clients().Len(); n != 0 {
		t.Errorf("the library still has %d clients", n)
	}
}

// A connection that ended before anybody listened is noticed by the sweep; without it, it would be kept for ever.
func TestTransport_sweep_forgotten(t *testing.T) {
	e := start(t, Config{}, app{})
	join(t, e.addr)
	conn := e.allLinks()[0].conn
	conn.SetReadyState("closed")
	e.sweepOnce(time.Now())
	eventually(t, "the session is gone", func() bool { return e.Sessions() == 0 })
	if n := len(e.allLinks()) + e.engine.Clients().Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	// The state was a lie, and the library still has a timer for the connection: this stops it.
	conn.SetReadyState("open")
	conn.(interface{ OnClose(string, ...error) }).OnClose("transport close")
}

// One that ended before the library listened itself stays in its table, unless it is taken out.
func TestTransport_forget(t *testing.T) {
	e := start(t, Config{}, app{})
	join(t, e.addr)
	l := e.allLinks()[0]
	l.ended("transport close")
	if n := len(e.allLinks()) + e.engine.Clients().Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	l.conn.Close(true) // it had not ended
}

// A connection that ends while the library makes the CONNECT answer leaves it with a socket that it never closes itself.
func TestTransport_joined_closedMeanwhile(t *testing.T) {
	e := start(t, Config{}, app{begin: func(s *Session) error {
		conn := s.link.conn
		return conn.On("packetCreate", func(...any) { conn.Close(true) })
	}})
	c := open(t, e.addr)
	c.send("40")
	c.mustClose()
	eventually(t, "the session is gone", func() bool { return e.Sessions() == 0 })
	eventually(t, "the library's sockets are gone", func() bool { return e.io.Sockets().Sockets().Len() == 0 })
}

// Clients that vanish with a reset, wherever they are by then, leave nothing behind.
func TestTransport_churn(t *testing.T) {
	// Nobody sees a client of polling go but by its silence.
	e := start(t, Config{Limits: Limits{PingInterval: time.Second, PingTimeout: time.Second}}, app{handle: echo})
	vanish := []func(){
		func() { reset(t, open(t, e.addr).ws.NetConn()) },
		func() {
			c := open(t, e.addr)
			c.send("40")
			reset(t, c.ws.NetConn())
		},
		func() {
			c := join(t, e.addr)
			c.send(`421["echo",1]`)
			reset(t, c.ws.NetConn())
		},
		func() {
			p := poll(t, e.addr)
			p.post("40")
			conn, err := net.Dial("tcp", e.addr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", p.sid)
			reset(t, conn)
			p.http.CloseIdleConnections()
		},
	}
	for i := range load(400, 4000) {
		vanish[i%len(vanish)]()
	}
	eventually(t, "nothing is left", func() bool { return e.held() == 0 })
}

func reset(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

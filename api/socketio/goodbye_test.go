package socketio

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The library leaves the TCP connection of a client open that closes its WebSocket; Node's client waits 30 seconds for it.
func TestTransport_HangsUpWhenTheClientCloses(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	for _, goodbye := range []string{"", "41"} {
		c := join(t, e.addr)
		c.mustEcho() // a goodbye before the library has its socket in its tables ends the connection without more ado
		if goodbye != "" {
			c.send(goodbye)
		}
		if err := c.ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.next(); !websocket.IsCloseError(err, websocket.CloseNoStatusReceived) {
			t.Errorf("after %q the close frame was answered by %v; counted: %v", goodbye, err, e.Counts())
		}
		tcp := c.ws.UnderlyingConn()
		if err := tcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := tcp.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after %q the connection ends with %v", goodbye, err)
		}
	}
}

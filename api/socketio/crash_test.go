package socketio

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
	"github.com/zishang520/engine.io/v2/types"

	"github.com/flow-manager/flow-manager/api/session"
)

// serveFragile has bugs of each kind.
func serveFragile() {
	tr, err := New(Config{Log: zerolog.New(os.Stderr), Events: []string{"echo", "boom", "break", "mend"}, Authenticate: childAuth}, app{begin: childBegin, handle: childHandle,
		end: func(*Session) { panic("end") },
	})
	if err != nil {
		panic(err)
	}
	serveOn(tr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func childAuth(_ context.Context, auth json.RawMessage, _ string) (session.Principal, context.Context, error) {
	var asked struct{ Panic string }
	_ = json.Unmarshal(auth, &asked) // without one there is no panic
	if asked.Panic == "auth" {
		panic("auth")
	}
	return session.Principal{Name: asked.Panic}, context.Background(), nil
}

// childBegin breaks the session in the way that its principal is named after.
func childBegin(s *Session) error {
	switch s.Principal().Name {
	case "begin":
		panic("begin")
	case "joined":
		s.sock.SetData(nil) // which the library hands to us when it has sent its CONNECT answer
	case "write":
		s.sock = nil
		s.Emit("x", nil)
	case "packetCreate", "flush", "packet", "heartbeat", "close":
		_ = s.link.conn.On(types.EventName(s.Principal().Name), s.link.recovering(func([]any) { panic("listener") }))
	}
	return nil
}

func childHandle(s *Session, r *session.Request) {
	switch r.Event {
	case "boom":
		panic("a bug")
	case "break": // the middleware of whoever joins next writes to a map that is not there
		s.t.mu.Lock()
		s.t.sessions = nil
		s.t.mu.Unlock()
	case "mend":
		s.t.mu.Lock()
		s.t.sessions = map[*Session]struct{}{s: {}}
		s.t.mu.Unlock()
	}
	echo(s, r)
}

// masked is a client's WebSocket text frame with a zero mask.
func masked(payload string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

const handshake = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n" +
	"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// A pong while the library is still setting the connection up dereferences nil.
func TestGate_earlyPong(t *testing.T) {
	t.Parallel()
	for name, pipelined := range map[string]bool{"behind the answer": false, "in the request's segment": true} {
		t.Run(name, func(t *testing.T) {
			c := startChild(t, "fragile")
			for range 1500 {
				if !earlyPong(c, pipelined) {
					break
				}
			}
			c.mustLive()
		})
	}
}

func earlyPong(c *child, pipelined bool) bool {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	request := []byte(handshake)
	if pipelined {
		request = append(request, masked("3")...)
	}
	_, _ = conn.Write(request)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 16)) // the first bytes of the answer
	if !pipelined {
		_, _ = conn.Write(masked("3"))
		_, _ = conn.Read(make([]byte, 512))
	}
	return err == nil || pipelined
}

// A second connection of the same session that speaks an older protocol makes the library use a timer that is not there.
func TestFront_mixedProtocols(t *testing.T) {
	c := startChild(t, "fragile")
	for _, query := range []string{"EIO=3", "EIO=4&EIO=3", "EIO=3&EIO=4", ""} {
		p := poll(t, c.addr)
		ws, res, err := websocket.DefaultDialer.Dial("ws://"+c.addr+"/socket.io/?transport=websocket&sid="+p.sid+"&"+query, nil)
		if err == nil {
			second := &client{t: t, ws: ws}
			second.send("2probe")
			_, _ = second.next()
			second.send("5")
			second.send("2")
			second.mustClose()
			t.Errorf("%q was let in", query)
		} else if res == nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %v", query, err)
		}
	}
	c.mustLive()
}

// Events and acknowledgements without data are type assertions on nil inside the library.
func TestParser_missingData(t *testing.T) {
	t.Parallel()
	c := startChild(t, "fragile")
	for _, frame := range []string{"42", "427", "43", "431", "431[]", "450-", "460-", "4510-[]", `42{}`, "42[]", `42["echo"`} {
		k := join(t, c.addr)
		k.send(frame)
		said := k.mustClose()
		if len(said) != 1 || !strings.HasPrefix(said[0], `42["error",{"error":true,"error_type":"validation_error"`) {
			t.Errorf("%s: the client was told %q", frame, said)
		}
		c.mustLive()
	}
	k := join(t, c.addr)
	k.send("451-")
	_ = k.ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3})
	k.mustClose()
	c.mustLive()
}

func TestSession_panic(t *testing.T) {
	t.Parallel()
	c := startChild(t, "fragile")
	for _, auth := range []string{`{"panic":"auth"}`, `{"panic":"begin"}`} {
		k := open(t, c.addr)
		k.send("40" + auth)
		if got := k.read(); !strings.HasPrefix(got, "44{") || !strings.Contains(got, "system_error") {
			t.Errorf("%s: got %q", auth, got)
		}
	}
	k := join(t, c.addr)
	k.send(`425["boom",{}]`)
	ack, event := k.read(), k.read()
	if !strings.HasPrefix(ack, `435[{"error":true,"error_type":"system_error"`) || !strings.HasPrefix(event, `42["error",`) {
		t.Errorf("answered %q, %q", ack, event)
	}
	k.mustEcho()
	_ = k.ws.Close() // End panics too
	c.mustLive()
}

// Nor does a bug outside the handlers: in the middleware, in what follows it, in a writer, in a listener of each kind.
func TestLink_panic(t *testing.T) {
	t.Parallel()
	c := startChild(t, "fragile")
	for _, where := range []string{"joined", "write", "packetCreate", "flush", "packet", "heartbeat", "close"} {
		k := open(t, c.addr)
		k.send(`40{"panic":"` + where + `"}`)
		if where == "packet" || where == "heartbeat" || where == "close" {
			k.read()
			k.send("3") // for these to hear
		}
		k.mustClose()
		c.mustLive()
	}
	k := join(t, c.addr)
	k.send(`421["break",1]`)
	k.read()
	other := open(t, c.addr)
	other.send("40")
	other.mustClose()
	k.send(`422["mend",1]`)
	k.read()
	c.mustLive()
}

// A WebSocket that is closed while the session tries it, and while the session itself ends, makes the library dereference nil.
func TestGate_aProbeThatFails(t *testing.T) {
	t.Parallel()
	c := startChild(t, "fragile")
	for range 300 {
		p := poll(t, c.addr)
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+c.addr+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.WriteMessage(websocket.TextMessage, []byte("2probe")); err != nil {
			t.Fatal(err)
		}
		var ends sync.WaitGroup
		ends.Go(func() { _ = ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience)) })
		ends.Go(func() { _, _ = p.do(http.MethodPost, "1") })
		ends.Wait()
		_ = ws.Close()
	}
	c.mustLive()
}

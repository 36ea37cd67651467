package socketio

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api/session"
)

// These are the cases of the protocols' own suites (engine.io-protocol and socket.io-protocol, test-suite) that apply, written anew.
// Where this server answers otherwise, and why, stands at the case. What does not apply: namespaces of one's own and binary packets,
// which are refused by name (TestParser_namespaces, TestParser_binaryArguments), and a server's events without a session.

// suite serves what those suites ask for: an event with the auth, an echo, and an echo by acknowledgement.
func suite(t *testing.T, limits Limits) env {
	auth := make(chan json.RawMessage, 1)
	return start(t, Config{
		Events: []string{"message", "message-with-ack"},
		Limits: limits,
		Authenticate: func(_ context.Context, given json.RawMessage, _ string) (session.Principal, context.Context, error) {
			auth <- given
			return session.Principal{Name: "suite"}, context.Background(), nil
		},
	}, app{
		begin: func(s *Session) error {
			given := <-auth
			if len(given) == 0 {
				given = json.RawMessage(`{}`)
			}
			s.Emit("auth", given)
			return nil
		},
		handle: func(s *Session, r *session.Request) {
			if r.Event == "message" {
				s.Emit("message-back", r.Data)
			}
			r.Ack(r.Data)
		},
	})
}

const polled = "/socket.io/?EIO=4&transport=polling"

func TestProtocol_Handshake(t *testing.T) {
	e := suite(t, Limits{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond})
	opened := func(t *testing.T, packet string) {
		var values map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "0")), &values); err != nil || packet[0] != '0' {
			t.Fatalf("%q: %v", packet, err)
		}
		_, named := values["sid"].(string)
		upgrades, _ := values["upgrades"].([]any)
		_, bounded := values["maxPayload"].(float64)
		if len(values) != 5 || !named || !bounded || values["pingInterval"] != 300.0 || values["pingTimeout"] != 200.0 {
			t.Errorf("opened: %v", values)
		}
		if strings.Contains(t.Name(), "polling") != (len(upgrades) == 1 && upgrades[0] == "websocket") {
			t.Errorf("upgrades: %v", upgrades)
		}
	}
	t.Run("polling", func(t *testing.T) {
		res, body := fetch(t, e, http.MethodGet, polled, "", nil)
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		opened(t, body)
	})
	t.Run("websocket", func(t *testing.T) {
		ws, _, err := dial(t, e.addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		opened(t, (&client{t: t, ws: ws}).read())
	})
	for _, query := range []string{"transport=TRANSPORT", "EIO=abc&transport=TRANSPORT", "EIO=4", "EIO=4&transport=abc"} {
		if res, _ := fetch(t, e, http.MethodGet, "/socket.io/?"+strings.Replace(query, "TRANSPORT", "polling", 1), "", nil); res.StatusCode != http.StatusBadRequest {
			t.Errorf("polling with %s: %s", query, res.Status)
		}
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+e.addr+"/socket.io/?"+strings.Replace(query, "TRANSPORT", "websocket", 1), nil)
		if err == nil {
			ws.Close()
			t.Errorf("a WebSocket with %s is let in", query)
		}
	}
	// There 400 is expected; 405 says the same, and Allow what to use.
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		if res, _ := fetch(t, e, method, polled, "", nil); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
}

func TestProtocol_Polling(t *testing.T) {
	e := suite(t, Limits{})
	t.Run("several packets in one payload", func(t *testing.T) {
		p := poll(t, e.addr)
		p.post("40\x1e42[\"message\",\"test1\"]\x1e42[\"message\",\"test2\"]\x1e42[\"message\",\"test3\"]")
		var got []string
		p.readUntil(func(frame string) bool {
			if strings.HasPrefix(frame, "42[\"message-back") {
				got = append(got, frame)
			}
			return len(got) == 3
		})
		if want := []string{`42["message-back","test1"]`, `42["message-back","test2"]`, `42["message-back","test3"]`}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("an invalid packet", func(t *testing.T) {
		p := poll(t, e.addr)
		if status, _ := p.do(http.MethodPost, "abc"); status != http.StatusBadRequest {
			t.Errorf("%d", status)
		}
		// There the session ends. Here nothing has reached it: its client may still go on with it, until it is swept.
	})
	t.Run("a poll that is cancelled", func(t *testing.T) {
		p := poll(t, e.addr)
		p.post("40")
		p.readUntil(func(frame string) bool { return strings.HasPrefix(frame, `42["auth"`) })
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"&sid="+p.sid, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Millisecond, cancel)
		if res, err := p.http.Do(req); err == nil {
			res.Body.Close()
			t.Fatal("the poll was answered")
		}
		eventually(t, "the session is closed", func() bool {
			status, _ := p.do(http.MethodPost, `42["message",1]`)
			return status == http.StatusBadRequest
		})
	})
	t.Run("a close", func(t *testing.T) {
		p := poll(t, e.addr)
		last := make(chan string, 1)
		go func() {
			_, body := p.do(http.MethodGet, "")
			last <- body
		}()
		eventually(t, "the poll is open", func() bool { l := e.link(p.sid); return l.polling.Load() && l.conn.Transport().Writable() })
		p.post("1")
		if got := <-last; got != "6" {
			t.Errorf("the poll was answered %q", got)
		}
		if status, _ := p.do(http.MethodGet, ""); status != http.StatusBadRequest {
			t.Errorf("polling on: %d", status)
		}
	})
}

func TestProtocol_WebSocket(t *testing.T) {
	e := suite(t, Limits{})
	t.Run("an invalid packet", func(t *testing.T) {
		c := open(t, e.addr)
		c.send("abc")
		c.mustClose()
	})
	t.Run("a close", func(t *testing.T) {
		c := open(t, e.addr)
		c.send("1")
		c.mustClose()
	})
}

func TestProtocol_Heartbeat(t *testing.T) {
	e := suite(t, Limits{PingInterval: 300 * time.Millisecond, PingTimeout: patience})
	// A connection that ends while the library acts on a pong leaves it with a timer for as long as a pong may take.
	heard := func() bool {
		for _, l := range e.allLinks() {
			if l.pings.Load() > 0 {
				return false
			}
		}
		return true
	}
	t.Run("a poll", func(t *testing.T) {
		p := poll(t, e.addr)
		for range 2 {
			p.readUntil(func(frame string) bool { return frame == "2" })
			p.post("3")
		}
		p.post("1")
	})
	t.Run("a WebSocket", func(t *testing.T) {
		c := joinSuite(t, e)
		for range 2 {
			if got := c.readRaw(); got != "2" {
				t.Fatalf("got %q", got)
			}
			c.send("3")
		}
		eventually(t, "the pong is heard", heard)
	})
}

func TestProtocol_NoHeartbeat(t *testing.T) {
	e := suite(t, Limits{PingInterval: 50 * time.Millisecond, PingTimeout: 100 * time.Millisecond})
	t.Run("a poll", func(t *testing.T) {
		p := poll(t, e.addr)
		p.readUntil(func(frame string) bool { return frame == "2" })
		eventually(t, "the session is closed", func() bool { return e.link(p.sid) == nil })
		if status, _ := p.do(http.MethodGet, ""); status != http.StatusBadRequest {
			t.Errorf("polling on: %d", status)
		}
	})
	t.Run("a WebSocket", func(t *testing.T) {
		c := open(t, e.addr)
		for _, want := range []string{"2", ""} {
			if got := c.readRaw(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		eventually(t, "both are counted", func() bool { return e.Counts()["closed_ping_timeout"] == 2 })
	})
}

// readRaw is the next frame, a ping included, or "" when the connection has ended.
func (c *client) readRaw() string {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	_, b, err := c.ws.ReadMessage()
	if err != nil && strings.Contains(err.Error(), "timeout") {
		c.t.Fatal(err)
	}
	return string(b)
}

func joinSuite(t *testing.T, e env) *client {
	t.Helper()
	c := join(t, e.addr)
	if got := c.read(); got != `42["auth",{}]` {
		t.Fatalf("got %q", got)
	}
	return c
}

func TestProtocol_Upgrade(t *testing.T) {
	e := suite(t, Limits{})
	p := poll(t, e.addr)
	c := rawUpgrade(t, e, p)
	c.send("2probe")
	if got := c.read(); got != "3probe" {
		t.Fatalf("the probe was answered %q", got)
	}
	c.send("5")
	c.send("40")
	if got := c.read(); !strings.HasPrefix(got, `40{"sid":"`) {
		t.Errorf("after the upgrade came %q", got)
	}
	if res, _ := fetch(t, e, http.MethodGet, polled+"&sid="+p.sid, "", nil); res.StatusCode != http.StatusBadRequest {
		t.Errorf("polling after the upgrade: %s", res.Status)
	}
	if ws, _, err := websocket.DefaultDialer.Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil); err == nil {
		ws.Close() // there it is let in and closed
		t.Error("a second WebSocket is let in")
	}
	c.send(`42["message","hello"]`)
	for _, want := range []string{`42["auth",{}]`, `42["message-back","hello"]`} {
		if got := c.read(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestProtocol_Connect(t *testing.T) {
	e := suite(t, Limits{})
	for given, auth := range map[string]string{"40": "{}", `40{"token":"123"}`: `{"token":"123"}`, `40/,{"token":"123"}`: `{"token":"123"}`} {
		c := open(t, e.addr)
		c.send(given)
		got := c.read()
		var values map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(got, "40")), &values); err != nil || len(values) != 1 || values["sid"] == "" {
			t.Errorf("%s: %q, %v", given, got, err)
		}
		if got := c.read(); got != `42["auth",`+auth+`]` {
			t.Errorf("%s: %q", given, got)
		}
	}
	c := open(t, e.addr)
	c.send("40/random")
	if got := c.read(); got != `44/random,{"message":"Invalid namespace"}` {
		t.Errorf("an unknown namespace: %q", got)
	}
	for _, invalid := range []string{"4abc", `40"text"`, "40[1]", "40{", `42["message"]`} {
		c := open(t, e.addr)
		c.send(invalid)
		c.mustClose()
	}
}

func TestProtocol_Message(t *testing.T) {
	e := suite(t, Limits{})
	c := joinSuite(t, e)
	// There all arguments come back; here an event has one, and what follows it is passed over.
	c.send(`42["message",{"3":[true,"2",1]},"more"]`)
	if got := c.read(); got != `42["message-back",{"3":[true,"2",1]}]` {
		t.Errorf("got %q", got)
	}
	c.send(`42456["message-with-ack",{"3":[true,"2",1]}]`)
	if got := c.read(); got != `43456[{"3":[true,"2",1]}]` {
		t.Errorf("got %q", got)
	}
	for name, invalid := range map[string]string{"packet type": "4abc", "payload": "42{}", "acknowledgement id": `42abc["message-with-ack",1]`} {
		t.Run(name, func(t *testing.T) {
			c := joinSuite(t, e)
			c.send(invalid)
			c.mustClose()
		})
	}
}

func TestProtocol_Disconnect(t *testing.T) {
	e := suite(t, Limits{})
	c := joinSuite(t, e)
	c.send("41")
	eventually(t, "the session is over", func() bool { return e.Sessions() == 0 })
	c.send("2") // the connection is the client's to close, and is judged until then
	c.mustClose()
}

func TestProtocol_NoConnect(t *testing.T) {
	open(t, suite(t, Limits{JoinTimeout: 100 * time.Millisecond}).addr).mustClose()
}

package socketio

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"
)

// rawUpgrade is a WebSocket of a session that polls, on which a test may write several frames as one.
func rawUpgrade(t *testing.T, e env, p *poller) *client {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return &client{t: t, ws: ws}
}

func (c *client) sendTogether(frames ...[]byte) {
	c.t.Helper()
	if _, err := c.ws.NetConn().Write(bytes.Join(frames, nil)); err != nil {
		c.t.Fatal(err)
	}
}

func joinPolling(t *testing.T, e env) *poller {
	t.Helper()
	p := poll(t, e.addr)
	p.post("40")
	if got := p.get(); !strings.HasPrefix(got, `40{"sid"`) {
		t.Fatalf("CONNECT answered %q", got)
	}
	return p
}

// A client that is gone as soon as it has upgraded is gone, whatever of its last words came in one piece.
func TestProbe_ClosedRightBehindTheUpgrade(t *testing.T) {
	closing := frame(true, closeFrame, 0)
	for name, pieces := range map[string][][][]byte{
		"all at once":              {{masked("2probe"), masked("5"), masked("41"), closing}},
		"behind the answer":        {{masked("2probe")}, {masked("5"), masked("41"), closing}},
		"without a goodbye":        {{masked("2probe")}, {masked("5"), closing}},
		"a request before that":    {{masked("2probe")}, {masked("5"), masked(`421["echo",1]`), closing}},
		"one and a half, and more": {{masked("2probe"), masked("5")[:3]}, {masked("5")[3:], closing[:1]}, {closing[1:]}},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, Config{}, app{handle: echo})
			p := joinPolling(t, e)
			c := rawUpgrade(t, e, p)
			for n, piece := range pieces {
				c.sendTogether(piece...)
				if n == 0 {
					if got := c.read(); got != "3probe" {
						t.Fatalf("the probe was answered %q", got)
					}
				}
			}
			c.mustClose()
			eventually(t, "the session is gone", func() bool { return e.Sessions() == 0 && len(e.allLinks()) == 0 })
		})
	}
}

// What is no upgrade leaves the session where it was, and its polls are answered from then on.
func TestProbe_ThatFails(t *testing.T) {
	for name, piece := range map[string][]byte{
		"closed":     frame(true, closeFrame, 0),
		"in pieces":  frame(false, 1, 3),
		"large":      frame(true, 1, 200),
		"not masked": []byte("\x81\x015"),
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, Config{}, app{handle: echo})
			p := joinPolling(t, e)
			c := rawUpgrade(t, e, p)
			c.sendTogether(masked("2probe"), piece)
			if got := c.read(); got != "3probe" {
				t.Fatalf("the probe was answered %q", got)
			}
			p.post(`421["echo",1]`)
			for got := ""; got != "431[1]"; {
				if got = p.get(); got != "431[1]" && got != "6" {
					t.Fatalf("polled %q", got)
				}
			}
		})
	}
}

// A poll that comes while an upgrade is tried is answered at once, however often: the client upgrades when its last one has ended.
func TestProbe_EndsThePoll(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	p := joinPolling(t, e)
	c := rawUpgrade(t, e, p)
	c.send("2probe")
	if got := c.read(); got != "3probe" {
		t.Fatalf("the probe was answered %q", got)
	}
	for range 3 {
		if got := p.get(); got != "6" {
			t.Errorf("polled %q", got)
		}
	}
	p.post(`421["echo",1]`)
	c.send("5")
	if got := c.read(); got != "431[1]" {
		t.Errorf("after the upgrade came %q", got)
	}
	if status, _ := p.do(http.MethodGet, ""); status != http.StatusBadRequest {
		t.Errorf("polling after the upgrade: %d", status)
	}
}

// The library's timer for an upgrade goes for ever where it is stopped as it goes off. Nothing of it is there to begin with.
func TestProbe_LeavesNoTimer(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	for range 4 {
		p := joinPolling(t, e)
		c := rawUpgrade(t, e, p)
		c.send("2probe")
		c.read()
		if stacks := stacksWith("utils.SetInterval"); stacks != "" {
			t.Fatalf("a timer goes:\n%s", stacks)
		}
		c.send("5")
		c.mustEcho()
		_ = c.ws.Close()
	}
}

// However a client's frames are cut, they are read one by one.
func TestClientFrame_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(t, "payload")
		mask := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask")
		opcode := rapid.SampledFrom([]byte{1, 2, 8, 9, 10}).Draw(t, "opcode")
		whole := append([]byte{0x80 | opcode, 0x80 | byte(len(payload))}, mask...)
		for i, v := range payload {
			whole = append(whole, v^mask[i%4])
		}
		for n := range whole {
			if got, _, ok := clientFrame(whole[:n]); got != nil || !ok {
				t.Fatalf("%d of %d bytes: %x, %v", n, len(whole), got, ok)
			}
		}
		got, content, ok := clientFrame(append(bytes.Clone(whole), 0x81))
		if !ok || !bytes.Equal(got, whole) || !bytes.Equal(content, append([]byte{opcode}, payload...)) {
			t.Fatalf("%x: %x, %x, %v", whole, got, content, ok)
		}
	})
}

// What the library waits with for a poll to answer ends with the connection, though the transport is called closed by then.
func TestLink_PollingEndsAtOnce(t *testing.T) {
	e := start(t, Config{}, app{})
	l := e.link(poll(t, e.addr).sid)
	l.conn.Transport().Close() // as the library does where an answer fails: it waits 30 s from here
	l.conn.Transport().SetReadyState("closed")
	l.conn.(interface{ OnClose(string, ...error) }).OnClose("transport error")
	// Whether something still waits is looked at when every test ends.
}

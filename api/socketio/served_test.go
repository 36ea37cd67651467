package socketio

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
	"github.com/flow-manager/flow-manager/test/asyncapi"
)

// served is the server on a real store behind this transport.
type served struct {
	env
	store *store.Store
}

func serve(t *testing.T) *served {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &servertest.Parts{}
	app := server.New(server.Backend{Store: s, Messenger: p, Stats: p, Logs: p, Engine: p, Policy: p, Planner: p, Log: zerolog.Nop()})
	end := servertest.Run(app, s)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return &served{start(t, Config{Events: api.Requests(), Limits: Limits{RequestsPerSecond: 100_000}}, app), s}
}

// ask sends a request and returns its acknowledgement; events that come before are passed over.
func (c *client) ask(event, body string) map[string]any {
	c.t.Helper()
	c.send(fmt.Sprintf(`421["%s",%s]`, event, body))
	return c.body("431[")
}

// event passes over all that comes before an event of the name.
func (c *client) event(name string) map[string]any {
	c.t.Helper()
	return c.body(`42["` + name + `",`)
}

func (c *client) body(prefix string) map[string]any {
	c.t.Helper()
	for {
		rest, ok := strings.CutPrefix(c.read(), prefix)
		if !ok {
			continue
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(strings.TrimSuffix(rest, "]")), &body); err != nil {
			c.t.Fatal(err)
		}
		return body
	}
}

func TestServer_WhatIsSentBeforeAGoodbyeIsDeclared(t *testing.T) {
	s := serve(t)
	c := join(t, s.addr)
	const sent = 50
	for range sent {
		c.send(`42["create_container",{"image":"app"}]`)
	}
	c.send("41")
	eventually(t, "all is declared", func() bool { records, _ := s.store.List(); return len(records) == sent })
}

// What goes on when its handler has returned may meet a bug as well.
func TestServer_panicLater(t *testing.T) {
	s := serve(t)
	c := join(t, s.addr)
	c.ask(api.CreateContainer, `{"name":"web","image":"app"}`)
	if ack := c.ask(api.SendMessage, `{"container_id":"web","message":{"bug":1}}`); ack["error_type"] != "system_error" {
		t.Errorf("got %v", ack)
	}
	if got := s.Counts()[requestPanic]; got != 1 {
		t.Errorf("%d are counted", got)
	}
}

// What is not JSON in UTF-8 cannot be answered by name: the session is told why and ends, and nobody else's does.
func TestContract_WhatIsNoJSON(t *testing.T) {
	s := serve(t)
	other := join(t, s.addr)
	before := s.store.Revision()
	for name, body := range map[string]string{
		"NaN": `{"limit":NaN}`, "Infinity": `{"limit":-Infinity}`, "a byte order mark": "\ufeff{}", "invalid UTF-8": "{\"image\":\"\xff\"}",
		"an encoded surrogate": "{\"image\":\"\xed\xa0\x80\"}", "an overlong form": "{\"image\":\"\xc0\xaf\"}", "a leading zero": `{"limit":01}`, "a plus": `{"limit":+1}`,
		"hex": `{"limit":0x1}`, "a trailing comma": `{"limit":1,}`, "a comment": `{/**/}`, "single quotes": `{'limit':1}`, "a raw NUL": "{\"image\":\"\x00\"}",
		"a raw line break": "{\"image\":\"\n\"}", "an open object": `{"limit":1`, "a bare word": `undefined`, "half an escape": `{"image":"\u12"}`,
	} {
		c := join(t, s.addr)
		c.send(`421["` + api.CreateContainer + `",` + body + `]`)
		if e := c.event(api.ErrorEvent); e["error_type"] != "validation_error" || !strings.Contains(fmt.Sprint(e["message"]), "not JSON in UTF-8") {
			t.Errorf("%s: %v", name, e)
		}
		c.mustClose()
		if ack := other.ask(api.ListContainers, `{}`); ack["count"] != 0.0 {
			t.Errorf("after %s: %v", name, ack)
		}
	}
	if after := s.store.Revision(); after != before {
		t.Error("something was stored")
	}
}

// What is too deep or too much is refused by name before a handler sees it.
func TestContract_WhatIsTooMuch(t *testing.T) {
	s := serve(t)
	c := join(t, s.addr)
	for event, body := range map[string]string{
		api.CreateContainer: strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70),
		api.ListContainers:  `{"states":[` + strings.Repeat("1,", 20_000) + `1]}`,
	} {
		if ack := c.ask(event, body); ack["error_type"] != "validation_error" || ack["details"].(map[string]any)["fields"] != nil {
			t.Errorf("%s: %v", event, ack)
		}
	}
	if n := s.Counts()[requestLimits]; n != 2 {
		t.Errorf("%d are counted", n)
	}
}

// The requests that the transport admits are those of the server; what it says of any other is the same.
func TestServer_SaysWhichEventWasMeant(t *testing.T) {
	c := join(t, serve(t).addr)
	if ack := c.ask("listContainers", `{}`); ack["message"] != `there is no event "listContainers"; did you mean list_containers?` {
		t.Errorf("got %v", ack)
	}
}

// What the transport adds to what it is given is in the document as well.
func TestContract_WhatTheTransportAdds(t *testing.T) {
	d, err := asyncapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	dropped := (&gap{from: "a", to: "b", events: 2}).packet()
	coalesced := newsOf(api.ImagePullProgress, api.PullProgress{Image: "app"}.Event().Stamped(time.Now(), ""), "2", "x")
	coalesced = coalesced.over(coalesced).final()
	for name, packet := range map[string]outbound{api.EventsDropped: dropped, api.ImagePullProgress: coalesced} {
		body := strings.TrimSuffix(strings.TrimPrefix(string(packet.frame), `2["`+name+`",`), "]")
		if err := d.Judge(name, []byte(body)); err != nil {
			t.Error(err)
		}
	}
}

// What is long is sent at the pace of its reader: what does not fit waits in the handler, not in memory, and none is lost.
func TestServer_LongAnswersGoAtThePaceOfTheReader(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for event, tt := range map[string]struct {
		body  string
		times int
	}{
		api.ListContainers:  {`{}`, 6}, // two answers of 1 MiB each
		api.CreateContainer: {`{"image":"app","environment":{"A":"` + long + `","B":"` + long + `"}}`, 40},
		api.SendMessage:     {`{"container_id":"c0","message":{"text":"` + long + long + `"}}`, 40},
	} {
		t.Run(event, func(t *testing.T) {
			s := serve(t)
			for i := range 6 {
				ack := join(t, s.addr).ask(api.CreateContainer, fmt.Sprintf(`{"name":"c%d","image":"app","environment":{"A":"%s","B":"%s"}}`, i, long, long))
				if ack["ok"] != true {
					t.Fatal(ack["message"])
				}
			}
			c := deaf(t, s.addr)
			for n := range tt.times {
				c.send(fmt.Sprintf(`42%d["%s",%s]`, n, event, tt.body))
			}
			eventually(t, "no more fits", func() bool { return s.waiting() > 3<<20 })
			_ = c.ws.NetConn().(*net.TCPConn).SetReadBuffer(4 << 20) // now it is quick
			for acks := 0; acks < tt.times; {
				frame := c.read()
				if !strings.HasPrefix(frame, "43") {
					continue
				}
				if acks++; !strings.Contains(frame, `"ok":true`) && !strings.Contains(frame, "rate_limit_error") {
					t.Errorf("ack: %.200s", frame)
				}
			}
			if n := s.Counts()[endedSlow]; n != 0 {
				t.Error("it was cut off")
			}
		})
	}
}

// waiting is how many bytes wait for the client that has most.
func (s *served) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 0
	for c := range s.sessions {
		c.out.mu.Lock()
		most = max(most, c.out.bytes)
		c.out.mu.Unlock()
	}
	return most
}

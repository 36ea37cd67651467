package socketio

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A packet that announces attachments is refused before the first of them is kept.
func TestParser_attachments(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	before := heap()
	c := open(t, e.addr)
	c.send(`4599999999999-["echo",{"_placeholder":true,"num":0}]`)
	chunk := make([]byte, 512<<10)
	for range 100 {
		if c.ws.WriteMessage(websocket.BinaryMessage, chunk) != nil {
			break
		}
	}
	c.mustClose()
	if after := heap(); after > before+16<<20 {
		t.Errorf("the heap went from %d to %d", before, after)
	}
	eventually(t, "counted", func() bool { return e.Counts()[brokeBinary] == 1 })
	join(t, e.addr).mustEcho()
}

// A request with binary arguments is refused by its name, what belongs to it is let fall, and the others are answered.
func TestParser_binaryArguments(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	c := join(t, e.addr)
	c.send(`452-1["echo",{"a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":1}}]`)
	for range 2 {
		if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
	c.send(`422["echo",{"n":2}]`)
	for _, want := range []string{`431[{"error":true,"error_type":"validation_error"`, `42["error",{`, `432[{"n":2}]`} {
		if got := c.read(); !strings.HasPrefix(got, want) {
			t.Errorf("got %.120q, want %q", got, want)
		}
	}
	p := poll(t, e.addr)
	p.post("40")
	p.get()
	p.post("451-[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID\x1e423[\"echo\",3]")
	answered := p.readUntil(func(frame string) bool { return frame == "433[3]" }) // by one poll or by two
	if len(answered) != 2 || !strings.Contains(answered[0], "validation_error") {
		t.Errorf("got %q", answered)
	}
	if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte{1}); err != nil { // one that belongs to nothing
		t.Fatal(err)
	}
	c.mustClose()
}

// Another namespace is refused alone, by the protocol's own words, whatever it is called. What else is sent to it is nobody's; the
// client's own namespace goes on.
func TestParser_namespaces(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	for _, c := range []*client{open(t, e.addr), join(t, e.addr)} {
		for _, name := range []string{"/admin", "/a.b", "/org/1", "/größe", "/with space"} {
			c.send("40" + name + `,{"token":"x"}`)
			if got, want := c.read(), `44`+name+`,{"message":"Invalid namespace"}`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			for _, frame := range []string{"41" + name + ",", "42" + name + `,["echo"]`, "42" + name + `,7["echo"]`, "43" + name + `,7[]`, "451-" + name + `,["echo",{}]`} {
				c.send(frame)
			}
		}
		c.send("40/admin?a=b,")
		if got, want := c.read(), `44/admin,{"message":"Invalid namespace"}`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	c := join(t, e.addr)
	c.send("40/admin")
	c.read()
	c.mustEcho()
	c.send(`42/,1["echo",{"a":"/"}]`) // that is the client's own
	if got, want := c.read(), `431[{"a":"/"}]`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if e.Counts()[refusedNamespace] != 2*(5*6+1)+1 {
		t.Errorf("counted: %v", e.Counts())
	}
}

// Names are not echoed without end to a client that does not read, and such as no client has not at all.
func TestParser_namespacesAreBounded(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	c := join(t, e.addr)
	for _, name := range []string{"/" + strings.Repeat("n", maxNamespace), "/" + strings.Repeat("n", 30<<10), "/a\x00b", "/a\nb", "/a\u2028b"} {
		c.send("40" + name + ",")
	}
	for range 100 {
		c.send("40/admin,")
	}
	for range maxOthers {
		if got, want := c.read(), `44/admin,{"message":"Invalid namespace"}`; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	c.mustEcho()
}

func TestParser_malformed(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	other := join(t, e.addr)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":0`, i)
	}
	for _, tt := range []struct {
		name, frame, reason string
		lives               bool
	}{
		{"100,000 keys", `421["echo",{` + strings.Join(keys, ",")[:500<<10] + `"":0}]`, requestLimits, true},
		{"depth 10,000", `421["echo",` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `]`, requestLimits, true},
		{"depth 64", `421["echo",` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `]`, requestLimits, true},
		{"too large", `421["echo","` + strings.Repeat("x", 600<<10) + `"]`, requestLimits, true},
		{"unknown event", `421["launch",{}]`, requestUnknown, true},
		{"event error", `421["error",{}]`, requestUnknown, true},
		{"event connection", `421["connection",{}]`, requestUnknown, true},
		{"event disconnect", `421["disconnect",{}]`, requestUnknown, true},
		{"event newListener", `421["newListener",{}]`, requestUnknown, true},
		{"no array", `421{"echo":1}`, brokeMalformed, false},
		{"no JSON", `421["echo",{]`, brokeMalformed, false},
		{"trailing", `421["echo"]]`, brokeMalformed, false},
		{"no UTF-8", "421[\"echo\",\"\xff\"]", brokeMalformed, false},
		{"no name", `421[{}]`, brokeMalformed, false},
		{"long id", `421234567890123456["echo"]`, brokeMalformed, false},
		{"empty", `4`, brokeMalformed, false},
		{"unknown type", `49`, brokeMalformed, false},
		{"server's type", `44{"message":"x"}`, brokeMalformed, false},
		{"attachments without end", `4517-["echo",{"_placeholder":true,"num":0}]`, brokeBinary, false},
		{"no attachment", `450-["echo"]`, brokeBinary, false},
		{"attachments of nobody's", `451-`, brokeMalformed, false},
		{"an acknowledgement with attachments", `461-1[{"_placeholder":true,"num":0}]`, brokeBinary, false},
		{"unasked ack", `431[]`, brokeAck, false},
		{"second CONNECT", `40`, brokeOrder, false},
		{"engine packet", `9`, "closed_parse_error", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := e.Counts()[tt.reason]
			c := join(t, e.addr)
			c.send(tt.frame)
			if tt.lives {
				ack, event := c.read(), c.read()
				if !strings.HasPrefix(ack, `431[{"error":true,"error_type":"validation_error"`) || !strings.HasPrefix(event, `42["error",{`) {
					t.Errorf("answered %.80q, %.80q", ack, event)
				}
				c.mustEcho()
			} else {
				c.mustClose()
			}
			eventually(t, "counted", func() bool { return e.Counts()[tt.reason] == before+1 })
			other.mustEcho()
		})
	}
}

// Before CONNECT there is nothing that a client may do.
func TestParser_beforeConnect(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	for _, frame := range []string{`42["echo"]`, `41`, `43`, `4`, `40[]`, `40{`, `40{"a":` + strings.Repeat(`[`, 100) + `}`, `40{"a":"` + strings.Repeat("a", 20<<10) + `"}`} {
		c := open(t, e.addr)
		c.send(frame)
		if said := c.mustClose(); len(said) != 0 {
			t.Errorf("%.40s: answered %q", frame, said)
		}
	}
	eventually(t, "no connection is left", func() bool { return len(e.allLinks()) == 0 })
}

func TestFront_body(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	p := poll(t, e.addr)
	p.post("40")
	p.get()
	large := `42["echo","` + strings.Repeat("x", 60_000) + `"]`
	u := p.base + "&sid=" + p.sid
	for name, body := range map[string]io.Reader{"announced": strings.NewReader(large), "chunked": io.MultiReader(strings.NewReader(large))} {
		status, answer := p.to(http.MethodPost, u, body)
		if status != http.StatusRequestEntityTooLarge || !strings.Contains(answer, "WebSocket") {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	for _, body := range []string{"", "\x1e", "40\x1e\x1e", `42["echo"]` + "\x1e9", "0", "5", "6"} {
		if status, _ := p.do(http.MethodPost, body); status != http.StatusBadRequest {
			t.Errorf("POST %q: %d", body, status)
		}
	}
	p.post(`421["echo","` + strings.Repeat("y", 59_000) + `"]`)
	if got := p.get(); !strings.HasPrefix(got, `431["yyy`) {
		t.Errorf("got %.40q", got)
	}
}

// A body without end is given up at the limit.
func TestFront_endlessBody(t *testing.T) {
	e := start(t, Config{}, app{})
	p := poll(t, e.addr)
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n", p.sid)
	chunk := append(append([]byte("10000\r\n"), bytes.Repeat([]byte("4"), 0x10000)...), "\r\n"...)
	_ = conn.SetDeadline(time.Now().Add(patience))
	sent := 0
	for sent < 256<<20 {
		n, err := conn.Write(chunk)
		if sent += n; err != nil {
			break
		}
	}
	if sent >= 256<<20 {
		t.Errorf("%d bytes were taken", sent)
	}
}

func TestFront_requests(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	p := poll(t, e.addr)
	sid := "&sid=" + p.sid
	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		want               int
	}{
		{"another path", "GET", "/socket.io", nil, 404},
		{"below", "GET", "/socket.io/x?EIO=4&transport=polling", nil, 404},
		{"no protocol", "GET", "/socket.io/?transport=polling", nil, 400},
		{"two protocols", "GET", "/socket.io/?EIO=4&EIO=4&transport=polling", nil, 400},
		{"unknown transport", "GET", "/socket.io/?EIO=4&transport=webtransport", nil, 400},
		{"two sids", "GET", "/socket.io/?EIO=4&transport=polling" + sid + sid, nil, 400},
		{"empty sid", "GET", "/socket.io/?EIO=4&transport=polling&sid=", nil, 400},
		{"unknown sid", "GET", "/socket.io/?EIO=4&transport=polling&sid=abc", nil, 400},
		{"jsonp", "GET", "/socket.io/?EIO=4&transport=polling&j=1", nil, 400},
		{"base64", "GET", "/socket.io/?EIO=4&transport=polling&b64=1&t=abc", nil, 200},
		{"users' own", "GET", "/socket.io/?user=7&user=8&EIO=4&=&&&x=%zz&transport=polling&EIOO=3&ts=1", nil, 200},
		{"encoded twice", "GET", "/socket.io/?EIO=4&transport=polling&%45IO=4", nil, 400},
		{"no value", "GET", "/socket.io/?EIO=4&transport=%zz", nil, 400},
		{"semicolons", "GET", "/socket.io/?EIO=4&transport=polling;EIO=3", nil, 400},
		{"handshake by POST", "POST", "/socket.io/?EIO=4&transport=polling", nil, 405},
		{"PUT", "PUT", "/socket.io/?EIO=4&transport=polling" + sid, nil, 405},
		{"OPTIONS", "OPTIONS", "/socket.io/?EIO=4&transport=polling" + sid, nil, 405},
		{"binary post", "POST", "/socket.io/?EIO=4&transport=polling" + sid, http.Header{"Content-Type": {"application/octet-stream"}}, 415},
		{"form post", "POST", "/socket.io/?EIO=4&transport=polling" + sid, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		{"latin post", "POST", "/socket.io/?EIO=4&transport=polling" + sid, http.Header{"Content-Type": {"text/plain; charset=latin1"}}, 415},
		{"WebSocket without upgrade", "GET", "/socket.io/?EIO=4&transport=websocket", nil, 400},
		{"upgrade to polling", "GET", "/socket.io/?EIO=4&transport=polling", http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}}, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ask(t, e, tt.method, tt.path, "", tt.header); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	p.post("40") // none of these hurt the session
	if got := p.get(); !strings.HasPrefix(got, "40{") {
		t.Errorf("got %q", got)
	}
}

// ask sends one request; a host other than "" goes into the Host header.
func ask(t *testing.T, e env, method, path, host string, header http.Header) int {
	t.Helper()
	res, _ := fetch(t, e, method, path, host, header)
	return res.StatusCode
}

func fetch(t *testing.T, e env, method, path, host string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+e.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Close = host, true
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// Neither transport is open to web pages of others.
func TestFront_origin(t *testing.T) {
	e := start(t, Config{}, app{})
	_, port, _ := net.SplitHostPort(e.addr)
	for _, tt := range []struct {
		origin string
		ok     bool
	}{
		{"http://localhost:" + port, true},
		{"https://127.0.0.1:" + port, true},
		{"http://localhost", false},
		{"http://localhost:1" + port, false},
		{"http://example.org", false},
		{"http://example.org:" + port, false},
		{"file://", false},
		{"null", false},
		{"", false},
	} {
		t.Run(tt.origin, func(t *testing.T) {
			header := http.Header{"Origin": {tt.origin}}
			want := http.StatusOK
			if !tt.ok {
				want = http.StatusForbidden
			}
			if got := ask(t, e, "GET", "/socket.io/?EIO=4&transport=polling", "", header); got != want {
				t.Errorf("polling: %d, want %d", got, want)
			}
			ws, res, err := dial(t, e.addr, header)
			if err == nil {
				_ = ws.Close()
			}
			if (err == nil) != tt.ok || (!tt.ok && res.StatusCode != want) {
				t.Errorf("WebSocket: %v", err)
			}
		})
	}
}

// A page that may ask may read why it is refused. With cookies or headers of its own it may ask from where the operator has said so.
func TestFront_pages(t *testing.T) {
	for _, listed := range []bool{true, false} {
		cfg := Config{}
		if listed {
			cfg.AllowedOrigins = []string{"https://app.example"}
		}
		e := start(t, cfg, app{})
		origin := map[bool]string{true: "https://app.example", false: "http://" + e.addr}[listed]
		header := http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-mine"}}
		credentials := map[bool]string{true: "true", false: ""}[listed]
		for _, tt := range []struct {
			method, query, origin string
			want                  int
			code, allow           string
		}{
			{"GET", "EIO=4&transport=polling", origin, 200, `"sid":"`, ""},
			{"GET", "EIO=4&transport=polling&sid=gone", origin, 400, `"code":3`, ""},
			{"GET", "EIO=3&transport=polling&b64=1", origin, 400, `{"code":5,"message":"this client is too old: use socket.io-client 3 or later"}`, ""},
			{"PUT", "EIO=4&transport=polling", origin, 405, `"code":3`, "GET, POST"},
			{"OPTIONS", "EIO=4&transport=polling", origin, map[bool]int{true: 204, false: 405}[listed], "", map[bool]string{false: "GET, POST"}[listed]},
			{"OPTIONS", "EIO=4&transport=polling", "https://evil.example", 403, "", ""},
		} {
			header.Set("Origin", tt.origin)
			res, body := fetch(t, e, tt.method, "/socket.io/?"+tt.query, "", header)
			allowed := map[bool]string{true: origin, false: ""}[tt.origin == origin]
			got := []string{res.Header.Get("Access-Control-Allow-Origin"), res.Header.Get("Access-Control-Allow-Credentials"), res.Header.Get("Allow")}
			want := []string{allowed, map[bool]string{true: credentials, false: ""}[tt.origin == origin], tt.allow}
			if res.StatusCode != tt.want || !strings.Contains(body, tt.code) || !slices.Equal(got, want) {
				t.Errorf("%s %s from %s: %d %s %q, want %d %s %q", tt.method, tt.query, tt.origin, res.StatusCode, body, got, tt.want, tt.code, want)
			}
			if tt.want == 204 && (res.Header.Get("Access-Control-Allow-Headers") != "x-mine" || res.Header.Get("Access-Control-Allow-Methods") != "GET, POST") {
				t.Errorf("allowed: %v", res.Header)
			}
		}
	}
}

func TestFront_host(t *testing.T) {
	e := start(t, Config{AllowedHosts: []string{"Manager.example:8000", "[::1]", "plain"}}, app{})
	for host, want := range map[string]int{
		"manager.example:8000": 200, "MANAGER.example.:8000": 200, "plain": 200, "plain:99": 200, "[::1]:8000": 200, "[0:0::1]": 200,
		"manager.example": 421, "manager.example:8001": 421, "localhost": 421, "plain.evil.example": 421, "x@plain": 421, "127.0.0.1": 421,
	} {
		if got := ask(t, e, "GET", "/socket.io/?EIO=4&transport=polling", host, nil); got != want {
			t.Errorf("Host %s: %d, want %d", host, got, want)
		}
	}
}

func TestNew_ErrBadHost(t *testing.T) {
	for _, cfg := range []Config{{AllowedHosts: []string{"http://x"}}, {AllowedHosts: []string{""}}, {AllowedOrigins: []string{"example.org"}}, {AllowedOrigins: []string{"null"}}} {
		if _, err := New(cfg, app{}); err == nil {
			t.Errorf("%v was taken", cfg)
		}
	}
}

// One poll and one post at a time and one upgrade: more of them confuse the library, and none ends the session.
func TestFront_overlap(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	p := poll(t, e.addr)
	p.post("40")
	p.get()
	first := make(chan string, 1)
	go func() { first <- p.get() }()
	eventually(t, "the poll is open", func() bool { return e.link(p.sid).polling.Load() })
	if status, _ := p.do(http.MethodGet, ""); status != http.StatusBadRequest {
		t.Errorf("a second poll: %d", status)
	}
	p.post(`421["echo",1]`)
	if got := <-first; got != "431[1]" {
		t.Errorf("the first poll got %q", got)
	}
	c := upgrade(t, e, p)
	if _, res, err := websocket.DefaultDialer.Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil); err == nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("a second upgrade: %v", err)
	}
	c.mustEcho()
}

func TestFront_connections(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxConnections: 3, MaxPerAddress: 2}}, app{handle: echo})
	first := join(t, e.addr)
	poll(t, e.addr)
	if _, res, err := dial(t, e.addr, nil); err == nil || res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a third connection: %v", err)
	}
	_ = first.ws.Close()
	eventually(t, "room again", func() bool { return len(e.allLinks()) == 1 })
	join(t, e.addr).mustEcho()
}

// A handshake that the library refuses gives its place back.
func TestFront_connections_refusedHandshake(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxConnections: 1}}, app{handle: echo})
	keyless := http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	for range 3 {
		if got := ask(t, e, "GET", "/socket.io/?EIO=4&transport=websocket", "", keyless); got != http.StatusBadRequest {
			t.Errorf("got %d", got)
		}
	}
	join(t, e.addr).mustEcho()
}

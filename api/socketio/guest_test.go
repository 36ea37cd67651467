package socketio

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api/session"
)

func TestGivesWay(t *testing.T) {
	now := time.Now()
	ago := func(seconds int) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }
	guests := map[string]guest{"a1": {"a", ago(1)}, "a9": {"a", ago(9)}, "b5": {"b", ago(5)}}
	young := map[string]guest{"a0": {"a", ago(0)}, "a1": {"a", ago(1)}, "b0": {"b", ago(0)}}
	for name, tt := range map[string]struct {
		guests   map[string]guest
		newcomer string
		want     string
	}{
		"the oldest of those who have most": {guests, "b", "a9"},
		"one's own":                         {guests, "a", "a9"},
		"none is old enough":                {young, "b", ""},
		"nor of one's own":                  {young, "a", ""},
		"a crowd gives way to who has none": {young, "c", "a1"},
		"one alone has its time":            {map[string]guest{"a0": {"a", ago(0)}}, "c", ""},
		"the older of two that have one":    {map[string]guest{"a2": {"a", ago(2)}, "b3": {"b", ago(3)}}, "c", "b3"},
		"nobody is there":                   {nil, "c", ""},
	} {
		if got, found := givesWay(tt.guests, tt.newcomer, 2*time.Second, now); got != tt.want || found != (tt.want != "") {
			t.Errorf("%s: %q, %v", name, got, found)
		}
	}
}

// from is a connection from an address of this host.
func from(t *testing.T, e env, last byte) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	conn, err := dialer.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// endedConn waits until the server has ended a connection.
func endedConn(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%s: %v", what, err)
	}
}

// probed asks by a connection, as what looks after the manager does.
func probed(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /socket.io/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("not answered: %v", err)
	}
	_ = conn.SetDeadline(time.Time{})
	return res
}

// However many connect and say nothing, who asks is answered: from elsewhere, and from where they are.
func TestListener_IdleGuestsKeepNobodyOut(t *testing.T) {
	e := start(t, Config{Limits: Limits{MaxConnections: 4, MaxPerAddress: 4}}, app{handle: echo})
	member := join(t, e.addr)
	var idle []net.Conn
	for i := range 200 {
		idle = append(idle, from(t, e, byte(1+i%2)))
	}
	for _, last := range []byte{1, 2, 3} {
		if res := probed(t, from(t, e, last)); res.StatusCode != http.StatusBadRequest {
			t.Errorf("from %d: %s", last, res.Status)
		}
	}
	endedConn(t, "the first that was idle", idle[0])
	member.mustEcho()
	if n := e.Counts()[endedGaveWay]; n < 200-(2*4+64)/2 {
		t.Errorf("%d gave way", n)
	}
}

// One that has asked has its time, and then gives way too. Until then nobody more from there is let in.
func TestListener_GuestsHaveTheirTime(t *testing.T) {
	const grace = 300 * time.Millisecond
	e := start(t, Config{Limits: Limits{MaxConnections: 1, MaxPerAddress: 1, GuestGrace: grace}}, app{handle: echo})
	var begun []net.Conn
	for range (2 + 64) / 2 {
		conn := from(t, e, 1)
		probed(t, conn)
		begun = append(begun, conn)
	}
	endedConn(t, "one too many", from(t, e, 1))
	if e.Counts()[refusedConnection] == 0 {
		t.Errorf("counted: %v", e.Counts())
	}
	probed(t, from(t, e, 2)) // they are a crowd to who has none
	endedConn(t, "the first of them", begun[0])
	eventually(t, "room again", func() bool {
		conn := from(t, e, 1)
		fmt.Fprintf(conn, "GET /socket.io/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, _ := conn.Read(make([]byte, 1))
		return n == 1
	})
}

// Handshakes that nobody joins by give way to one that comes later.
func TestTransport_UnjoinedHandshakesKeepNobodyOut(t *testing.T) {
	const grace = 200 * time.Millisecond
	e := start(t, Config{Limits: Limits{MaxConnections: 20, MaxPerAddress: 10, GuestGrace: grace}}, app{handle: echo})
	member := join(t, e.addr)
	for range 9 {
		open(t, e.addr)
	}
	if _, res, err := dial(t, e.addr, nil); err == nil || res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("before their time is over: %v", err)
	}
	dialer := func(last byte) *websocket.Dialer {
		return &websocket.Dialer{NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}).DialContext}
	}
	enter := func(last byte) error {
		ws, _, err := dialer(last).Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket", nil)
		if err == nil {
			t.Cleanup(func() { _ = ws.Close() })
		}
		return err
	}
	for range 10 {
		if err := enter(2); err != nil {
			t.Fatal(err)
		}
	}
	if err := enter(3); err != nil { // 20 of 20 are taken
		t.Errorf("from elsewhere: %v", err)
	}
	eventually(t, "from where most are", func() bool { return enter(1) == nil })
	member.mustEcho()
	if e.Counts()[endedGaveWay] < 2 {
		t.Errorf("counted: %v", e.Counts())
	}
}

// A guest's connection is kept for less time than a client's.
func TestServer_GuestsKeepAlive(t *testing.T) {
	e := start(t, Config{Limits: Limits{GuestIdleTimeout: 50 * time.Millisecond}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}}, app{handle: echo})
	guest, proxy := from(t, e, 1), from(t, e, 3)
	p := poll(t, e.addr)
	p.post("40")
	eventually(t, "it has joined", func() bool { return e.link(p.sid).seated.Load() })
	member := from(t, e, 1)
	fmt.Fprintf(member, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", p.sid)
	if _, err := http.ReadResponse(bufio.NewReader(member), nil); err != nil {
		t.Fatal(err)
	}
	probed(t, proxy)
	probed(t, guest)
	endedConn(t, "the guest's", guest)
	for name, conn := range map[string]net.Conn{"the client's": member, "the proxy's": proxy} {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 4096)); err != nil && !strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s connection: %v", name, err)
		}
	}
}

// A proxy is believed where its client is, whose limits and log these are; others are not.
func TestProxy_ClientAddress(t *testing.T) {
	proxies := proxyList{netip.MustParsePrefix("127.0.0.3/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1:5"},
		{"192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1:5"},
		{"127.0.0.3:5", nil, "127.0.0.3:5"},
		{"127.0.0.3:5", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"127.0.0.3:5", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7:0"},
		{"127.0.0.3:5", []string{"203.0.113.9", "198.51.100.7,10.1.2.3"}, "198.51.100.7:0"},
		{"127.0.0.3:5", []string{"10.1.2.3"}, "10.1.2.3:0"},
		{"127.0.0.3:5", []string{"198.51.100.7:443"}, "198.51.100.7:443"},
		{"127.0.0.3:5", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"127.0.0.3:5", []string{"[2001:db8::1]:7"}, "[2001:db8::1]:7"},
		{"[::ffff:127.0.0.3]:5", []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"127.0.0.3:5", []string{"198.51.100.7, unknown"}, "127.0.0.3:5"},
		{"127.0.0.3:5", []string{"nonsense, 10.1.2.3"}, "10.1.2.3:0"},
		{"@", []string{"198.51.100.7"}, "@"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if got := proxies.client(r); got != tt.want {
			t.Errorf("%s for %q: %s, want %s", tt.remote, tt.forwarded, got, tt.want)
		}
	}
}

// Clients behind a proxy have their limits each for itself, and their secret ids too.
func TestProxy_LimitsAreOfItsClients(t *testing.T) {
	remotes := make(chan string, 8)
	e := start(t, Config{Limits: Limits{MaxPerAddress: 1}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, app{
		begin: func(s *Session) error { remotes <- s.RemoteAddr(); return nil }, handle: func(_ *Session, r *session.Request) { r.Ack(r.Data) }})
	forwarded := func(client string) http.Header { return http.Header{"X-Forwarded-For": {client}} }
	for _, address := range []string{"198.51.100.7", "198.51.100.8"} {
		ws, _, err := dial(t, e.addr, forwarded(address))
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		c := &client{t: t, ws: ws}
		c.read()
		c.send("40")
		c.read()
		c.mustEcho()
		if got := <-remotes; got != address+":0" {
			t.Errorf("it is from %s", got)
		}
	}
	if _, res, err := dial(t, e.addr, forwarded("198.51.100.7")); err == nil || res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("another one from there: %v", err)
	}
	p := poll(t, e.addr) // the proxy's own
	poll(t, e.addr)      // has no such limit
	if res, _ := fetch(t, e, http.MethodGet, "/socket.io/?EIO=4&transport=polling&sid="+p.sid, "", forwarded("198.51.100.9")); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a secret id from elsewhere: %s", res.Status)
	}
	p.post("40")
}

// A refusal is told once a minute and reason: what was asked, from where, and which flag allows it.
func TestRefusals_AreLogged(t *testing.T) {
	said := &logLines{}
	e := startLogged(t, Config{BasePath: "/flows", Limits: Limits{MaxConnections: 2, MaxPerAddress: 1}}, zerolog.New(said), app{})
	get := func(path, host, origin string) {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ask(t, e, http.MethodGet, path, host, header)
	}
	const handshake = "/socket.io/?EIO=4&transport=polling&token=secret"
	for range 3 {
		get(handshake, "evil.example:1", "")
		get(handshake, "", "https://evil.example")
		get("/socket.io/x", "", "")
		get("/socket.io/?EIO=5", "", "")
	}
	joined := join(t, e.addr)
	get(handshake, "", "")
	joined.send("40/admin")
	joined.read()
	type line struct{ reason, asked, host, origin, flag string }
	got := map[line]int{}
	for _, l := range said.of("refused") {
		text := func(name string) string { s, _ := l[name].(string); return s }
		if remote := text("remote"); !strings.HasPrefix(remote, "127.0.0.1:") || text("why") == "" || strings.Contains(fmt.Sprint(l), "secret") {
			t.Errorf("told: %v", l)
		}
		host := strings.Replace(text("host"), e.addr, "ADDRESS", 1)
		got[line{text("reason"), text("asked"), host, text("origin"), text("flag")}]++
	}
	for _, want := range []line{
		{refusedHost, "GET /socket.io/", "evil.example:1", "", "--allowed-host evil.example:1"},
		{refusedOrigin, "GET /socket.io/", "ADDRESS", "https://evil.example", "--allowed-origin https://evil.example"},
		{refusedPath, "GET /socket.io/x", "ADDRESS", "", ""},
		{refusedRequest, "GET /socket.io/", "ADDRESS", "", ""},
		{refusedAddress, "GET /socket.io/", "ADDRESS", "", "--max-sessions"},
		{refusedNamespace, `CONNECT "/admin"`, "", "", ""},
	} {
		if got[want] != 1 {
			t.Errorf("%v is told %d times", want, got[want])
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Errorf("and %v", got)
	}
	if n := e.Counts()[refusedHost]; n != 3 {
		t.Errorf("%d are counted", n)
	}
}

// The next line says how many were not told.
func TestPerMinute(t *testing.T) {
	p := perMinute{by: map[string]*paced{}}
	now := time.Now()
	for _, tt := range []struct {
		reason string
		after  time.Duration
		more   int
		due    bool
	}{{"a", 0, 0, true}, {"a", 1, 0, false}, {"b", 2, 0, true}, {"a", 59, 0, false}, {"a", 60, 2, true}, {"a", 61, 0, false}, {"a", 121, 1, true}, {"b", 121, 0, true}} {
		if more, due := p.due(tt.reason, now.Add(tt.after*time.Second)); more != tt.more || due != tt.due {
			t.Errorf("%s after %d s: %d, %v", tt.reason, tt.after, more, due)
		}
	}
}

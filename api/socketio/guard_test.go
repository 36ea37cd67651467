package socketio

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/zishang520/engine.io-go-parser/packet"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

// The library overlooks a client's close over WebSocket, and the client waits for it.
func TestLink_closePacket(t *testing.T) {
	e := start(t, Config{}, app{})
	c := join(t, e.addr)
	c.send("1")
	c.mustClose()
	eventually(t, "counted", func() bool { return e.Counts()[endedByClient] == 1 })
}

// A secret id is good from its own address only.
func TestFront_sidFromElsewhere(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	p := poll(t, e.addr)
	elsewhere := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	thief := &poller{t: t, base: p.base, sid: p.sid, http: &http.Client{Transport: &http.Transport{
		DialContext: elsewhere.DialContext, DisableKeepAlives: true,
	}}}
	if status, _ := thief.do(http.MethodPost, "40"); status != http.StatusBadRequest {
		t.Errorf("posting from elsewhere: %d", status)
	}
	dialer := websocket.Dialer{NetDialContext: elsewhere.DialContext}
	if _, _, err := dialer.DialContext(context.Background(), "ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil); err == nil {
		t.Error("upgraded from elsewhere")
	}
	p.post("40")
	if got := p.get(); !strings.HasPrefix(got, "40{") {
		t.Errorf("got %q", got)
	}
}

// Nothing is compressed: a client could have a small message become a large one behind the limits, and what is secret
// would show in the length of what is not.
func TestFront_NothingIsCompressed(t *testing.T) {
	e := start(t, Config{}, app{})
	dialer := websocket.Dialer{EnableCompression: true}
	ws, res, err := dialer.Dial("ws://"+e.addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if got := res.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("agreed on %q", got)
	}
	p := poll(t, e.addr)
	e.link(p.sid).conn.Write(strings.NewReader(strings.Repeat("x", 10_000)), nil, nil)
	req, err := http.NewRequest(http.MethodGet, p.base+"&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	poll, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer poll.Body.Close()
	if got := poll.Header.Get("Content-Encoding"); got != "" || poll.ContentLength < 10_000 {
		t.Errorf("polled %d bytes in %q", poll.ContentLength, got)
	}
}

// A write that a client does not take ends its connection, though its queue never fills.
func TestGate_writeDeadline(t *testing.T) {
	e := start(t, Config{Limits: Limits{WriteTimeout: 50 * time.Millisecond, OutBytes: 64 << 20}}, app{begin: func(s *Session) error {
		body := api.Encode(strings.Repeat("x", 1<<20))
		for range 32 {
			s.Emit("x", body)
		}
		return nil
	}})
	c := open(t, e.addr)
	c.send("40")
	eventually(t, "cut off", func() bool { return e.Counts()["closed_by_peer"] == 1 })
}

func TestGate_readRate(t *testing.T) {
	const perSecond, sent = 1 << 20, 3 << 19
	done := make(chan struct{})
	e := start(t, Config{Limits: Limits{ReadBytesPerSecond: perSecond}}, app{handle: func(_ *Session, r *session.Request) {
		if r.Event == "block" {
			close(done)
		}
	}})
	c := join(t, e.addr)
	began := time.Now()
	for range 6 {
		c.send(`42["echo","` + strings.Repeat("x", sent/6) + `"]`)
	}
	c.send(`42["block"]`)
	<-done
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("%d bytes were read in %v", sent, took)
	}
}

func TestHeldWriter_release(t *testing.T) {
	h := newBufferedWriter()
	h.Header().Set("Content-Type", "text/plain")
	h.WriteHeader(http.StatusOK)
	h.Header().Set("Content-Type", "text/late")
	_, _ = io.WriteString(h, `{"maxPayload":1}`)
	w := httptest.NewRecorder()
	if answered, err := h.flushTo(w, `"maxPayload":1`, `"maxPayload":60000`); err != nil || !answered {
		t.Fatal(answered, err)
	}
	if _, err := io.WriteString(h, "late"); err == nil {
		t.Error("a write behind the end was taken")
	}
	got := []string{w.Body.String(), w.Header().Get("Content-Type"), w.Header().Get("Content-Length")}
	if diff := cmp.Diff([]string{`{"maxPayload":60000}`, "text/plain", "20"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFlow(t *testing.T) {
	f := sendWindow{wake: make(chan struct{}, 1)}
	message := &packet.Packet{Type: packet.MESSAGE, Data: strings.NewReader(strings.Repeat("x", 1000))}
	hand := func(n int) {
		for range n {
			f.created(message)
		}
	}
	check := func(step string, poll, ws, idle bool) {
		t.Helper()
		if got := [3]bool{f.hasRoom(true), f.hasRoom(false), f.idle()}; got != [3]bool{poll, ws, idle} {
			t.Errorf("%s: room by polling, by WebSocket, idle: %v", step, got)
		}
	}
	check("new", true, true, true)
	f.drained()
	check("a probe was written", true, true, true)
	hand(maxPollPackets)
	check("a poll's worth is buffered", false, true, false)
	f.flushed([]*packet.Packet{message, message})
	check("some of it is in flight", false, true, false)
	f.drained()
	check("and written", true, true, false)
	hand(maxPendingPackets)
	check("many small ones", false, false, false)
	f.flushed(repeated(message, maxPollPackets-2+maxPendingPackets))
	f.switched()
	check("the transport is another", true, true, true)
	f.pause()
	check("an upgrade is probed", false, false, true)
	f.resume()
	check("and over", true, true, true)
}

func repeated(p *packet.Packet, n int) []*packet.Packet {
	batch := make([]*packet.Packet, n)
	for i := range batch {
		batch[i] = p
	}
	return batch
}

func TestQueue(t *testing.T) {
	q := newQueue[int](3, 100, &budget{})
	outcomes := []pushResult{q.push(1, 10), q.push(2, 95), q.push(2, 90), q.push(3, 0), q.push(4, 0)}
	if diff := cmp.Diff([]pushResult{pushedOK, pushedFull, pushedOK, pushedOK, pushedFull}, outcomes); diff != "" {
		t.Error(diff)
	}
	waited := make(chan pushResult)
	go func() { waited <- until(q.space, t.Context().Done(), func() pushResult { return q.push(4, 1) }) }()
	for want := 1; want <= 4; want++ {
		if got, ok := q.pop(); got != want || !ok {
			t.Errorf("took %d, want %d", got, want)
		}
	}
	if got := <-waited; got != pushedOK {
		t.Errorf("waiting for space: %d", got)
	}
	q.push(5, 1)
	q.close(false)
	q.close(false)
	if got, ok := q.pop(); got != 5 || !ok {
		t.Errorf("took %d behind close", got)
	}
	if _, ok := q.pop(); ok || q.push(6, 1) != pushedClosed {
		t.Error("open behind close")
	}
	if used := q.budget.used.Load(); used != 0 || q.bytes != 0 {
		t.Errorf("empty, but %d bytes, and %d of the budget", q.bytes, used)
	}
}

// A poll that comes while its connection ends is answered all the same. The library forgets some of them.
func TestPoll_IsAnsweredAsItsConnectionEnds(t *testing.T) {
	e := start(t, Config{}, app{handle: echo})
	var lanes sync.WaitGroup
	for lane := range 8 {
		lanes.Go(func() {
			for i := range 150 {
				p := poll(t, e.addr)
				p.post("40")
				p.get()
				var late sync.WaitGroup
				late.Go(func() {
					time.Sleep(time.Duration((i*7+lane)%50) * 20 * time.Microsecond) // wherever it meets the end
					p.do(http.MethodGet, "")                                         // which fails the test where it is not answered in time
				})
				p.do(http.MethodPost, "1")
				late.Wait()
				p.http.CloseIdleConnections()
			}
		})
	}
	lanes.Wait()
}

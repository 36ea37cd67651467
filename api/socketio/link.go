package socketio

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/engine.io/v2/transports"
)

// link is one connection of the library's lower layer, over whichever transports it goes. It outlives its session for
// a moment, and it alone knows the library's secret id, which is never logged.
type link struct {
	t         *Transport
	conn      engine.Socket
	remote    string // where its client connected from
	host      string // that without its port: what the secret id is bound to
	window    sendWindow
	websocket atomic.Pointer[gatedConn] // its WebSocket, from the upgrade's request on

	acting                     sync.Mutex     // of what the library may not do at once: act on what a WebSocket says that it probes, and end the session
	taking                     sync.Mutex     // while the library takes up a poll
	takingUp                   atomic.Bool    // whether it does
	seated                     atomic.Bool    // a session has begun: it is no guest's
	polling, posting, upgraded atomic.Bool    // one request at a time and direction, one upgrade in all
	pings                      atomic.Int32   // sent and not answered
	noop                       packet.Options // marks what is to be a NOOP

	over context.Context // ends with the connection
	end  context.CancelFunc

	mu      sync.Mutex
	reason  string
	closed  bool
	session *Session
	since   time.Time // when it last had no session to live for
}

func newLink(t *Transport, conn engine.Socket, remote string) *link {
	l := &link{t: t, conn: conn, remote: remote, host: hostOf(remote), since: time.Now(), window: sendWindow{wake: make(chan struct{}, 1)}}
	l.over, l.end = context.WithCancel(context.Background())
	l.upgraded.Store(conn.Transport().Name() == transports.WEBSOCKET)
	return l
}

// watch is called before the connection is in use. A connection that ended earlier still has its listeners told:
// the library forgets such ones for ever.
func (l *link) watch() {
	l.conn.On("packetCreate", l.recovering(func(args []any) { l.created(args[0].(*packet.Packet)) }))
	l.conn.On("flush", l.recovering(func(args []any) { l.window.flushed(args[0].([]*packet.Packet)) }))
	l.conn.Transport().On("drain", l.recovering(func([]any) { l.drained() }))
	l.conn.Transport().On("ready", l.recovering(func([]any) { l.pollReady() }))
	l.conn.On("upgrade", l.recovering(func(args []any) { l.switched(args[0].(transports.Transport)) }))
	l.conn.On("packet", l.recovering(func(args []any) { l.received(args[0].(*packet.Packet)) }))
	l.conn.On("heartbeat", l.recovering(func([]any) { l.pongReceived() }))
	l.conn.Once("close", l.recovering(func(args []any) { l.ended(args[0].(string)) }))
}

// recovering puts a recover around a listener: the library calls it on goroutines of its own, where a panic ends the process.
func (l *link) recovering(listener func(args []any)) func(...any) {
	return func(args ...any) {
		defer l.recovered("listen")
		listener(args)
	}
}

// recovered ends the connection that met a bug.
func (l *link) recovered(operation string) {
	if cause := recover(); cause != nil {
		l.panicked(operation, cause)
	}
}

// panicked closes the connection on another goroutine, since the library may hold its locks here.
func (l *link) panicked(operation string, cause any) {
	l.t.log.Error().Str("operation", operation).Any("panic", cause).Bytes("stack", debug.Stack()).Msg("a connection met a bug")
	l.t.goClose(func() { l.close(brokePanic) })
}

// emitMissedClose tells the listeners of a connection that ended before they were there.
func (l *link) emitMissedClose() {
	if l.conn.ReadyState() == "closed" {
		l.conn.Emit("close", "transport close", nil)
	}
}

// takePoll begins a poll, where the connection has not ended.
func (l *link) takePoll() bool {
	l.taking.Lock()
	if l.over.Err() != nil {
		l.taking.Unlock()
		return false
	}
	l.takingUp.Store(true)
	return true
}

// pollTaken is called once the library has taken up a poll or has refused it.
func (l *link) pollTaken() {
	if l.takingUp.CompareAndSwap(true, false) {
		l.taking.Unlock()
	}
}

// pollReady is called when the library has a poll to answer, and has answered it where it had something to say.
func (l *link) pollReady() {
	l.pollTaken()
	if l.window.isPaused() {
		l.releasePoll()
	}
}

// releasePoll answers the poll that waits, if one does, with nothing: a client upgrades when that has come. The library alone knows when
// it may write, so that it is given a message, which created makes a NOOP of.
func (l *link) releasePoll() {
	if t := l.conn.Transport(); t.Name() == transports.POLLING && t.Writable() {
		l.conn.Write(nil, &l.noop, nil)
	}
}

func (l *link) switched(next transports.Transport) {
	next.On("drain", l.recovering(func([]any) { l.drained() }))
	l.window.switched()
	l.window.resume()
	if c := l.websocket.Load(); c != nil {
		c.probing.Store(false)
		c.startCoalescing(l)
	}
}

// setWebSocket is called before anything is read from it. Until an upgrade is through, what is written goes elsewhere.
func (l *link) setWebSocket(c *gatedConn) {
	l.websocket.Store(c)
	if l.conn.Transport().Name() == transports.WEBSOCKET {
		c.startCoalescing(l)
		return
	}
	c.probing.Store(true)
}

// follows notes that a message has been written, and reports whether the next one is on its way.
func (l *link) follows() bool { return l.window.more() || l.hasQueued() }

// hasQueued reports whether the session's writer is about to hand over more.
func (l *link) hasQueued() bool {
	s := l.joined()
	return s != nil && s.out.nonEmpty()
}

func (l *link) drained() {
	if !l.hasQueued() {
		l.flush()
	}
	l.window.drained()
}

// flush writes what was kept back for more to follow that does not come.
func (l *link) flush() {
	if c := l.websocket.Load(); c != nil {
		c.flush()
	}
}

func (l *link) created(p *packet.Packet) {
	if p.Options == &l.noop {
		p.Type = packet.NOOP
	}
	if p.Type == packet.PING {
		l.pings.Add(1)
	}
	l.window.created(p)
}

// received acts on packets that the library overlooks: a close over WebSocket, and what no client has a reason to send.
func (l *link) received(p *packet.Packet) {
	switch p.Type {
	case packet.MESSAGE, packet.PONG, packet.ERROR:
	case packet.CLOSE:
		l.close(endedByClient)
	default:
		l.close(brokeHeartbeat)
	}
}

// pongReceived is called when the library is through with a pong. One that answers no ping would keep a connection alive whose
// client reads nothing.
func (l *link) pongReceived() {
	if l.pings.Add(-1) < 0 {
		l.close(brokeHeartbeat)
	}
}

// join makes s the link's only session; false if the connection has ended meanwhile.
func (l *link) join(s *Session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.session = s
	return true
}

func (l *link) joined() *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// seat notes that a session has begun.
func (l *link) seat() {
	l.seated.Store(true)
	if c := l.websocket.Load(); c != nil {
		c.bounded.seat()
	}
}

// detach leaves the connection to its client; the sweep ends it if the client does not.
func (l *link) detach(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setReasonLocked(reason)
	l.session, l.since = nil, time.Now()
}

func (l *link) setReasonLocked(reason string) {
	if l.reason == "" {
		l.reason = reason
	}
}

// close ends the connection at once. It may run on any goroutine that holds none of the library's locks.
func (l *link) close(reason string) {
	l.mu.Lock()
	l.setReasonLocked(reason)
	l.mu.Unlock()
	l.conn.Close(true)
}

// ended runs once, whoever ended the connection.
func (l *link) ended(libraryReason string) {
	l.mu.Lock()
	reason, s := l.reason, l.session
	l.closed = true
	l.mu.Unlock()
	if reason == "" {
		reason = closedReason(libraryReason)
	}
	l.t.counts.add(reason)
	l.t.removeLink(l)
	l.end()
	l.closeTCP()
	if s != nil {
		s.cut(reason)
	}
}

// closeTCP ends the TCP connection, which the library leaves open when it was the client that closed the WebSocket: Node's
// client waits 30 seconds for that, and its process with it. The answer to the client's close frame is written by now. It
// is a goroutine of its own because the library holds a lock around its listeners that its own Close takes again.
//
// Of a client of polling that is gone it waits half a minute for a poll to answer, and gives that up with any packet.
func (l *link) closeTCP() {
	transport := l.conn.Transport()
	switch {
	case transport.Name() == transports.WEBSOCKET:
		l.t.goClose(func() { transport.DoClose(nil) })
	default:
		l.t.goClose(l.endPolling)
	}
}

// endPolling has the library end what it waits with for a poll to answer. It may wait though it calls the transport closed already:
// where a client's close and an error meet, the one writes that over what the other has written. The library takes no poll up from
// here on: it would write to one whose fields are not all set, and end the process over that.
func (l *link) endPolling() {
	l.taking.Lock()
	defer l.taking.Unlock()
	if transport := l.conn.Transport(); transport.Name() == transports.POLLING {
		transport.Send([]*packet.Packet{{Type: packet.NOOP}})
	}
}

// idleSince is when the link last had a session; false while it has one.
func (l *link) idleSince() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since, l.session == nil
}

// closedReason keeps the library's fixed sentences as keys.
func closedReason(sentence string) string {
	switch sentence {
	case "transport close", "transport error":
		return "closed_by_peer"
	case "ping timeout":
		return "closed_ping_timeout"
	case "parse error":
		return "closed_parse_error"
	}
	return "closed_other"
}

package socketio

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/socket.io/v2/socket"
	"golang.org/x/sync/errgroup"

	"github.com/flow-manager/flow-manager/api/session"
)

// maxPacketBytes is what a WebSocket message may have at all. It is above maxRequestBytes, so that a request that is
// somewhat too large is still refused by name; a larger one ends its connection.
const maxPacketBytes = 1 << 20

// Transport serves Socket.IO to the clients of one session.App.
type Transport struct {
	app      session.App
	log      zerolog.Logger
	limits   Limits
	hosts    hostList
	proxies  proxyList
	basePath string
	refusals perMinute
	events   map[string]bool
	unrated  map[string]bool
	auth     Authenticate
	counts   *counters
	budget   *budget
	parsers  *parsers
	engine   engine.Server
	io       *socket.Server

	closers   sync.WaitGroup // begun under mu, and not after closersDone
	stopSweep context.CancelFunc
	swept     chan struct{}

	mu           sync.Mutex
	closing      bool
	closersDone  bool
	links        map[string]*link // by the library's secret id
	sessions     map[*Session]struct{}
	perAddress   map[string]int // connections by address
	perPrincipal map[string]int // sessions by principal
	connections  int
}

// New starts a transport; Shutdown ends what it started.
func New(cfg Config, app session.App) (*Transport, error) {
	hosts, err := newHostList(cfg.AllowedHosts, cfg.AllowedOrigins)
	if err != nil {
		return nil, fmt.Errorf("new transport: %w", err)
	}
	t := &Transport{
		app: app, log: cfg.Log, limits: cfg.Limits.withDefaults(), hosts: hosts, proxies: cfg.TrustedProxies, basePath: cfg.BasePath,
		refusals: perMinute{by: map[string]*paced{}}, events: set(cfg.Events), unrated: set(cfg.Unrated),
		auth: cfg.Authenticate, counts: newCounters(), parsers: &parsers{}, swept: make(chan struct{}),
		links: map[string]*link{}, sessions: map[*Session]struct{}{}, perAddress: map[string]int{}, perPrincipal: map[string]int{},
	}
	t.budget = &budget{max: int64(t.limits.QueuedBytes)}
	t.startLibrary()
	ctx, cancel := context.WithCancel(context.Background())
	t.stopSweep = cancel
	go t.sweep(ctx)
	return t, nil
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// startLibrary builds its two layers without its own binding between them, because connected must come first.
func (t *Transport) startLibrary() {
	opts := socket.DefaultServerOptions()
	opts.SetParser(t.parsers)
	opts.SetMaxHttpBufferSize(maxPacketBytes)
	opts.SetPingInterval(t.limits.PingInterval)
	opts.SetPingTimeout(t.limits.PingTimeout)
	opts.SetConnectTimeout(4 * t.limits.JoinTimeout) // the sweep is earlier, and closes for good
	t.io = socket.NewServer(nil, opts)
	t.io.Use(t.join)
	_ = t.io.On("connection", func(args ...any) { t.joined(args[0].(*socket.Socket)) }) // never fails
	t.engine = engine.NewServer(opts)
	_ = t.engine.On("connection", func(args ...any) { t.connected(args[0].(engine.Socket)) })
}

// connected runs on the goroutine of the handshake's request, before anything can be read.
func (t *Transport) connected(conn engine.Socket) {
	slot := conn.Request().Context().Value(slotKey{}).(*slot)
	l := newLink(t, conn, slot.remote)
	t.mu.Lock()
	slot.link = l
	t.links[conn.Id()] = l
	t.mu.Unlock()
	defer l.recovered("connect")
	l.watch()
	t.parsers.serve(l, func() { socket.NewClient(t.io, conn) }) // all that the library's own listener does
	l.emitMissedClose()
}

// join is the library's middleware: it runs in the read of the CONNECT packet, so an event right behind that already
// finds its session.
func (t *Transport) join(sock *socket.Socket, next func(*socket.ExtendedError)) {
	g := sock.Handshake().Auth.(*connectAuth)
	s := newSession(t, g, sock)
	sock.SetData(s)
	if !t.addSession(s) {
		t.counts.add(refusedClosing)
		next(socket.NewExtendedError("the manager is shutting down", nil))
		return
	}
	if !g.link.join(s) {
		s.cut(refusedConnection)
	}
	go s.handleLoop(next)
	go s.writeLoop()
}

// joined runs after the library has sent its CONNECT answer. A connection that ended in between leaves the library with
// a socket that nobody closes.
func (t *Transport) joined(sock *socket.Socket) {
	defer sock.Handshake().Auth.(*connectAuth).link.recovered("join")
	sock.Data().(*Session).goLive()
	if sock.Conn().ReadyState() != "open" {
		sock.Disconnect(true)
	}
}

// Sessions is how many clients are joined.
func (t *Transport) Sessions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions)
}

// Counts is how often what was refused, broken off or ended, by reason, since the start.
func (t *Transport) Counts() map[string]uint64 { return t.counts.snapshot() }

// Shutdown admits nobody new, has every request that was received handled and answered, writes what is queued, ends the
// sessions and returns when all that was started has ended, or with ctx's error when ctx ends first. A session that hangs
// holds up no other.
func (t *Transport) Shutdown(ctx context.Context) error {
	defer t.io.Close(nil)
	defer t.engine.Close()
	var sessions errgroup.Group
	for _, s := range t.stopAdmitting() {
		sessions.Go(func() error { return s.drain(ctx) })
	}
	err := sessions.Wait()
	for _, l := range t.allLinks() {
		l.close(endedByShutdown)
	}
	t.stopSweep()
	<-t.swept
	t.mu.Lock()
	t.closersDone = true
	t.mu.Unlock()
	t.closers.Wait()
	return err
}

// goClose runs f on a goroutine that Shutdown waits for; at the very end there is nobody left to be polite to.
func (t *Transport) goClose(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closersDone {
		t.closers.Go(f)
	}
}

func (t *Transport) stopAdmitting() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
	all := make([]*Session, 0, len(t.sessions))
	for s := range t.sessions {
		all = append(all, s)
	}
	return all
}

// sweep ends connections that nobody joined or that outlived their session, and those that the library forgot.
func (t *Transport) sweep(ctx context.Context) {
	defer close(t.swept)
	tick := time.NewTicker(t.limits.JoinTimeout / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.sweepOnce(time.Now())
		}
	}
}

func (t *Transport) sweepOnce(now time.Time) {
	for _, l := range t.allLinks() {
		l.emitMissedClose()
		if since, idle := l.idleSince(); idle && now.Sub(since) > t.limits.JoinTimeout {
			l.close(endedUnjoined)
		}
	}
}

func (t *Transport) allLinks() []*link {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*link, 0, len(t.links))
	for _, l := range t.links {
		all = append(all, l)
	}
	return all
}

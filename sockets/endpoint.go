package sockets

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/flow-manager/flow-manager/api"
)

// joinBurst is how often a flow may connect at once, in all the connections that it may have.
const acceptBurst = 4

// refusePause is how long a listener waits after it refused a flow that connects too often.
const refusePause = 2 * time.Millisecond

// acceptPause is how long a listener waits after a failed accept: most likely the process is out of file descriptors.
const acceptPause = 100 * time.Millisecond

// Facts are what is known of a container's communication since its socket was first opened by this process.
type Facts struct {
	Connected         bool
	LastCommunication time.Time // a frame from the flow or a client's message written to it; zero: never
	LastReceived      time.Time // a frame from the flow; zero: never
	LastReady         time.Time // when it last said that it is ready; zero: never
	Sent              uint64    // clients' messages written whole
	Received          uint64    // JSON objects from the flow, of whatever type
}

// endpoint is the manager's side of one container's socket.
type endpoint struct {
	id            string
	cfg           *Config
	counts        *counts
	poller        *poller
	talk          *talk
	refusals      *refusals
	speaker       uint64
	readLimiter   *rate.Limiter  // bytes that the flow says unasked
	acceptLimiter *rate.Limiter  // its connections
	tasks         sync.WaitGroup // connections, accepting them, and what they leave to be told
	ended         chan struct{}  // closed by shut

	socket *socket // guarded by the hub's locks

	// watcherMu is held during a call of the watcher, so that the calls about one container come in order. It is taken before mu.
	watcherMu sync.Mutex
	announced bool
	missed    bool // the watcher knows of an outage
	faults    faults

	mu      sync.Mutex
	closed  bool
	conns   []*conn // oldest first
	hellos  uint64
	outage  bool   // a message has waited out its time, and nobody has connected since
	status  []byte // the frame of the one that all connections are told; nil while there are none
	pending pending
	facts   Facts
}

func newEndpoint(id string, h *Hub) *endpoint {
	cfg := &h.cfg
	return &endpoint{
		id: id, cfg: cfg, counts: &h.counts, poller: &h.poller, talk: &h.talk, refusals: &h.refusals, speaker: h.talk.join(), ended: make(chan struct{}), faults: faults{}, pending: newPending(),
		readLimiter:   rate.NewLimiter(rate.Limit(cfg.MaxHeard), max(cfg.MaxHeard/2, cfg.MaxFrame, frameCost)),
		acceptLimiter: rate.NewLimiter(rate.Limit(cfg.MaxJoins), acceptBurst*cfg.MaxConnections),
	}
}

// open listens at the container's path, unless the listener that we have stands there already.
func (e *endpoint) open() error {
	folder, err := openFolder(e.cfg.RunDir, e.id)
	if err != nil {
		return err
	}
	defer folder.Close()
	name := socketName(e.id)
	if e.socket.isAt(procPath(folder, name)) {
		return nil
	}
	fresh, err := bind(folder, name, socketMode)
	if err != nil {
		return err
	}
	if err := fresh.poll(e.poller, func() { e.tasks.Go(func() { e.serve(fresh) }) }); err != nil {
		return errors.Join(err, fresh.Close())
	}
	stale := e.socket
	e.socket = fresh
	if stale != nil {
		stale.Close()
	}
	return nil
}

// listening reports whether a flow that looks for its socket finds the one that we listen on.
func (e *endpoint) listening() bool {
	return e.socket.isAt(filepath.Join(e.cfg.RunDir, e.id, socketName(e.id)))
}

// shut ends everything and waits for it.
func (e *endpoint) shut() {
	e.mu.Lock()
	e.closed = true
	e.pending.fail(closedError().For("", "", e.id))
	conns := slices.Clone(e.conns)
	e.mu.Unlock()
	close(e.ended)
	if e.socket != nil {
		e.socket.Close()
	}
	for _, c := range conns {
		c.Close()
	}
	e.tasks.Wait()
}

// serve accepts the connections that wait, and has the poller wait for others.
func (e *endpoint) serve(s *socket) {
	e.accept(s)
	for err := s.rearm(); err != nil; err = s.rearm() {
		e.refusals.tell(e, err)
		if e.pause(acceptPause) {
			return
		}
	}
}

// acceptor is a socket whose Accept does not block.
type acceptor interface{ Accept() (net.Conn, error) }

// accept accepts every connection that waits.
func (e *endpoint) accept(a acceptor) {
	for {
		nc, err := a.Accept()
		switch {
		case err == nil:
			if ended := e.admit(nc); ended {
				return
			}
		case errors.Is(err, net.ErrClosed), errors.Is(err, errWouldBlock):
			return
		default:
			e.refusals.tell(e, err)
			if e.pause(acceptPause) {
				return
			}
		}
	}
}

// admit registers nc, unless the flow connects too often, and reports whether the endpoint ended meanwhile. What is refused is
// accepted all the same, at a pace: left in the listener's queue, connections of a flow that has ended would stand before
// those of its next run.
func (e *endpoint) admit(nc net.Conn) (ended bool) {
	if e.acceptLimiter.Allow() {
		e.register(nc)
		return false
	}
	e.refuse(nc, throttledConnections, api.Errorf(api.SocketError, "the flow connects more than %d times a second; this connection was refused, try again later", e.cfg.MaxJoins))
	return e.pause(refusePause)
}

// pause waits for d and reports whether the endpoint ended meanwhile.
func (e *endpoint) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.ended:
		return true
	case <-timer.C:
		return false
	}
}

// register makes nc one of the endpoint's connections, or refuses it where there are too many.
func (e *endpoint) register(nc net.Conn) {
	e.mu.Lock()
	closed, full := e.closed, len(e.conns) >= e.cfg.MaxConnections
	if !closed && !full {
		e.registerLocked(newConn(e, nc))
	}
	e.mu.Unlock()
	switch {
	case closed:
		nc.Close()
	case full:
		e.refuse(nc, refusedConnection, api.Errorf(api.SocketError, "a flow may have %d connections and has them already; this one was refused", e.cfg.MaxConnections))
	}
}

func (e *endpoint) registerLocked(c *conn) {
	e.notifyStatusLocked()
	e.conns = append(e.conns, c)
	e.outage = false
	if e.status != nil {
		c.notifyLocked(notice{"status", e.status})
	}
	e.tasks.Go(c.run)
}

// refuse says why before it closes nc. Its buffer is empty and takes the frame at once.
func (e *endpoint) refuse(nc net.Conn, what offence, problem *api.Error) {
	defer nc.Close()
	if err := nc.SetWriteDeadline(time.Now().Add(e.cfg.WriteTimeout)); err == nil {
		_, err = nc.Write(errorFrame(problem))
		problem = problem.Because(err)
	}
	e.fault(what, problem)
}

// unregister takes c off: reading from it ended with err.
func (e *endpoint) unregister(c *conn, err error) {
	e.mu.Lock()
	e.conns = slices.DeleteFunc(e.conns, func(other *conn) bool { return other == c })
	if len(e.conns) == 0 {
		e.status = nil
	}
	what, problem := lostConnection(err, c.writeErr, e.pending.dependsOn(c))
	if e.closed {
		problem = nil
	}
	e.wakeTargetLocked()
	e.mu.Unlock()
	if problem != nil {
		e.fault(what, problem)
	}
	e.announce()
}

func (e *endpoint) snapshot() Facts {
	e.mu.Lock()
	defer e.mu.Unlock()
	facts := e.facts
	facts.Connected = len(e.conns) > 0
	return facts
}

package sockets

import (
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// announce tells the watcher whether the flow is connected, and whether it is missed, where it has not heard.
func (e *endpoint) announce() {
	e.withWatcher(func(w Watcher) {
		connected, outage := e.presence()
		if connected != e.announced {
			e.announced = connected
			w.Connection(e.id, connected)
		}
		if outage != e.missed {
			e.missed = outage
			w.Reachable(e.id, !outage)
		}
	})
}

func (e *endpoint) presence() (connected, outage bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns) > 0, e.outage
}

// fault counts an offence, and tells the watcher of the problem that it is.
func (e *endpoint) fault(o offence, problem *api.Error) {
	e.counts.add(o)
	e.withWatcher(func(w Watcher) {
		if said := e.faults.allow(problem, time.Now()); said != nil {
			w.Fault(e.id, said.For("", "", e.id))
		}
	})
}

// withWatcher calls f with the watcher. The calls for one container come one at a time.
func (e *endpoint) withWatcher(f func(Watcher)) {
	e.watcherMu.Lock()
	defer e.watcherMu.Unlock()
	f(e.cfg.Watcher)
}

// receive handles one frame's body from the flow.
func (e *endpoint) receive(c *conn, body []byte) {
	o, err := rawjson.Parse(body)
	e.recordReceived(err == nil)
	cost := max(len(body), e.talk.heard(e.speaker, time.Now()))
	if err != nil {
		e.throttle(cost)
		e.fault(malformedMessage, api.Errorf(api.MessageFormatError, "%s; a flow sends one JSON object in each frame", err))
		return
	}
	rawjson.MendPairs(body) // o shares its bytes
	if e.completeRequest(o, len(body)) {
		return
	}
	e.throttle(cost)
	switch o.Text("type") {
	case "hello":
		e.makeTarget(c)
	case "ping":
		c.answer(pongFrame(o))
	case "ready":
		e.recordReady(c)
		e.withWatcher(func(w Watcher) { w.Ready(e.id) })
	case "heartbeat":
		e.withWatcher(func(w Watcher) { w.Heartbeat(e.id) })
	case "actor_event":
		e.receiveMessage(o, body)
		e.receiveActorEvent(o)
	default:
		e.receiveMessage(o, body)
	}
}

// throttle slows down the reading from a flow that sends more than clients can be told. Replies that somebody waits for are as many as
// clients ask for, and are not held up.
func (e *endpoint) throttle(cost int) {
	wait := e.readLimiter.ReserveN(time.Now(), cost).Delay()
	if wait == 0 {
		return
	}
	e.fault(throttledFrames, api.Errorf(api.SocketError, "the flow says more than %d bytes a second, where any message counts for %d or more; it is read more slowly",
		e.cfg.MaxHeard, frameCost))
	e.pause(wait)
}

func (e *endpoint) receiveMessage(o rawjson.Object, body []byte) {
	if o.Value("reply_to") != nil {
		e.counts.add(unaskedReply) // or one that came too late; it is a message like any other
	}
	e.cfg.Watcher.Traffic(e.id, FromFlow, kindOf(o), len(body))
	e.withWatcher(func(w Watcher) { w.Message(e.id, body) })
}

func (e *endpoint) receiveActorEvent(o rawjson.Object) {
	actor, event := o.Text("actor"), o.Text("event")
	if actor == "" || event == "" {
		e.fault(malformedMessage, api.Errorf(api.MessageFormatError, "an actor_event names its actor and its event as strings"))
		return
	}
	e.withWatcher(func(w Watcher) { w.ActorEvent(e.id, actor, event, o.Value("data")) })
}

// recordReceived records that a frame came from the flow.
func (e *endpoint) recordReceived(isObject bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts.LastReceived = time.Now()
	e.facts.LastCommunication = e.facts.LastReceived
	if isObject {
		e.facts.Received++
	}
}

func (e *endpoint) recordReady(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts.LastReady, c.ready = e.facts.LastReceived, true
}

// lastActivity returns when the flow last sent anything, and when it was last ready. The engine notes a start once that is done, and a
// process may have said that it is ready before then; but while a connection stands, so does the process behind it.
func (e *endpoint) lastActivity() (last, ready time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.ContainsFunc(e.conns, func(c *conn) bool { return c.ready }) {
		return e.facts.LastReceived, time.Now()
	}
	return e.facts.LastReceived, e.facts.LastReady
}

// completeRequest reports whether o is the reply that a request waits for. If so it completes the request.
func (e *endpoint) completeRequest(o rawjson.Object, size int) bool {
	id := o.Text("reply_to")
	if id == "" {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.pending.reply(id, o) {
		return false
	}
	e.cfg.Watcher.Traffic(e.id, FromFlow, kindOf(o), size)
	return true
}

package sockets

import (
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/rawjson"
)

// announce tells the watcher whether the flow is connected, and whether it is missed, where it has not heard.
func (e *endpoint) announce() {
	e.tell(func(w Watcher) {
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
	e.tell(func(w Watcher) {
		if said := e.faults.admit(problem, time.Now()); said != nil {
			w.Fault(e.id, said.For("", "", e.id))
		}
	})
}

// tell lets f speak to the watcher, one at a time.
func (e *endpoint) tell(f func(Watcher)) {
	e.deliver.Lock()
	defer e.deliver.Unlock()
	f(e.cfg.Watcher)
}

// hear takes one frame's body from the flow.
func (e *endpoint) hear(c *conn, body []byte) {
	o, err := rawjson.Parse(body)
	e.note(err == nil)
	if err != nil {
		e.pace(len(body))
		e.fault(malformedMessage, api.Errorf(api.MessageFormatError, "%s; a flow sends one JSON object in each frame", err))
		return
	}
	if e.completes(o, len(body)) {
		return
	}
	e.pace(len(body))
	switch o.Text("type") {
	case "hello":
		e.prefer(c)
	case "ping":
		c.answer(pongFrame(o))
	case "ready":
		e.noteReady(c)
		e.tell(func(w Watcher) { w.Ready(e.id) })
	case "heartbeat":
		e.tell(func(w Watcher) { w.Heartbeat(e.id) })
	case "actor_event":
		e.hearMessage(o, body)
		e.hearActor(o)
	default:
		e.hearMessage(o, body)
	}
}

// frameCost is what any frame of a flow is taken for, in bytes, however short it is.
const frameCost = 2 << 10

// pace holds up the reading of a flow that says more than clients can be told. Replies that somebody waits for are as many as
// clients ask for, and are not held up.
func (e *endpoint) pace(size int) {
	wait := e.heard.ReserveN(time.Now(), max(size, frameCost)).Delay()
	if wait == 0 {
		return
	}
	e.fault(throttledFrames, api.Errorf(api.SocketError, "the flow says more than %d bytes a second, where any message counts for %d or more; it is read more slowly",
		e.cfg.MaxHeard, frameCost))
	e.pause(wait)
}

func (e *endpoint) hearMessage(o rawjson.Object, body []byte) {
	if o.Value("reply_to") != nil {
		e.counts.add(unaskedReply) // or one that came too late; it is a message like any other
	}
	e.cfg.Watcher.Traffic(e.id, FromFlow, kindOf(o), len(body))
	e.tell(func(w Watcher) { w.Message(e.id, body) })
}

func (e *endpoint) hearActor(o rawjson.Object) {
	actor, event := o.Text("actor"), o.Text("event")
	if actor == "" || event == "" {
		e.fault(malformedMessage, api.Errorf(api.MessageFormatError, "an actor_event names its actor and its event as strings"))
		return
	}
	e.tell(func(w Watcher) { w.ActorEvent(e.id, actor, event, o.Value("data")) })
}

// note keeps the facts: a frame came from the flow.
func (e *endpoint) note(isObject bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts.LastReceived = time.Now()
	e.facts.LastCommunication = e.facts.LastReceived
	if isObject {
		e.facts.Received++
	}
}

func (e *endpoint) noteReady(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts.LastReady, c.ready = e.facts.LastReceived, true
}

// spoke tells when the flow last said anything, and when it was last ready. The engine notes a start once that is done, and a
// process may have said that it is ready before then; but while a connection stands, so does the process behind it.
func (e *endpoint) spoke() (last, ready time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.ContainsFunc(e.conns, func(c *conn) bool { return c.ready }) {
		return e.facts.LastReceived, time.Now()
	}
	return e.facts.LastReceived, e.facts.LastReady
}

// completes tells whether o is the reply that a request waits for, and if so hands it over.
func (e *endpoint) completes(o rawjson.Object, size int) bool {
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

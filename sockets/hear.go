package sockets

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// announce tells the watcher whether the flow is connected, where it has not heard.
func (e *endpoint) announce() {
	e.tell(func(w Watcher) {
		if connected := e.look().Connected; connected != e.announced {
			e.announced = connected
			w.Connection(e.id, connected)
		}
	})
}

func (e *endpoint) fault(problem *api.Error) {
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
	o, err := parseObject(body)
	e.note(err == nil)
	if err != nil {
		e.fault(api.Errorf(api.MessageFormatError, "%s; a flow sends one JSON object in each frame", err))
		return
	}
	if e.completes(o) {
		return
	}
	switch o.text("type") {
	case "hello":
		e.prefer(c)
	case "ping":
		c.answer(pongFrame(o))
	case "ready":
		e.noteReady()
		e.tell(func(w Watcher) { w.Ready(e.id) })
	case "heartbeat":
		e.tell(func(w Watcher) { w.Heartbeat(e.id) })
	case "actor_event":
		e.tell(func(w Watcher) { w.Message(e.id, body) })
		e.hearActor(o)
	default:
		e.tell(func(w Watcher) { w.Message(e.id, body) })
	}
}

func (e *endpoint) hearActor(o object) {
	actor, event := o.text("actor"), o.text("event")
	if actor == "" || event == "" {
		e.fault(api.Errorf(api.MessageFormatError, "an actor_event names its actor and its event as strings"))
		return
	}
	e.tell(func(w Watcher) { w.ActorEvent(e.id, actor, event, o.value("data")) })
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

func (e *endpoint) noteReady() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts.LastReady = e.facts.LastReceived
}

// completes tells whether o is the reply that a request waits for, and if so hands it over.
func (e *endpoint) completes(o object) bool {
	id := o.text("reply_to")
	if id == "" {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pending.reply(id, o)
}

package socketio

import (
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

// receive queues one event for handleLoop; it runs on the connection's read goroutine.
func (s *Session) receive(p inbound) {
	r := newRequest(s, p)
	if e := s.admit(r); e != nil {
		s.reject(r, e)
	}
}

// refuse answers a request that is over the limits by its name.
func (s *Session) refuse(p inbound, message string) {
	s.reject(newRequest(s, p), api.Errorf(api.ValidationError, "%s", message))
}

// reject refuses r, which counts for the session's rate: a client that floods is read no faster than that.
func (s *Session) reject(r *session.Request, e *api.Error) {
	r.Fail(e)
	_ = s.rate.Wait(s.ctx) // it fails when the session is over, and then nothing is read any more
}

// admit puts r into the queue or says why not.
func (s *Session) admit(r *session.Request) *api.Error {
	limits := &s.t.limits
	if !s.t.events[r.Event] {
		s.t.counts.add(requestUnknown)
		return api.UnknownEvent(r.Event)
	}
	if !s.t.unrated[r.Event] && !s.rate.Allow() {
		s.t.counts.add(requestRate)
		return api.RateLimited(time.Second, "more than %d requests a second; send this one again later", limits.RequestsPerSecond)
	}
	if s.patiently(&s.unanswered, s.inFlight.space, func() pushResult { return s.inFlight.begin(limits.InFlight) }) != pushedOK {
		s.t.counts.add(requestInFlight)
		return api.RateLimited(time.Second, "%d requests of this session are not answered yet; wait for some of them", limits.InFlight)
	}
	outcome := s.patiently(&s.stalled, s.in.space, func() pushResult { return s.in.push(r, len(r.Data)+packetOverhead) })
	if outcome == pushedOK {
		return nil
	}
	s.inFlight.end()
	if outcome == pushedClosed {
		return nil // nobody is there to be told
	}
	s.t.counts.add(requestQueue)
	return api.RateLimited(time.Second, "more than %d requests wait for their turn; send this one again later", limits.InItems)
}

// patiently holds the reader back for a moment when there is no room, which a burst needs, and refuses from then on, which a handler
// or a flow that hangs needs. full is whether there was none last time.
func (s *Session) patiently(full *bool, space chan struct{}, push func() pushResult) pushResult {
	outcome := push()
	if outcome == pushedFull && !*full {
		grace := time.NewTimer(s.t.limits.QueueGrace)
		defer grace.Stop()
		outcome = until(space, grace.C, push)
	}
	*full = outcome == pushedFull
	return outcome
}

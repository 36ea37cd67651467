package sockets

import "sync/atomic"

// offence is what a flow can do amiss.
type offence int

const (
	malformedMessage     offence = iota // a well-framed body that is no JSON object, or an actor_event without its names
	tooLongFrame                        // a header that announces more than is allowed
	unfinishedFrame                     // one that was begun and not ended, in time or at all
	notReading                          // frames to the flow that it does not take
	lostUnanswered                      // a connection that ended while messages depended on it
	refusedConnection                   // one more than are allowed
	throttledConnections                // one that was refused, for there were many before
	throttledFrames                     // one that had to wait, for the flow had said much before
	unaskedReply                        // a reply that nobody waits for, or not any longer
	offences                            // how many there are
)

func (o offence) String() string {
	return [offences]string{
		"malformed_message", "too_long_frame", "unfinished_frame", "not_reading", "lost_unanswered",
		"refused_connection", "throttled_connections", "throttled_frames", "unasked_reply",
	}[o]
}

// counts counts offences of all flows.
type counts [offences]atomic.Uint64

func (c *counts) add(o offence) { c[o].Add(1) }

// Counts tells how often flows did what is amiss, by what it is; those that never happened are there as well.
func (h *Hub) Counts() map[string]uint64 {
	all := make(map[string]uint64, offences)
	for o := range offences {
		all[o.String()] = h.counts[o].Load()
	}
	return all
}

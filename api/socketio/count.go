package socketio

import (
	"maps"
	"sync"
)

// The reasons that Counts counts by, besides those of the library for an ended connection (closed_transport_close, ..).
const (
	refusedHost       = "refused_host"
	refusedOrigin     = "refused_origin"
	refusedRequest    = "refused_request"
	refusedPath       = "refused_path"
	refusedSid        = "refused_sid"
	refusedFull       = "refused_full"
	refusedAddress    = "refused_address"
	refusedPrincipal  = "refused_principal"
	refusedClosing    = "refused_closing"
	refusedConnect    = "refused_connect"
	refusedBody       = "refused_body"
	refusedOverlap    = "refused_overlap"
	refusedConnection = "refused_connection"
	refusedNamespace  = "refused_namespace"

	requestUnknown  = "request_unknown_event"
	requestRate     = "request_rate_limited"
	requestInFlight = "request_too_many_in_flight"
	requestQueue    = "request_queue_full"
	requestLimits   = "request_over_limits"
	requestPanic    = "request_panic"

	eventsDropped = "events_dropped"

	brokeMalformed = "broke_malformed_packet"
	brokeBinary    = "broke_binary"
	brokeOrder     = "broke_packet_order"
	brokeAck       = "broke_unasked_ack"
	brokeLimits    = "broke_limits"
	brokeHeartbeat = "broke_heartbeat"
	brokeFrame     = "broke_unfinished_frame"
	brokePanic     = "broke_panic"

	endedSlow       = "ended_slow_client"
	endedByClient   = "ended_by_client"
	endedUnjoined   = "ended_never_joined"
	endedGaveWay    = "ended_gave_way"
	endedByShutdown = "ended_shutdown"
	endedByApp      = "ended_by_app"

	endedUnauthorized = "ended_unauthorized"
)

// counters counts by reason; its keys come from this package and the library only, never from a client.
type counters struct {
	mu sync.Mutex
	by map[string]uint64
}

func newCounters() *counters { return &counters{by: map[string]uint64{}} }

func (c *counters) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[reason]++
}

func (c *counters) snapshot() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

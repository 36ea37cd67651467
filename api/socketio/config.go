package socketio

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api/session"
)

// Authenticate judges the auth object of a CONNECT (empty if it had none) from the remote address. Its error refuses the
// session; an *api.Error reaches the client, any other is only logged. When the context that it returns ends, the session
// is cut off, and told the context's cause, which should be an *api.Error as well.
type Authenticate func(ctx context.Context, auth json.RawMessage, remote string) (session.Principal, context.Context, error)

// Config says whom to serve and what. The zero value serves loopback names, and no events.
type Config struct {
	// AllowedHosts are the names (host or host:port) a request's Host may have; none: localhost, 127.0.0.1 and [::1].
	AllowedHosts []string
	// AllowedOrigins are the origins web pages may come from; none: http(s):// and an allowed host with the request's port.
	AllowedOrigins []string
	// TrustedProxies are those whose X-Forwarded-For is believed; they may have any number of connections.
	TrustedProxies []netip.Prefix
	// BasePath is what stands before every path outside, "" or like /flows. Whoever serves the handlers takes it off.
	BasePath string
	// Events are the names clients may send; any other is answered with a validation_error that names it.
	Events []string
	// Unrated are those of Events that are traffic rather than control: RequestsPerSecond does not bound them, InFlight does.
	Unrated []string
	// Authenticate may be nil: then everybody is an operator by the name of operator.
	Authenticate Authenticate
	Log          zerolog.Logger
	// Limits may be left zero, wholly or in part: zero fields have their default.
	Limits Limits
}

// Limits bound what clients can make the process do. Zero fields mean the default in brackets.
type Limits struct {
	MaxConnections  int // joined or joining clients [4096]; twice as many and 64 TCP connections
	MaxPerAddress   int // of these from one address, or one IPv6 network of 64 bits [half of MaxConnections]
	MaxPerPrincipal int // of these that have joined as one principal [half of MaxConnections]

	GuestGrace       time.Duration // what a connection has to join before it may have to give way to another one [2 s]
	GuestIdleTimeout time.Duration // between two requests on one HTTP connection by which nobody has joined; others have 90 s [10 s]

	HeaderTimeout time.Duration // the header of an HTTP request [10 s]
	BodyTimeout   time.Duration // its body [30 s]
	JoinTimeout   time.Duration // from the handshake to a CONNECT, for judging that, and from a session's end to the connection's [10 s]
	FrameTimeout  time.Duration // from a WebSocket message's first byte to its last [30 s]
	PingInterval  time.Duration // between two pings to a client [25 s]
	PingTimeout   time.Duration // for its answer to one [20 s]
	WriteTimeout  time.Duration // one write to a client that does not read, or its next poll [20 s]
	SlowTimeout   time.Duration // what a client has that missed events until it has read all before them [30 s]
	DrainTimeout  time.Duration // what is queued when a session is ended [2 s]
	QueueGrace    time.Duration // how long a full request queue, or too many in flight, hold the reader back before it refuses [250 ms]

	ReadBytesPerSecond int // from one WebSocket connection, and at once [8 MiB]
	RequestsPerSecond  int // of one session, and at once [1000]; those in Config.Unrated do not count
	InFlight           int // requests of one session received and not answered [1024]
	InItems, InBytes   int // of these, not yet handled [64, 4 MiB]
	QueuedBytes        int // of all that waits in all sessions, and of messages half read, beyond 64 KiB of each [256 MiB]
	OutItems, OutBytes int // packets emitted and not yet handed on [8192, 4 MiB], half of each for events that everybody is told
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.MaxConnections, 4096)
	setDefault(&l.MaxPerAddress, (l.MaxConnections+1)/2)
	setDefault(&l.MaxPerPrincipal, (l.MaxConnections+1)/2)
	setDefault(&l.GuestGrace, 2*time.Second)
	setDefault(&l.GuestIdleTimeout, 10*time.Second)
	setDefault(&l.HeaderTimeout, 10*time.Second)
	setDefault(&l.BodyTimeout, 30*time.Second)
	setDefault(&l.JoinTimeout, 10*time.Second)
	setDefault(&l.FrameTimeout, 30*time.Second)
	setDefault(&l.PingInterval, 25*time.Second)
	setDefault(&l.PingTimeout, 20*time.Second)
	setDefault(&l.WriteTimeout, 20*time.Second)
	setDefault(&l.SlowTimeout, 30*time.Second)
	setDefault(&l.DrainTimeout, 2*time.Second)
	setDefault(&l.QueueGrace, 250*time.Millisecond)
	setDefault(&l.ReadBytesPerSecond, 8<<20)
	setDefault(&l.RequestsPerSecond, 1000)
	setDefault(&l.InFlight, 1024)
	setDefault(&l.InItems, 64)
	setDefault(&l.InBytes, 4<<20)
	setDefault(&l.QueuedBytes, 256<<20)
	setDefault(&l.OutItems, 8192)
	setDefault(&l.OutBytes, 4<<20)
	return l
}

func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

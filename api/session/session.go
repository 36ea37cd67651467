package session

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/flow-manager/flow-manager/api"
)

// App is what a transport serves. For one session its methods are called one at a time and in order; for different sessions
// they run at once, and one that blocks holds up its own session only. A panic in any of them is the transport's to recover,
// to log with its stack and to answer with a system_error.
type App interface {
	// Begin comes before any event of the session; what it emits follows the client's CONNECT answer. An error refuses
	// the session (connect_error), and an *api.Error says why; End is not called then.
	Begin(s Session) error
	// Handle is called for each event, in the order in which the client sent them. It may answer later.
	Handle(s Session, r *Request)
	// End is called once, after the last Handle.
	End(s Session)
}

// Session is one joined client. It is comparable: two values are equal where they are the same session. What is emitted arrives
// in the order of the calls. Each of the four ways to emit says by false that the session is over, or was not waited for.
type Session interface {
	// ID is the session's own id (an xid); it is no secret.
	ID() string
	// RemoteAddr is where the client connected from.
	RemoteAddr() string
	// Principal is who the session acts for.
	Principal() Principal
	// Context ends when the session is over. Requests that the client had sent before are still handled.
	Context() context.Context
	// Emit queues an event that the client is owed. It never blocks; a client that has no room for it is cut off.
	Emit(event string, body json.RawMessage) bool
	// EmitNews queues an event that everybody is told. It never blocks; a slow client may be told in its place that it missed it.
	EmitNews(e *Event) bool
	// EmitWait is Emit for what is long: it waits for room until ctx or the session ends.
	EmitWait(ctx context.Context, event string, body json.RawMessage) bool
	// EmitPaced is EmitWait for one of many events that could all be sent at once: only few of them wait for the client.
	EmitPaced(ctx context.Context, e *Event) bool
	// Recovered is deferred by what the App does for the session on a goroutine of its own: a panic there is treated as one in
	// Handle, and answer tells the client of it.
	Recovered(operation string, answer func())
}

// Principal is who a session acts for.
type Principal struct {
	Name string
	Role api.Role
	// Token is the id, not the secret, of what the session logged in with; the log tells it.
	Token string
}

// Event is an event on its way to any number of sessions. It does not change.
type Event struct {
	Name string
	Body json.RawMessage
	// Version is the resource version of the event, or the newest at its time. EmitNews needs it, to say what was missed.
	Version string
	// Subject, where it is not "", says that newer news of the same subject make this one outdated; Body is an object with
	// members then.
	Subject string

	once    sync.Once
	encoded any
}

// Encoded is what encode makes of the event for a transport. It is called once, however many sessions are sent the event: a
// process has one transport.
func (e *Event) Encoded(encode func(e *Event) any) any {
	e.once.Do(func() { e.encoded = encode(e) })
	return e.encoded
}

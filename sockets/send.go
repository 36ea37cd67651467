package sockets

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const defaultSendTimeout = 30 * time.Second

// SendOptions say how long a message may take and whether the flow is to answer it.
type SendOptions struct {
	Timeout     time.Duration // until it is written, or answered where a reply is expected; 0: 30 s
	ExpectReply bool
}

// Send is Queue for a caller that waits.
func (h *Hub) Send(ctx context.Context, id string, message json.RawMessage, o SendOptions) (json.RawMessage, error) {
	settled := make(chan outcome, 1)
	err := h.Queue(ctx, id, message, o, func(reply json.RawMessage, err error) { settled <- outcome{reply, err} })
	if err != nil {
		return nil, err
	}
	got := <-settled
	return got.reply, got.err
}

// Queue writes a client's message to the flow, as it is but for its id, which becomes the manager's own. It puts the message in
// its place behind those queued before it. Where there is no room it waits for as long as the flow takes messages. done is called
// when the frame was written whole or, if a reply is expected, with the reply, whose reply_to is the client's id again. Where Queue
// returns an error, done is not called; else it is called once, while the hub holds locks: it must not block nor call the hub.
// Nothing but memory is spent on a message that waits, no goroutine.
//
// While nobody is connected the message waits, until its time is up or ctx ends. Errors are *api.Error: validation_error (no
// object, a reserved type, too long), rate_limit_error (too much waits already), socket_connection_error (nobody was connected
// when the time was up, or the socket was closed or is not open), and socket_timeout_error.
// In the last two, details.delivery tells whether the flow has the message: sent, not_sent or unknown.
func (h *Hub) Queue(ctx context.Context, id string, message json.RawMessage, o SendOptions, done func(reply json.RawMessage, err error)) error {
	e, closed := h.find(id)
	if closed != nil {
		return closed.For("", "", id)
	}
	r, bad := newRequest(message, o.ExpectReply, h.cfg.MaxFrame)
	if bad != nil {
		return bad.For("", "", id)
	}
	r.done = func(got outcome) { done(got.reply, got.err) }
	if full := e.enqueue(ctx, r, cmp.Or(o.Timeout, defaultSendTimeout)); full != nil {
		return full.For("", "", id)
	}
	return nil
}

// enqueue waits for room while the flow takes what is before r.
func (e *endpoint) enqueue(ctx context.Context, r *request, timeout time.Duration) *api.Error {
	for {
		taken, err := e.tryEnqueue(ctx, r, timeout)
		if err == nil || taken == nil || !e.isTaken(ctx, taken) {
			return err
		}
	}
}

// isTaken waits until the flow has taken a message. Once it has not for a while, nobody waits before it does.
func (e *endpoint) isTaken(ctx context.Context, taken <-chan struct{}) bool {
	tooLong := time.NewTimer(e.cfg.TakeTimeout)
	defer tooLong.Stop()
	select {
	case <-taken:
		return true
	case <-ctx.Done():
		return false
	case <-tooLong.C:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pending.stuck = true
	return false
}

// tryEnqueue gives, where there is no room and the flow may make some, what is closed when it has taken a message.
func (e *endpoint) tryEnqueue(ctx context.Context, r *request, timeout time.Duration) (taken <-chan struct{}, err *api.Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, closedError().With("delivery", waiting.delivery())
	}
	if err := e.pending.add(r, e.cfg.MaxWaiting, e.cfg.MaxWaitingBytes); err != nil {
		if len(e.conns) > 0 && !e.pending.stuck {
			taken = e.pending.nextTaken()
		}
		return taken, err
	}
	timer := time.AfterFunc(timeout, func() { e.expire(r, context.DeadlineExceeded) })
	cancelled := context.AfterFunc(ctx, func() { e.expire(r, ctx.Err()) })
	r.unwatch = func() { timer.Stop(); cancelled() }
	e.wakeTargetLocked()
	return nil, nil
}

// expire gives up on r for a cause, unless it was settled meanwhile. The first message that waits out its time while nobody is
// connected makes an outage of that.
func (e *endpoint) expire(r *request, cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was, connected := e.pending.drop(r), len(e.conns) > 0
	if was == settled {
		return
	}
	r.done(outcome{err: expiryError(cause, was, connected).For("", "", e.id)})
	if connected || !errors.Is(cause, context.DeadlineExceeded) {
		return
	}
	e.outage = true
	e.tasks.Go(e.announce) // it ends before Close and Remove return: the endpoint is open, or r were settled
}

// expiryError explains a request whose caller waits no more; was is how far it had come.
func expiryError(cause error, was phase, connected bool) *api.Error {
	when := "in time"
	if errors.Is(cause, context.Canceled) {
		when = "before the request was cancelled"
	}
	kind, problem := api.SocketTimeoutError, ""
	switch {
	case was == awaitingReply:
		problem = "the flow has the message and did not reply"
	case was == writing:
		problem = "the flow did not read the message to its end, and still may"
	case connected:
		problem = "the flow is connected and did not take the message"
	default:
		kind, problem = api.SocketConnectionError, "the flow did not connect, the message was not sent"
	}
	return api.Errorf(kind, "%s %s", problem, when).With("delivery", was.delivery()).Because(cause)
}

// closedError is for requests whose socket is removed or closed.
func closedError() *api.Error {
	return api.Errorf(api.SocketConnectionError, "the flow's socket was closed before the message was done with")
}

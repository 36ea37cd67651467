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

// Send writes a client's message to the flow, as it is but for its id, which becomes the manager's own. It returns when the
// frame was written whole or, if a reply is expected, with the reply, whose reply_to is the client's id again.
//
// While nobody is connected the message waits. Errors are *api.Error: container_not_found (no such socket is open),
// validation_error (no object, a reserved type, too long), rate_limit_error (too much waits already),
// socket_connection_error (nobody was connected when the time was up, or the socket was closed), and socket_timeout_error.
// In the last two, details.delivery tells whether the flow has the message: sent, not_sent or unknown.
func (h *Hub) Send(ctx context.Context, id string, message json.RawMessage, o SendOptions) (json.RawMessage, error) {
	wait, err := h.Queue(id, message, o)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}

// Queue is the first half of Send: it puts the message in its place behind those queued before it, and never blocks. wait is
// the other half; it must be called, once, and its time has begun already.
func (h *Hub) Queue(id string, message json.RawMessage, o SendOptions) (wait func(ctx context.Context) (json.RawMessage, error), err error) {
	e, gone := h.find(id)
	if gone != nil {
		return nil, gone.For("", "", id)
	}
	r, bad := newRequest(message, o.ExpectReply, h.cfg.MaxFrame)
	if bad != nil {
		return nil, bad.For("", "", id)
	}
	if full := e.enqueue(r); full != nil {
		return nil, full.For("", "", id)
	}
	deadline := time.Now().Add(cmp.Or(o.Timeout, defaultSendTimeout))
	return func(ctx context.Context) (json.RawMessage, error) {
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		done := e.await(ctx, r)
		if done.err != nil {
			return nil, done.err.For("", "", id)
		}
		return done.reply, nil
	}, nil
}

func (e *endpoint) enqueue(r *request) *api.Error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errGone().With("delivery", waiting.delivery())
	}
	if err := e.pending.add(r, e.cfg.MaxWaiting, e.cfg.MaxWaitingBytes); err != nil {
		return err
	}
	e.nudgeTargetLocked()
	return nil
}

func (e *endpoint) await(ctx context.Context, r *request) outcome {
	select {
	case done := <-r.done:
		return done
	case <-ctx.Done():
	}
	was, connected := e.drop(r)
	if was == settled {
		return <-r.done // it was settled while we came to give up
	}
	return outcome{err: gaveUp(ctx.Err(), was, connected)}
}

func (e *endpoint) drop(r *request) (was phase, connected bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pending.drop(r), len(e.conns) > 0
}

// gaveUp explains a request whose caller waits no more; was is how far it had come.
func gaveUp(cause error, was phase, connected bool) *api.Error {
	when := "in time"
	if errors.Is(cause, context.Canceled) {
		when = "before the request was cancelled"
	}
	kind, problem := api.SocketTimeoutError, ""
	switch {
	case was == asked:
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

// errGone is for requests whose socket is removed or closed.
func errGone() *api.Error {
	return api.Errorf(api.SocketConnectionError, "the flow's socket was closed before the message was done with")
}

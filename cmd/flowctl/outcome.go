package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const (
	longestWait = 600 // seconds that one request may wait for an outcome
	glance      = 2 * time.Second
)

// outcome waits until an order is observed and what runs has come as far as it is to, and says what became of it. One for which
// no time is left, because others took it, may have come to its end meanwhile: it is looked at all the same.
func (a *app) outcome(whole, ctx context.Context, c *Client, ack accepted, until string) (string, error) {
	e, err := c.Await(ctx, ack.answer)
	if err != nil {
		return "", err
	}
	var answer struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(e.Data, &answer); err != nil {
		return "", fmt.Errorf("read %s: %w", e.Name, err)
	}
	done := strings.ReplaceAll(answer.Status, "_", " ")
	if until == "" || until == api.WaitForRunning {
		return became(done, answer.Status, until), nil
	}
	if ctx.Err() != nil {
		late, cancel := context.WithTimeoutCause(whole, glance, context.Cause(ctx))
		defer cancel()
		ctx = late
	}
	state, err := a.reach(ctx, c, ack, until)
	return became(done, state, until), err
}

// became is a sentence about an order that was done, after which a container is in state.
func became(done, state, until string) string {
	so := map[string]string{api.StateRunning: "is " + until, api.StateExited: "has completed"}[state]
	switch {
	case so == "":
		return "is " + done
	case done == state:
		return so
	}
	return "is " + done + ", and " + strings.TrimPrefix(so, "is ")
}

// reach waits until what runs has come as far as it is to, and gives the state that it came to instead where it is not to run.
func (a *app) reach(ctx context.Context, c *Client, ack accepted, until string) (state string, err error) {
	for {
		event, body := ack.wait(until)
		body["wait_seconds"] = seconds(ctx)
		answer, err := c.Request(ctx, event, body)
		if isTimeout(err) && ctx.Err() == nil && failingOf(err).Reason == "" {
			continue // the server waits for so long at most
		}
		if err != nil {
			return "", err
		}
		var waited struct {
			Status string `json:"status"`
		}
		if err := json.Unmarshal(answer, &waited); err != nil {
			return "", fmt.Errorf("read the answer to %s: %w", event, err)
		}
		return waited.Status, nil
	}
}

// wait is the request that is answered once an order has come to its end. What changed nothing has no outcome of its own: it is
// declared once more, unless something else is declared by now.
func (ack accepted) wait(until string) (event string, body map[string]any) {
	if ack.Changed {
		return api.WaitContainer, map[string]any{"container_id": ack.name, "generation": ack.Generation, "wait_for": until}
	}
	body = maps.Clone(ack.order.body)
	body["request_id"], body["if_generation"], body["wait_for"] = rand.Text(), ack.Generation, until
	return ack.order.event, body
}

// seconds is how long the server may wait: a little longer than we do.
func seconds(ctx context.Context) int {
	deadline, _ := ctx.Deadline()
	return max(1, min(longestWait, int(time.Until(deadline)/time.Second)+2))
}

// instead says with a time-out what the container is at its end.
func (a *app) instead(ctx context.Context, c *Client, ack accepted, err error) error {
	late, ok := err.(*timeoutError)
	if !ok {
		return err
	}
	ctx, cancel := within(ctx, glance, "not told what it is")
	defer cancel()
	var answer struct {
		Container judged `json:"container"`
	}
	body, failed := c.Request(ctx, api.GetContainer, map[string]any{"container_id": ack.name})
	if failed != nil || json.Unmarshal(body, &answer) != nil || answer.Container.Status.State == "" {
		return err
	}
	return &timeoutError{late.missed, late.after, answer.Container.said()}
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// How long to wait before a lost session is made anew, doubled each time until one has lasted.
const (
	minPause = 200 * time.Millisecond
	maxPause = 5 * time.Second
)

// watching is one session: it asks for what is to be seen and sees it, until there is nothing more to see.
type watching func(ctx context.Context, c *Client) error

// hearing is a session in which begin asks, and hear is told each event.
func hearing(begin watching, hear func(Event) error) watching {
	return func(ctx context.Context, c *Client) error {
		c.Listen(hear)
		if err := begin(ctx, c); err != nil {
			return err
		}
		return c.Attend(ctx)
	}
}

// watch sees things in one session after the other, for as long as ctx lasts: once there was a connection, another takes over
// where it is lost, or where a session ends with errAnew. errSeen ends it, and is no error; so does what the server refuses,
// and what cannot be written.
func (a *app) watch(ctx context.Context, session watching) error {
	pause, begun := minPause, false
	for {
		since := time.Now()
		joined, err := a.attend(ctx, session)
		begun = begun || joined
		switch {
		case errors.Is(err, errSeen):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errAnew):
		case !begun || !lost(err):
			return err
		case joined:
			a.note("%s; connecting again", err)
		}
		if time.Since(since) > maxPause {
			pause = minPause
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// attend is one session; joined tells whether there was a connection.
func (a *app) attend(ctx context.Context, session watching) (joined bool, err error) {
	c, err := a.connect(ctx)
	if err != nil {
		return false, err
	}
	defer c.Close()
	return true, session(ctx, c)
}

// subscribe narrows the session to what the request says, and gives the version that the server was at. It has an id, so that
// its refusal is not taken for a warning.
func (a *app) subscribe(ctx context.Context, c *Client, request map[string]any) (string, error) {
	request["request_id"] = rand.Text()
	var answer json.RawMessage
	err := a.ask(ctx, c, api.Subscribe, request, &answer)
	return versionOf(answer), err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// versionOf is the resource version of an object or a durable event.
func versionOf(body json.RawMessage) string {
	var object struct {
		ResourceVersion string `json:"resource_version"`
	}
	_ = json.Unmarshal(body, &object) // what is no object has none
	return object.ResourceVersion
}

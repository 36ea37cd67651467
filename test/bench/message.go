package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// inFlight is how many requests or messages wait for their answers at once.
const inFlight = 64

// messageRow measures messages from a client to a flow and back, beside the library's bare echo.
func messageRow(ctx context.Context, b *bench) ([]finding, error) {
	own, body, err := b.talking(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := b.bareSession(ctx)
	if err != nil {
		return nil, err
	}
	n, alone := b.times(640, 20_000), b.times(50, 1000)
	const event = "send_message"
	crowded := func(c *session, event string, body []byte) trial {
		return func(ctx context.Context) (float64, error) { return pipelined(ctx, []*session{c}, event, body, n) }
	}
	rates, err := warmed(ctx, b.times(1, 5), crowded(lib, echoEvent, message()), crowded(lib, echoEvent, message()), crowded(own, event, body))
	if err != nil {
		return nil, err
	}
	one := func(c *session, event string, body []byte) trial {
		return func(ctx context.Context) (float64, error) { return timed(ctx, c, event, body) }
	}
	times, err := warmed(ctx, alone, one(lib, echoEvent, message()), one(lib, echoEvent, message()), one(own, event, body))
	if err != nil {
		return nil, err
	}
	f := faster(fmt.Sprintf("message client -> flow -> client, %d bytes, %d in flight", messageBytes, inFlight), rates, 0.6)
	g := sooner("message client -> flow -> client, one alone", times, 2)
	f.yardstick, g.yardstick = "bare echo: "+f.yardstick, "bare echo: "+g.yardstick
	f.note = "the manager on a faked engine, client and flow in Go; each message is answered by an acknowledgement and two events"
	return []finding{f, g}, nil
}

// talking is a session, and a request of it that reaches a flow in this process and comes back.
func (b *bench) talking(ctx context.Context) (*session, []byte, error) {
	engine, err := b.fakeEngine()
	if err != nil {
		return nil, nil, err
	}
	m, err := b.manage(ctx, "--docker-host", engine.host)
	if err != nil {
		return nil, nil, err
	}
	c, err := b.join(ctx, m.addr)
	if err != nil {
		return nil, nil, err
	}
	id, err := declared(ctx, c, b.name())
	if err != nil {
		return nil, nil, err
	}
	conn, err := net.Dial("unix", filepath.Join(m.dir, "run", id, id+".sock"))
	if err != nil {
		return nil, nil, fmt.Errorf("join as a flow: %w", err)
	}
	b.later(conn.Close)
	go answerMessages(conn)
	return c, fmt.Appendf(nil, `{"container_id":%q,"message":%s,"expect_reply":true}`, id, message()), nil
}

// declared has a flow run, and gives its id.
func declared(ctx context.Context, c *session, name string) (string, error) {
	answer, err := c.declare(ctx, "apply_container", spec(name))
	if err != nil {
		return "", err
	}
	var body struct {
		ContainerID string `json:"container_id"`
	}
	err = json.Unmarshal(answer, &body)
	return body.ContainerID, err
}

func (b *bench) bareSession(ctx context.Context) (*session, error) {
	c, err := b.spawn(bareChild)
	if err != nil {
		return nil, err
	}
	return b.join(ctx, c.addr)
}

// pipelined makes n requests over sessions that have inFlight open together, and gives how many were answered a second.
func pipelined(ctx context.Context, clients []*session, event string, body []byte, n int) (float64, error) {
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range inFlight {
		group.Go(func() error {
			for range n / inFlight {
				if _, err := clients[i%len(clients)].ask(ctx, event, body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return perSecond(n/inFlight*inFlight, began), nil
}

// timed makes one request.
func timed(ctx context.Context, c *session, event string, body []byte) (float64, error) {
	began := time.Now()
	_, err := c.ask(ctx, event, body)
	return took(began), err
}

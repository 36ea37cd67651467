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
	own, err := b.talking(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := b.bareSession(ctx)
	if err != nil {
		return nil, err
	}
	echo, n := errand{[]*session{lib}, echoEvent, message()}, b.times(640, 20_000)
	rates, err := warmed(ctx, b.times(1, 5), echo.crowded(n), echo.crowded(n), own.crowded(n))
	if err != nil {
		return nil, err
	}
	times, err := warmed(ctx, b.times(50, 1000), echo.alone, echo.alone, own.alone)
	if err != nil {
		return nil, err
	}
	f := faster(fmt.Sprintf("message client -> flow -> client, %d bytes, %d in flight", messageBytes, inFlight), rates, 0.6)
	g := sooner("message client -> flow -> client, one alone", times, 2)
	f.yardstick, g.yardstick = "bare echo: "+f.yardstick, "bare echo: "+g.yardstick
	f.note = "the manager on a faked engine, client and flow in Go; each message is answered by an acknowledgement and two events"
	return []finding{f, g}, nil
}

// errand is a request that sessions make again and again.
type errand struct {
	clients []*session
	event   string
	body    []byte
}

// alone makes it once.
func (e errand) alone(ctx context.Context) (float64, error) {
	began := time.Now()
	_, err := e.clients[0].ask(ctx, e.event, e.body)
	return took(began), err
}

// crowded makes it n times, inFlight of them at once over all sessions together.
func (e errand) crowded(n int) trial {
	return func(ctx context.Context) (float64, error) {
		return crowded(ctx, n, func(ctx context.Context, i int) error {
			_, err := e.clients[i%len(e.clients)].ask(ctx, e.event, e.body)
			return err
		})
	}
}

// crowded has inFlight callers do something n times together, and gives how often that was a second.
func crowded(ctx context.Context, n int, do func(ctx context.Context, caller int) error) (float64, error) {
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range inFlight {
		group.Go(func() error {
			for range n / inFlight {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return perSecond(n/inFlight*inFlight, began), err
}

// talking is a message that reaches a flow in this process and comes back.
func (b *bench) talking(ctx context.Context) (e errand, err error) {
	engine, err := b.fakeEngine()
	if err != nil {
		return e, err
	}
	m, err := b.manage(ctx, "--docker-host", engine.host)
	if err != nil {
		return e, err
	}
	c, err := b.join(ctx, m.addr)
	if err != nil {
		return e, err
	}
	id, err := declared(ctx, c, b.name())
	if err != nil {
		return e, err
	}
	body := fmt.Appendf(nil, `{"container_id":%q,"message":%s,"expect_reply":true}`, id, message())
	return errand{[]*session{c}, "send_message", body}, b.flow(filepath.Join(m.dir, "run", id, id+".sock"))
}

// flow joins a socket as a flow that answers messages.
func (b *bench) flow(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return fmt.Errorf("join as a flow: %w", err)
	}
	b.later(conn.Close)
	go answerMessages(conn)
	return nil
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

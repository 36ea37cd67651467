package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// restartRow measures from a flow's first exit until it runs again, by the engine's clock.
func restartRow(ctx context.Context, b *bench) ([]finding, error) {
	g, err := b.gaps(ctx)
	if err != nil {
		return nil, err
	}
	figures, err := contest(ctx, b.times(1, 20), g.rawCrash, g.rawCrash, g.crash)
	if err != nil {
		return nil, err
	}
	f := sooner("first exit -> running again", figures, 1.1)
	f.yardstick = "start upon the die event: " + f.yardstick
	f.note = "from the engine's die event to its start event, of a flow that was killed"
	return []finding{f}, nil
}

// gaps measures how long a flow of the manager, and a container beside it, do not run.
type gaps struct {
	b          *bench
	c          *session
	own, raw   string // names
	happenings <-chan happening
}

// happening is what the engine tells of a container of ours.
type happening struct {
	action events.Action
	name   string
	at     time.Time
}

func (b *bench) gaps(ctx context.Context) (*gaps, error) {
	c, err := b.managed(ctx)
	if err != nil {
		return nil, err
	}
	p, err := b.trace(ctx, c)
	if err != nil {
		return nil, err
	}
	g := &gaps{b: b, c: c, own: b.name(), raw: b.name()}
	if _, err := b.start(ctx, p, g.raw); err != nil {
		return nil, err
	}
	s := spec(g.own)
	s["update_policy"] = map[string]int{"monitor_seconds": 0}
	if _, err := c.declare(ctx, "apply_container", s); err != nil {
		return nil, err
	}
	g.happenings = b.watch(ctx)
	return g, nil
}

// watch tells what happens from now on, until the row is over.
func (b *bench) watch(ctx context.Context) <-chan happening {
	ctx, cancel := context.WithCancel(ctx)
	b.later(func() error { cancel(); return nil })
	filter := filters.NewArgs(filters.Arg("type", "container"), filters.Arg("event", "die"), filters.Arg("event", "start"))
	messages, failed := b.engine.Events(ctx, events.ListOptions{Filters: filter, Since: fmt.Sprint(time.Now().Unix())})
	heard := make(chan happening, 1000)
	go func() {
		defer close(heard)
		for {
			select {
			case m := <-messages:
				if name := m.Actor.Attributes["name"]; strings.HasPrefix(name, b.prefix) {
					heard <- happening{m.Action, name, time.Unix(0, m.TimeNano)}
				}
			case <-failed:
				return
			}
		}
	}()
	return heard
}

// await takes happenings until one is such, after the given time.
func (g *gaps) await(ctx context.Context, name string, action events.Action, since time.Time) (time.Time, error) {
	timeout := time.After(patience)
	for {
		select {
		case h, ok := <-g.happenings:
			if !ok {
				return time.Time{}, errors.New("the engine's events ended")
			}
			if h.name == name && h.action == action && !h.at.Before(since) {
				return h.at, nil
			}
		case <-timeout:
			return time.Time{}, fmt.Errorf("the engine does not tell of %s: %s", name, action)
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// gap is how long a container did not run: act ends it, between is done once the engine has said that it ended, and what starts
// it again may be either.
func (g *gaps) gap(ctx context.Context, name string, act, between func() error) (float64, error) {
	began := time.Now()
	acted := make(chan error, 1)
	go func() { acted <- act() }()
	ended, err := g.await(ctx, name, events.ActionDie, began)
	if err == nil {
		err = between()
	}
	var again time.Time
	if err == nil {
		again, err = g.await(ctx, name, events.ActionStart, ended)
	}
	return milliseconds(again.Sub(ended)), errors.Join(err, <-acted)
}

func nothing() error { return nil }

func (g *gaps) kill(ctx context.Context, name string) func() error {
	return func() error { return g.b.engine.ContainerKill(ctx, name, "SIGKILL") }
}

func (g *gaps) start(ctx context.Context, name string) func() error {
	return func() error { return g.b.engine.ContainerStart(ctx, name, container.StartOptions{}) }
}

func (g *gaps) rawCrash(ctx context.Context) (float64, error) {
	return g.gap(ctx, g.raw, g.kill(ctx, g.raw), g.start(ctx, g.raw))
}

// crash leaves the flow as one that has never exited: a restart that was asked for ends what the manager remembers of that.
func (g *gaps) crash(ctx context.Context) (float64, error) {
	figure, err := g.gap(ctx, g.own, g.kill(ctx, g.own), nothing)
	if err != nil {
		return 0, err
	}
	_, err = g.c.declare(ctx, "restart_container", map[string]any{"container_id": g.own})
	return figure, err
}

// updateRow measures how long a flow does not run when its container is replaced, and when it is restarted.
func updateRow(ctx context.Context, b *bench) ([]finding, error) {
	g, err := b.gaps(ctx)
	if err != nil {
		return nil, err
	}
	figures, err := contest(ctx, b.times(1, 20), g.rawRestart, g.rawRestart, g.update, g.restart)
	if err != nil {
		return nil, err
	}
	const slack = 50 // ms
	late := func(figures []float64) float64 { return percentile(figures, 0.95) }
	yardstick := slices.Concat(figures[0], figures[1])
	line := func(work string, own []float64) finding {
		return finding{
			work: work, ours: lasting(own), yardstick: "stop + start: " + lasting(yardstick),
			versus: fmt.Sprintf("p95 %+.0f ms", late(own)-late(yardstick)), noise: fmt.Sprintf("p95 %+.0f ms", late(figures[1])-late(figures[0])),
			hold: fmt.Sprintf("p95 <= %+d ms", slack), verdict: judge(late(own)-late(yardstick) <= slack),
		}
	}
	f, r := line("update: old's exit -> new's start", figures[2]), line("restart: exit -> start", figures[3])
	f.note = "from the engine's die event of the old container to its start event of the new one, with another environment"
	return []finding{f, r}, nil
}

func (g *gaps) rawRestart(ctx context.Context) (float64, error) {
	stop := func() error { return g.b.engine.ContainerStop(ctx, g.raw, container.StopOptions{}) }
	stopped := make(chan error, 1)
	return g.gap(ctx, g.raw, func() error { err := stop(); stopped <- err; return err }, func() error {
		if err := <-stopped; err != nil {
			return err
		}
		return g.start(ctx, g.raw)()
	})
}

func (g *gaps) update(ctx context.Context) (float64, error) {
	return g.gap(ctx, g.own, func() error {
		patch := map[string]any{"environment": map[string]string{"GREETING": g.b.name()}}
		_, err := g.c.declare(ctx, "update_container", map[string]any{"container_id": g.own, "spec": patch})
		return err
	}, nothing)
}

func (g *gaps) restart(ctx context.Context) (float64, error) {
	return g.gap(ctx, g.own, func() error {
		_, err := g.c.declare(ctx, "restart_container", map[string]any{"container_id": g.own})
		return err
	}, nothing)
}

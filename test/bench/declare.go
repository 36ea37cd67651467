package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// declareRow measures one flow at a time, from the request until its client hears that it runs.
func declareRow(ctx context.Context, b *bench) ([]finding, error) {
	c, err := b.managed(ctx)
	if err != nil {
		return nil, err
	}
	p, err := b.trace(ctx, c)
	if err != nil {
		return nil, err
	}
	raw := func(ctx context.Context) (float64, error) { return b.rawOne(ctx, p) }
	ours := func(ctx context.Context) (float64, error) { return b.declareOne(ctx, c) }
	figures, err := contest(ctx, b.times(1, 50), raw, raw, ours)
	if err != nil {
		return nil, err
	}
	yardstick := median(slices.Concat(figures[0], figures[1]))
	noise := math.Abs(median(pairwise(figures[1], figures[0], difference)))
	more := median(pairwise(figures[2], pairwise(figures[0], figures[1], mean), difference))
	return []finding{{
		work: "declare -> running, one at a time", ours: lasting(figures[2]), yardstick: "create + start: " + lasting(slices.Concat(figures[0], figures[1])),
		versus: fmt.Sprintf("%+.1f ms (%+.1f %%)", more, 100*more/yardstick), noise: fmt.Sprintf("%.1f ms", noise),
		hold: "median difference <= 5 % of the yardstick + A/A", verdict: judge(more <= yardstick/20+noise),
		note: "from the request to the event that says it runs, against create and start of a byte-identical configuration; median of the differences in each round",
	}}, nil
}

// managed starts a manager on the real engine, and a session with it.
func (b *bench) managed(ctx context.Context, args ...string) (*session, error) {
	m, err := b.manage(ctx, args...)
	if err != nil {
		return nil, err
	}
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	return b.join(ctx, m.addr)
}

// join begins a session that ends with the row.
func (b *bench) join(ctx context.Context, addr string) (*session, error) {
	c, err := dial(ctx, addr)
	if err == nil {
		b.later(func() error { c.close(); return nil })
	}
	return c, err
}

func (b *bench) rawOne(ctx context.Context, p *blueprint) (float64, error) {
	began := time.Now()
	id, err := b.start(ctx, p, b.name())
	if err != nil {
		return 0, err
	}
	figure := took(began)
	return figure, b.remove(ctx, []string{id})
}

func (b *bench) declareOne(ctx context.Context, c *session) (float64, error) {
	declared := spec(b.name())
	began := time.Now()
	if _, err := c.declare(ctx, "apply_container", declared); err != nil {
		return 0, err
	}
	figure := took(began)
	_, err := c.declare(ctx, "delete_container", map[string]any{"container_id": declared["name"]})
	return figure, err
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// readRow measures what clients ask most often, and what a manager takes that has little to do.
func readRow(ctx context.Context, b *bench) ([]finding, error) {
	m, err := b.manage(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	c, err := b.join(ctx, m.addr)
	if err != nil {
		return nil, err
	}
	flows := make([]map[string]any, b.times(1, 10))
	for i := range flows {
		flows[i] = spec(b.name())
	}
	if err := each(ctx, c, "apply_container", flows); err != nil {
		return nil, err
	}
	status, err := b.status(ctx, errand{[]*session{c}, "get_container_status", encode(map[string]any{"container_id": flows[0]["name"]})})
	if err != nil {
		return nil, err
	}
	memory, err := m.small(len(flows))
	if err != nil {
		return nil, err
	}
	list, err := b.pages(ctx)
	return []finding{status, list, memory}, err
}

func (b *bench) status(ctx context.Context, question errand) (finding, error) {
	const most = 5 // ms
	figures, err := contest(ctx, b.times(20, 300), question.alone, question.alone)
	if err != nil {
		return finding{}, err
	}
	return finding{work: question.event, ours: lasting(figures[0]), noise: "again: " + lasting(figures[1]),
		hold: fmt.Sprintf("p50 < %d ms", most), verdict: judge(median(figures[0]) < most)}, nil
}

// small is what a manager takes that has n flows.
func (m *manager) small(n int) (finding, error) {
	const mebibytes = 30
	share, err := m.memory()
	return finding{work: fmt.Sprintf("memory with %d flows (PSS)", n), ours: mib(share), hold: fmt.Sprintf("< %d MiB", mebibytes), verdict: judge(share < mebibytes<<20)}, err
}

func mib(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

// pages lists many flows of a faked engine.
func (b *bench) pages(ctx context.Context) (finding, error) {
	const most = 50 // ms
	n := b.times(100, 1000)
	m, engine, err := b.populated(ctx, n)
	if err != nil {
		return finding{}, err
	}
	c, err := b.join(ctx, m.addr)
	if err != nil {
		return finding{}, err
	}
	if err := engine.settle(ctx, c); err != nil {
		return finding{}, err
	}
	ask := func(ctx context.Context) (float64, error) {
		began := time.Now()
		got, err := listed(ctx, c)
		if err == nil && got != n {
			err = fmt.Errorf("%d were listed of %d", got, n)
		}
		return took(began), err
	}
	figures, err := contest(ctx, b.times(3, 30), ask, ask)
	if err != nil {
		return finding{}, err
	}
	return finding{work: fmt.Sprintf("list_containers of %d over its pages", n), ours: lasting(figures[0]), noise: "again: " + lasting(figures[1]),
		hold: fmt.Sprintf("p50 < %d ms", most), verdict: judge(median(figures[0]) < most)}, nil
}

// listed counts the containers of all pages.
func listed(ctx context.Context, c *session) (int, error) {
	n, next := 0, ""
	for {
		question := map[string]any{}
		if next != "" {
			question["continue"] = next
		}
		answer, err := c.ask(ctx, "list_containers", encode(question))
		if err != nil {
			return 0, err
		}
		var page struct {
			Containers []json.RawMessage
			Continue   string
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return 0, err
		}
		n, next = n+len(page.Containers), page.Continue
		if next == "" {
			return n, nil
		}
	}
}

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowd is how many flows are declared at once.
const crowd = 40

// crowdRow measures flows that are declared all at once, until the last one runs.
func crowdRow(ctx context.Context, b *bench) ([]finding, error) {
	c, err := b.managed(ctx)
	if err != nil {
		return nil, err
	}
	p, err := b.trace(ctx, c)
	if err != nil {
		return nil, err
	}
	n := b.times(2, crowd)
	raw := func(ctx context.Context) (float64, error) { return b.rawCrowd(ctx, p, n) }
	trials := []trial{raw, raw, func(ctx context.Context) (float64, error) { return b.declareCrowd(ctx, c, n) }}
	compose, err := exec.LookPath("docker-compose")
	if err == nil {
		trials = append(trials, func(ctx context.Context) (float64, error) { return b.composeCrowd(ctx, compose, n) })
	}
	figures, err := contest(ctx, b.times(1, 3), trials...)
	if err != nil {
		return nil, err
	}
	return []finding{besideRaw(figures, n), besidePeers(figures[3:], figures[2])}, nil
}

func besideRaw(figures [][]float64, n int) finding {
	f := faster(fmt.Sprintf("%d declared at once -> all running", n), figures, 0.95)
	noise := median(pairwise(figures[1], figures[0], quotient)) - 1
	ratio := median(pairwise(figures[2], pairwise(figures[0], figures[1], mean), quotient))
	f.yardstick = fmt.Sprintf("create + start, %d parallel: %s", parallel, f.yardstick)
	f.hold, f.verdict = ">= 0.95 x - A/A", judge(ratio >= 0.95-math.Abs(noise))
	f.note = "Swarm is left out: it would change the engine that others use"
	return f
}

// besidePeers compares with docker-compose, where that is installed.
func besidePeers(peers [][]float64, own []float64) finding {
	f := finding{work: "the same beside docker-compose", ours: rate(median(own)), verdict: notJudged, note: "a peer, with nothing to hold"}
	if len(peers) == 0 {
		f.yardstick = "docker-compose is not installed"
		return f
	}
	f.yardstick, f.versus = "docker-compose up: "+rate(median(peers[0])), spread(pairwise(own, peers[0], quotient))
	return f
}

// perSecond is the rate of n things that have taken until now.
func perSecond(n int, began time.Time) float64 { return float64(n) / time.Since(began).Seconds() }

func (b *bench) rawCrowd(ctx context.Context, p *blueprint, n int) (float64, error) {
	ids := make([]string, n)
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	began := time.Now()
	for i := range ids {
		name := b.name()
		group.Go(func() (err error) {
			ids[i], err = b.start(within, p, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	figure := perSecond(n, began)
	return figure, b.remove(ctx, ids)
}

func (b *bench) declareCrowd(ctx context.Context, c *session, n int) (float64, error) {
	all := make([]map[string]any, n)
	for i := range all {
		all[i] = spec(b.name())
	}
	began := time.Now()
	if err := each(ctx, c, "apply_container", all); err != nil {
		return 0, err
	}
	figure := perSecond(n, began)
	for i := range all {
		all[i] = map[string]any{"container_id": all[i]["name"]}
	}
	return figure, each(ctx, c, "delete_container", all)
}

// each makes requests all at once and waits for the outcome of every one.
func each(ctx context.Context, c *session, event string, bodies []map[string]any) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, body := range bodies {
		group.Go(func() error {
			_, err := c.declare(ctx, event, body)
			return err
		})
	}
	return group.Wait()
}

func (b *bench) composeCrowd(ctx context.Context, compose string, n int) (float64, error) {
	folder, err := b.folder()
	if err != nil {
		return 0, err
	}
	var text strings.Builder
	fmt.Fprintln(&text, "version: '2.4'\nservices:")
	names := make([]string, n)
	for i := range names {
		names[i] = b.name()
		fmt.Fprintf(&text, "  s%d:\n    image: %s\n    container_name: %s\n    network_mode: bridge\n    init: true\n    environment: {GREETING: hello}\n", i, image, names[i])
	}
	file := filepath.Join(folder, "docker-compose.yml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return 0, err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, compose, "--file", file, "--project-name", b.prefix+"compose", "up", "--detach").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("docker-compose up: %w: %s", err, out[max(0, len(out)-500):])
	}
	figure := perSecond(n, began)
	return figure, b.remove(ctx, names)
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// row is one subject of the table.
type row struct {
	name    string
	measure func(ctx context.Context, b *bench) ([]finding, error)
}

// finding is one line of the table.
type finding struct {
	work      string
	ours      string
	yardstick string
	versus    string // ours against the yardstick
	noise     string // the yardstick against itself
	hold      string // the bound
	verdict   verdict
	note      string
}

type verdict string

const (
	holds       verdict = "holds"
	fallsShort  verdict = "FALLS SHORT"
	notJudged   verdict = "not judged"
	notMeasured verdict = "NOT MEASURED"
)

func judge(ok bool) verdict {
	if ok {
		return holds
	}
	return fallsShort
}

func allRows() []row {
	return []row{
		{"declare", declareRow},
		{"crowd", crowdRow},
		{"restart", restartRow},
		{"update", updateRow},
		{"accept", acceptRow},
		{"message", messageRow},
		{"hub", hubRow},
		{"fanout", fanoutRow},
		{"read", readRow},
		{"idle", idleRow},
	}
}

func names(rows []row) []string {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	return all
}

func choose(rows []row, only string) ([]row, error) {
	if only == "" {
		return rows, nil
	}
	var chosen []row
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; there are %s", name, strings.Join(names(rows), ", "))
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// trial does one piece of work and gives its figure: milliseconds, or pieces a second.
type trial func(ctx context.Context) (float64, error)

// contest lets all take turns for so many rounds, each of which begins with another one, and every other of which goes the
// other way round: what the machine does meanwhile, and what one leaves behind for the next, is then everybody's share. It
// gives the figures by trial and round.
func contest(ctx context.Context, rounds int, trials ...trial) ([][]float64, error) {
	figures := make([][]float64, len(trials))
	for i := range rounds {
		for j := range trials {
			if i%2 == 1 {
				j = len(trials) - 1 - j
			}
			turn := (i + j) % len(trials)
			figure, err := trials[turn](ctx)
			if err != nil {
				return nil, err
			}
			figures[turn] = append(figures[turn], figure)
		}
	}
	return figures, nil
}

// warmed is a contest after a round that does not count, so that what grows once has grown.
func warmed(ctx context.Context, rounds int, trials ...trial) ([][]float64, error) {
	if _, err := contest(ctx, 1, trials...); err != nil {
		return nil, err
	}
	return contest(ctx, rounds, trials...)
}

package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// percentile is the smallest figure that so large a part of them does not exceed.
func percentile(figures []float64, part float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[max(0, int(math.Ceil(float64(len(sorted))*part))-1)]
}

func median(figures []float64) float64 { return percentile(figures, 0.5) }

// pairwise combines the figures of two trials round by round.
func pairwise(a, b []float64, f func(a, b float64) float64) []float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, f(a[i], b[i]))
	}
	return all
}

func difference(a, b float64) float64 { return a - b }

func quotient(a, b float64) float64 { return a / b }

func mean(a, b float64) float64 { return (a + b) / 2 }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// spread shows quotients by their median and their extremes.
func spread(figures []float64) string {
	return fmt.Sprintf("%.2f x (%.2f .. %.2f)", median(figures), slices.Min(figures), slices.Max(figures))
}

// lasting shows times by what most, many and nearly all take.
func lasting(figures []float64) string {
	return fmt.Sprintf("p50 %s, p95 %s, p99 %s", span(median(figures)), span(percentile(figures, 0.95)), span(percentile(figures, 0.99)))
}

func span(ms float64) string {
	if math.Abs(ms) < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func rate(perSecond float64) string {
	if perSecond < 100 {
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return fmt.Sprintf("%.0f/s", perSecond)
}

// faster is a finding about rates, which are to be at least a part of the yardstick's. Of the figures the first two are the
// yardstick's, the third is ours.
func faster(work string, figures [][]float64, least float64) finding {
	yardstick := pairwise(figures[0], figures[1], mean)
	versus := pairwise(figures[2], yardstick, quotient)
	return finding{
		work: work, ours: rate(median(figures[2])), yardstick: rate(median(yardstick)),
		versus: spread(versus), noise: spread(pairwise(figures[1], figures[0], quotient)),
		hold: fmt.Sprintf(">= %.2f x", least), verdict: judge(median(versus) >= least),
	}
}

// sooner is a finding about times, whose middle is to be at most so many times the yardstick's.
func sooner(work string, figures [][]float64, most float64) finding {
	yardstick := pairwise(figures[0], figures[1], mean)
	versus := pairwise(figures[2], yardstick, quotient)
	return finding{
		work: work, ours: lasting(figures[2]), yardstick: lasting(slices.Concat(figures[0], figures[1])),
		versus: fmt.Sprintf("%.2f x", median(versus)), noise: fmt.Sprintf("%.2f x", median(pairwise(figures[1], figures[0], quotient))),
		hold: fmt.Sprintf("<= %.2f x", most), verdict: judge(median(versus) <= most),
	}
}

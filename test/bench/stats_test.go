package main

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, tt := range []struct {
		figures    []float64
		part, want float64
	}{
		{[]float64{3}, 0.5, 3}, {[]float64{3}, 0.99, 3}, {[]float64{2, 1}, 0.5, 1}, {[]float64{3, 1, 2}, 0.5, 2}, {hundred, 0.5, 50}, {hundred, 0.95, 95}, {hundred, 0.99, 99}, {hundred, 1, 100},
	} {
		if got := percentile(tt.figures, tt.part); got != tt.want {
			t.Errorf("percentile %g of %d: got %g, want %g", tt.part, len(tt.figures), got, tt.want)
		}
	}
}

// The yardstick is what two turns of it take on average, and what is judged is the middle of the rounds.
func TestFinding_IsJudgedRoundByRound(t *testing.T) {
	figures := [][]float64{{100, 200, 10}, {120, 200, 30}, {88, 100, 40}} // 0.8, 0.5 and 2 times the mean
	f := faster("work", figures, 0.8)
	if f.verdict != holds || f.versus != "0.80 x (0.50 .. 2.00)" || f.noise != "1.20 x (1.00 .. 3.00)" {
		t.Errorf("got %+v", f)
	}
	if f := faster("work", figures, 0.81); f.verdict != fallsShort {
		t.Errorf("got %+v", f)
	}
	if f := sooner("work", figures, 0.8); f.verdict != holds || f.versus != "0.80 x" {
		t.Errorf("got %+v", f)
	}
	if f := sooner("work", figures, 0.79); f.verdict != fallsShort {
		t.Errorf("got %+v", f)
	}
}

func TestContest_TurnsAreShared(t *testing.T) {
	var order []float64
	turn := func(n float64) trial {
		return func(context.Context) (float64, error) { order = append(order, n); return n, nil }
	}
	figures, err := contest(t.Context(), 3, turn(0), turn(1), turn(2))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{0, 1, 2, 0, 2, 1, 2, 0, 1}, order) + cmp.Diff([][]float64{{0, 0, 0}, {1, 1, 1}, {2, 2, 2}}, figures); diff != "" {
		t.Error(diff)
	}
}

func TestChoose(t *testing.T) {
	all := []row{{name: "a"}, {name: "b"}, {name: "c"}}
	got, err := choose(all, "c,a")
	if diff := cmp.Diff([]string{"c", "a"}, names(got)); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := choose(all, "a,x"); err == nil {
		t.Error("a row that is not there was chosen")
	}
}

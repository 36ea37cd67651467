package plan

import (
	"testing"
	"time"

	"github.com/rs/xid"
	"pgregory.net/rapid"
)

func TestRestartDelay(t *testing.T) {
	for streak, want := range map[int]time.Duration{0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 9: 128, 10: 256, 11: 300, 12: 300, 1_000_000: 300} {
		want *= time.Second
		if got := RestartDelay("id", streak); got < want*9/10 || got > want*11/10 {
			t.Errorf("after %d short runs: %s, want %s", streak, got, want)
		}
	}
}

func TestRetryDelay_StaysNearAndIsAlwaysTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 1<<20).Draw(rt, "attempts")
		id := rapid.String().Draw(rt, "id")
		d := RetryDelay(id, n)
		if d < 900*time.Millisecond || d > 330*time.Second || d != RetryDelay(id, n) {
			rt.Fatalf("%s after %d attempts", d, n)
		}
	})
}

func TestRetryDelay_DiffersBetweenContainers(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[RetryDelay(xid.New().String(), 5)] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 containers share %d delays: they would all start at once", len(seen))
	}
}

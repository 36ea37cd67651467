package plan

import (
	"hash/fnv"
	"time"
)

const (
	backoffBase = time.Second
	backoffCap  = 300 * time.Second
	// LongRun is how long a run must last for the next exit to count as the first again.
	LongRun = 10 * time.Minute
	// freeRepairs is how many changes of outside hands are put right at once before the next one waits.
	freeRepairs = 3
)

// RestartDelay is the pause before the restart after the nth consecutive short run: 0, 1, 2, 4 .. 300 s, each +-10 %.
func RestartDelay(id string, streak int) time.Duration {
	if streak <= 1 {
		return 0
	}
	return spread(exponential(streak-2), id, streak)
}

// RetryDelay is the pause before the next attempt after n failed ones.
func RetryDelay(id string, attempts int) time.Duration {
	return spread(exponential(attempts-1), id, attempts)
}

func exponential(n int) time.Duration {
	if n > 8 { // 2^9 s is beyond the cap
		return backoffCap
	}
	return min(backoffBase<<max(n, 0), backoffCap)
}

// spread moves d by up to a tenth either way: differently for each container and attempt, but always the same, so that
// planning stays a function of what is known.
func spread(d time.Duration, id string, n int) time.Duration {
	return d + d/10*time.Duration(int64(fraction(id, n)%2001)-1000)/1000
}

// fraction is an even number that depends on its arguments alone.
func fraction(id string, n int) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte{byte(n), byte(n >> 8)}) // a hash never fails
	_, _ = h.Write([]byte(id))
	return h.Sum32()
}

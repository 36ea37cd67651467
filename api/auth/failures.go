package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often an address may be wrong: a few times at once, as somebody who tries is, and then now and then.
const (
	failureBurst = 10
	failureEvery = 6 * time.Second
)

const (
	// maxAddresses bounds what strangers can make us remember; the addresses beyond it share one allowance.
	maxAddresses = 4096
	// sweepEvery is how often a full table is looked through for addresses that have been quiet.
	sweepEvery = failureEvery
)

// failures counts failed logins by address.
type failures struct {
	mu    sync.Mutex
	by    map[string]*rate.Limiter
	rest  *rate.Limiter
	swept time.Time
}

func newFailures() *failures {
	return &failures{by: map[string]*rate.Limiter{}, rest: newAllowance()}
}

func newAllowance() *rate.Limiter { return rate.NewLimiter(rate.Every(failureEvery), failureBurst) }

// note counts one failed login from remote. Where that was one too many it gives the time after which the next may be.
func (f *failures) note(remote string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.allowanceLocked(neighbourhood(remote), now).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (f *failures) allowanceLocked(address string, now time.Time) *rate.Limiter {
	if l := f.by[address]; l != nil {
		return l
	}
	if len(f.by) >= maxAddresses {
		f.sweepLocked(now)
	}
	if len(f.by) >= maxAddresses {
		return f.rest
	}
	f.by[address] = newAllowance()
	return f.by[address]
}

// sweepLocked forgets addresses whose allowance is whole again: a new one would be the same.
func (f *failures) sweepLocked(now time.Time) {
	if now.Sub(f.swept) < sweepEvery {
		return
	}
	f.swept = now
	for address, l := range f.by {
		if l.TokensAt(now) >= failureBurst {
			delete(f.by, address)
		}
	}
}

// neighbourhood is what one stranger has of addresses: an IPv4 address, or the 64 bits of an IPv6 network. The clients of a
// Unix socket are one.
func neighbourhood(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64) // an IPv6 address has so many bits
	return network.String()
}

package socketio

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// slot is the right to one connection. It travels in the handshake's context to the link that takes it over.
type slot struct {
	remote string
	link   *link
}

type slotKey struct{}

// retryLater is when a client may try again that found no room.
const retryLater = 10 * time.Second

// reserveSlot finds a place for who has come from remote, that of a guest where there is no other.
func (t *Transport) reserveSlot(remote string) (*slot, *refusal) {
	s, no := t.tryReserve(remote)
	if no == nil || no.reason == refusedClosing {
		return s, no
	}
	inTheWay := t.guestInTheWay(addressKey(hostOf(remote)), no.reason == refusedAddress, time.Now())
	if inTheWay == nil {
		return nil, no
	}
	inTheWay.close(endedGaveWay)
	return t.tryReserve(remote)
}

func (t *Transport) tryReserve(remote string) (*slot, *refusal) {
	address := addressKey(hostOf(remote))
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closing:
		return nil, &refusal{status: http.StatusServiceUnavailable, reason: refusedClosing, message: "the manager is shutting down"}
	case t.connections >= t.limits.MaxConnections:
		return nil, &refusal{status: http.StatusServiceUnavailable, reason: refusedFull, flag: "--max-sessions", message: "too many connections; try again later"}
	case t.perAddress[address] >= t.limits.MaxPerAddress && !t.proxies.trusts(hostOf(remote)):
		return nil, &refusal{status: http.StatusTooManyRequests, reason: refusedAddress, flag: "--max-sessions", message: "too many connections from this address; close some or try again later"}
	}
	t.connections++
	t.perAddress[address]++
	return &slot{remote: remote}, nil
}

// guestInTheWay is the connection whose place another one from address takes, nil if there is none. crowded: it has to be from there too.
func (t *Transport) guestInTheWay(address string, crowded bool, now time.Time) *link {
	guests := map[*link]guest{}
	for _, l := range t.allLinks() {
		from := addressKey(l.host)
		if since, idle := l.idleSince(); idle && (!crowded || from == address) {
			guests[l] = guest{from, since}
		}
	}
	l, _ := givesWay(guests, address, t.limits.GuestGrace, now)
	return l
}

// releaseUnused gives back what no link took, since the library refused the handshake.
func (t *Transport) releaseUnused(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.link == nil {
		t.releaseLocked(hostOf(s.remote))
	}
}

func (t *Transport) releaseLocked(host string) {
	t.connections--
	decrement(t.perAddress, addressKey(host))
}

// decrement counts one less under key and forgets a key that counts nothing.
func decrement(counts map[string]int, key string) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// addressKey is what counts as one address: whoever has an IPv6 address has all of its network.
func addressKey(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is6() || addr.Is4In6() {
		return host
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}

// countPrincipal counts a session whose principal is known, until it leaves, or refuses it.
func (t *Transport) countPrincipal(s *Session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := s.principal.Name
	if t.perPrincipal[name] >= t.limits.MaxPerPrincipal {
		t.counts.add(refusedPrincipal)
		return api.RateLimited(retryLater, "%d sessions of %s are connected already; close some or try again later", t.perPrincipal[name], name)
	}
	t.perPrincipal[name]++
	s.counted = true
	return nil
}

func (t *Transport) addSession(s *Session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return false
	}
	t.sessions[s] = struct{}{}
	return true
}

func (t *Transport) removeSession(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, s)
	if s.counted {
		decrement(t.perPrincipal, s.principal.Name)
		s.counted = false
	}
}

func (t *Transport) link(sid string) *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.links[sid]
}

// removeLink makes room again when l has ended, in the library's table as well: it misses those that end during their handshake.
func (t *Transport) removeLink(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.links[l.conn.Id()] == l {
		delete(t.links, l.conn.Id())
		t.releaseLocked(l.host)
	}
	t.engine.Clients().Delete(l.conn.Id())
}

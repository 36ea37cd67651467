package socketio

import (
	"net/http"
	"net/netip"
	"strings"
)

// proxyList is whose word is taken for where a request comes from.
type proxyList []netip.Prefix

// trusts reports whether a host is a trusted proxy.
func (p proxyList) trusts(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// client is where a request comes from: the connection's own address, or where that is a trusted proxy's, the rightmost one in
// X-Forwarded-For that is none. What stands left of it anybody may have written.
func (p proxyList) client(r *http.Request) string {
	client := r.RemoteAddr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusts(hostOf(client)); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = hop
	}
	return client
}

// parseHop reads an address, with a port or without, as it is told of connections; 0 is the port of one that has none.
func parseHop(hop string) (string, bool) {
	if at, err := netip.ParseAddrPort(hop); err == nil {
		return at.String(), true
	}
	addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return netip.AddrPortFrom(addr, 0).String(), err == nil
}

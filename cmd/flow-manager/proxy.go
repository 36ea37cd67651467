package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"strings"
)

// checkProxies reads what stands between clients and the manager.
func (s *settings) checkProxies() error {
	for _, given := range s.TrustedProxies {
		network, err := parseNetwork(given)
		if err != nil {
			return fmt.Errorf("--trusted-proxy %q is no address and no network such as 10.0.0.0/8", given)
		}
		s.proxies = append(s.proxies, network)
	}
	base := strings.TrimSuffix(s.BasePath, "/")
	if s.BasePath != "" && (base == "" || path.Clean(base) != base || base[0] != '/' || strings.ContainsAny(base, "?#% \\")) {
		return fmt.Errorf("--base-path %q is no path such as /flows", s.BasePath)
	}
	s.BasePath = base
	return nil
}

// parseNetwork reads a network, or an address as the network that has nothing else.
func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix.Masked(), err
}

// below serves h at a path, and what else is asked for by other; at "" it serves h everywhere.
func below(base string, h http.Handler, other http.HandlerFunc) http.Handler {
	if base == "" {
		return h
	}
	mux := http.NewServeMux()
	mux.Handle(base+"/", http.StripPrefix(base, h))
	mux.HandleFunc("/", other)
	return mux
}

package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// HostPort is where a container's port is published. Without an address the manager's default is meant; port 0 lets the
// manager pick one. On the wire it is a number, or a string "address:port".
type HostPort struct {
	Address string
	Port    int
}

// String is the form of the wire without quotes.
func (p HostPort) String() string {
	if p.Address == "" {
		return strconv.Itoa(p.Port)
	}
	addr, err := netip.ParseAddr(p.Address)
	if err != nil {
		return p.Address + ":" + strconv.Itoa(p.Port)
	}
	return netip.AddrPortFrom(addr, uint16(p.Port)).String()
}

// MarshalJSON implements json.Marshaler.
func (p HostPort) MarshalJSON() ([]byte, error) {
	if p.Address == "" {
		return strconv.AppendInt(nil, int64(p.Port), 10), nil
	}
	return json.Marshal(p.String())
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *HostPort) UnmarshalJSON(data []byte) error {
	var n int
	if json.Unmarshal(data, &n) == nil && string(data) != "null" {
		if n < 0 || n > 65535 {
			return fmt.Errorf("%d is no port; use 0 (the manager picks one) to 65535", n)
		}
		*p = HostPort{Port: n}
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil || string(data) == "null" {
		return fmt.Errorf("must be a port number or \"address:port\"")
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Addr().Zone() != "" {
		return fmt.Errorf("%.100q is not \"address:port\" with an IP address and a port of 0 to 65535", s)
	}
	*p = HostPort{Address: ap.Addr().String(), Port: int(ap.Port())}
	return nil
}

// ParsePort splits a container port such as "8080" or "53/udp" into number and protocol (tcp, udp or sctp).
func ParsePort(port string) (number int, protocol string, err error) {
	digits, protocol, found := strings.Cut(port, "/")
	if !found {
		protocol = "tcp"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != digits {
		return 0, "", fmt.Errorf("%.100q is no container port; write 1 to 65535, with /udp or /sctp where it is not TCP", port)
	}
	switch protocol {
	case "tcp", "udp", "sctp":
		return int(n), protocol, nil
	}
	return 0, "", fmt.Errorf("%.100q has an unknown protocol; use tcp, udp or sctp", port)
}

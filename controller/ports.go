package controller

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// PortRange is where port 0 is picked from, both ends included.
type PortRange struct{ From, To int }

// portPicker gives each container port of a record that is declared with host port 0 a port of its own, and keeps it.
type portPicker struct {
	between PortRange

	mu    sync.Mutex
	given map[int]string // to which id; what the store does not show yet
}

// pick resolves the ports of a record's spec, keeping what was picked before. The manager's own is never picked.
func (p *portPicker) pick(r *store.Record, s *store.Store, own int) (map[string]api.HostPort, error) {
	if len(r.Spec.Ports) == 0 {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.takenLocked(s)
	taken[own] = true
	ports := maps.Clone(r.Spec.Ports)
	for _, inside := range slices.Sorted(maps.Keys(ports)) {
		if ports[inside].Port != 0 {
			continue
		}
		chosen := ports[inside]
		chosen.Port = r.Current.Ports[inside].Port
		if chosen.Port == 0 || chosen.Port == own {
			var err error
			if chosen.Port, err = p.freeLocked(inside, chosen.Address, taken); err != nil {
				return nil, err
			}
		}
		taken[chosen.Port], p.given[chosen.Port], ports[inside] = true, r.ID, chosen
	}
	return ports, nil
}

func (p *portPicker) takenLocked(s *store.Store) map[int]bool {
	taken := map[int]bool{}
	records, _ := s.List()
	for _, r := range records {
		for _, h := range r.Spec.Ports {
			taken[h.Port] = true
		}
		for _, h := range r.Current.Ports {
			taken[h.Port] = true
		}
	}
	if p.given == nil {
		p.given = map[int]string{}
	}
	for port, id := range p.given {
		if _, ok := s.Get(id); !ok {
			delete(p.given, port)
			continue
		}
		taken[port] = true
	}
	return taken
}

// freeLocked finds a port that neither we nor anybody else uses now.
func (p *portPicker) freeLocked(inside, address string, taken map[int]bool) (int, error) {
	_, protocol, err := api.ParsePort(inside)
	if err != nil {
		return 0, api.Invalid(api.FieldError{Field: "ports", Message: err.Error()})
	}
	for port := p.between.From; port <= p.between.To && port > 0; port++ {
		if !taken[port] && Bind(protocol, address, port) == nil {
			return port, nil
		}
	}
	return 0, api.Errorf(api.ConflictError, "no port of %d-%d is free for port 0; widen --port-range or name a port", p.between.From, p.between.To)
}

// Bind takes a port of the host and lets it go again; the error says why it cannot be had. Of SCTP nothing is known.
func Bind(protocol, address string, port int) error {
	at := net.JoinHostPort(address, strconv.Itoa(port))
	var taken io.Closer
	var err error
	switch protocol {
	case "tcp":
		taken, err = net.Listen(protocol, at)
	case "udp":
		taken, err = net.ListenPacket(protocol, at)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("bind a port: %w", err)
	}
	return taken.Close()
}

// String is the form of the flag.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.From, r.To) }

// firstPicked is the first port that needs no privilege.
const firstPicked = 1024

// ParsePortRange reads the form of the flag.
func ParsePortRange(text string) (PortRange, error) {
	var r PortRange
	if _, err := fmt.Sscanf(text, "%d-%d", &r.From, &r.To); err != nil || r.To > 65535 || r.From > r.To || r.String() != text {
		return PortRange{}, fmt.Errorf("%q is no port range; write it as 20000-29999", text)
	}
	if r.From < firstPicked {
		return PortRange{}, fmt.Errorf("port range %q begins under %d: those ports are the host's own services'; they can be declared, but are not picked", text, firstPicked)
	}
	return r, nil
}

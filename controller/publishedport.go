package controller

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// publishedPort is a port of the host that a container has or asks for.
type publishedPort struct {
	protocol string
	address  netip.Addr // invalid: every one
	port     int
	inside   string
}

// AdmitPorts refuses the manager's own host port, and those that s asks for twice, or that others have: declared ones, and ones
// picked for them. It reads its arguments only, so that the store can ask within a transaction. The error is an *api.Error.
func (k *Controller) AdmitPorts(s *api.Spec, others iter.Seq[*store.Record]) error {
	wanted := k.Policy.publishedPorts(s.Ports)
	if len(wanted) == 0 {
		return nil
	}
	if err := k.Policy.admitOwnPort(s); err != nil {
		return err
	}
	for i := range wanted {
		for _, other := range wanted[:i] {
			if wanted[i].overlaps(other) {
				return api.Invalid(api.FieldError{Field: "ports." + wanted[i].inside, Message: fmt.Sprintf("has the same host port %s as %s", wanted[i], other.inside)})
			}
		}
	}
	for r := range others {
		for _, held := range append(k.Policy.publishedPorts(r.Spec.Ports), k.Policy.publishedPorts(r.Current.Ports)...) {
			for _, w := range wanted {
				if w.overlaps(held) {
					return api.Errorf(api.ConflictError, "host port %s is container %s's; declare another one, or 0 to have one picked", w, r.Name).With("holder", r.Name)
				}
			}
		}
	}
	return nil
}

// publishedPorts leaves out those that are still to be picked.
func (p *Policy) publishedPorts(ports map[string]api.HostPort) []publishedPort {
	list := make([]publishedPort, 0, len(ports))
	for _, inside := range slices.Sorted(maps.Keys(ports)) {
		_, protocol, err := api.ParsePort(inside)
		if outside := ports[inside]; err == nil && outside.Port != 0 {
			list = append(list, publishedPort{protocol, parseAddress(cmp.Or(outside.Address, p.PublishAddress)), outside.Port, inside})
		}
	}
	return list
}

// parseAddress takes 0.0.0.0 and :: for every address of either family, as the engine's listener does.
func parseAddress(text string) netip.Addr {
	address, err := netip.ParseAddr(text)
	if err != nil || address.IsUnspecified() {
		return netip.Addr{}
	}
	return address.Unmap()
}

func (p publishedPort) overlaps(q publishedPort) bool {
	return p.protocol == q.protocol && p.port == q.port && (p.address == q.address || !p.address.IsValid() || !q.address.IsValid())
}

// String is how people write it.
func (p publishedPort) String() string {
	address := "*"
	if p.address.IsValid() {
		address = p.address.String()
	}
	if p.address.Is6() {
		address = "[" + address + "]"
	}
	return fmt.Sprintf("%s:%d/%s", address, p.port, p.protocol)
}

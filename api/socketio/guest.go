package socketio

import "time"

// guest is a connection that nobody has joined by: where it is from, and since when it stands.
type guest struct {
	address string
	since   time.Time
}

// givesWay chooses the guest that makes room for a newcomer: of those of the address that has the most, the one that has stood longest.
// It has had grace to join, unless its address has several and the newcomer's has none: who comes again and again keeps nobody out.
func givesWay[K comparable](guests map[K]guest, newcomer string, grace time.Duration, now time.Time) (chosen K, found bool) {
	of := map[string]int{}
	for _, g := range guests {
		of[g.address]++
	}
	var first guest
	for k, g := range guests {
		if !found || of[g.address] > of[first.address] || of[g.address] == of[first.address] && g.since.Before(first.since) {
			chosen, first, found = k, g, true
		}
	}
	if crowd := of[newcomer] == 0 && of[first.address] > 1; found && (crowd || now.Sub(first.since) >= grace) {
		return chosen, true
	}
	var none K
	return none, false
}

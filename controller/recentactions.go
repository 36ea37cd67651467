package controller

import (
	"slices"
	"sync"

	"github.com/flow-manager/flow-manager/api"
)

// maxActions is how many actions of one container are remembered.
const maxActions = 10

// recentActions are the newest actions of each container, oldest first. They are for people and kept in memory: after a start of the
// manager only the one that the status tells of is known.
type recentActions struct {
	mu   sync.Mutex
	byID map[string][]api.LastAction
}

func newRecentActions() *recentActions { return &recentActions{byID: map[string][]api.LastAction{}} }

// note adds the action that the status tells of now.
func (a *recentActions) note(id string, did *api.LastAction) {
	if did == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.byID[id]
	if n := len(known); n > 0 && known[n-1] == *did {
		return
	}
	a.byID[id] = slices.Concat(known[max(0, len(known)+1-maxActions):], []api.LastAction{*did})
}

func (a *recentActions) recent(id string) []api.LastAction {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.byID[id])
}

func (a *recentActions) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byID, id)
}

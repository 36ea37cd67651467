package controller

import (
	"slices"
	"sync"

	"github.com/flow-manager/flow-manager/api"
)

// maxActions is how many actions of one container are remembered.
const maxActions = 10

// actions are the newest ones of each container, oldest first. They are for people and kept in memory: after a start of the
// manager only the one that the status tells of is known.
type actions struct {
	mu sync.Mutex
	of map[string][]api.LastAction
}

func newActions() *actions { return &actions{of: map[string][]api.LastAction{}} }

// note takes in what the status tells of now.
func (a *actions) note(id string, did *api.LastAction) {
	if did == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.of[id]
	if n := len(known); n > 0 && known[n-1] == *did {
		return
	}
	a.of[id] = slices.Concat(known[max(0, len(known)+1-maxActions):], []api.LastAction{*did})
}

func (a *actions) recent(id string) []api.LastAction {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.of[id])
}

func (a *actions) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, id)
}

package controller

import (
	"context"

	"github.com/flow-manager/flow-manager/store"
)

// sweepCode removes links that lead nowhere any more, and snapshots that nobody uses. It does nothing while something that
// may use one is not known.
func (k *Controller) sweepCode(ctx context.Context) error {
	if k.Store.Err() != nil || k.Store.Restored() != "" || len(k.Store.Quarantined()) > 0 || !k.observer.ready() {
		return nil
	}
	if err := k.sweepLinks(); err != nil {
		return err
	}
	removed, err := k.Snapshots.Collect(ctx, k.keptCode)
	if len(removed) > 0 {
		k.Log.Info().Str("operation", "collect_code").Strs("digests", removed).Msg("code that nobody uses any more was removed")
	}
	return err
}

// sweepLinks removes the links of containers that are gone. While a container is there that nobody has looked at yet, none is known
// to be nobody's.
func (k *Controller) sweepLinks() error {
	links, err := k.Snapshots.Links()
	if err != nil {
		return err
	}
	used, whole := k.observer.tokens()
	if !whole {
		return nil
	}
	records, _ := k.Store.List() // after the links: a container's token is written before its link is made
	for _, r := range records {
		for _, p := range r.AllPlacements() {
			used[p.Token] = true
		}
	}
	for _, name := range links {
		if used[name] {
			continue
		}
		if err := k.Snapshots.Unlink(name); err != nil {
			return err
		}
	}
	return nil
}

// keptCode are the snapshots that records name.
func (k *Controller) keptCode() map[string]bool {
	kept := map[string]bool{}
	records, _ := k.Store.List()
	for _, r := range records {
		addCode(kept, r)
	}
	return kept
}

// addCode adds the snapshots that a record names.
func addCode(named map[string]bool, r *store.Record) {
	for _, t := range r.Codes {
		named[t.Digest] = true
	}
	for _, p := range r.AllPlacements() {
		named[p.Code], named[p.Runs] = true, true
	}
}

// letGo tells whether a record does not name a snapshot any more that it named before.
func letGo(before, after *store.Record) bool {
	old, now := map[string]bool{}, map[string]bool{"": true}
	addCode(old, before)
	addCode(now, after)
	for digest := range old {
		if !now[digest] {
			return true
		}
	}
	return false
}

// sweepLoop removes unused code once it is let go of, and after each list of the engine.
func (k *Controller) sweepLoop(ctx context.Context) {
	for {
		select {
		case <-k.sweepRequests:
		case <-ctx.Done():
			return
		}
		if err := k.sweepCode(ctx); err != nil && ctx.Err() == nil {
			k.Log.Warn().Err(err).Str("operation", "collect_code").Msg("unused code could not be removed; the next look tries again")
		}
	}
}

// requestSweep never blocks.
func (k *Controller) requestSweep() {
	select {
	case k.sweepRequests <- struct{}{}:
	default:
	}
}

package controller

import "context"

// sweepCode removes links that lead nowhere any more, and snapshots that nobody uses. It does nothing while something that
// may use one is not known.
func (k *Controller) sweepCode(ctx context.Context) error {
	if k.Store.Err() != nil || k.Store.Restored() != "" || len(k.Store.Quarantined()) > 0 {
		return nil
	}
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
	removed, err := k.Snapshots.Collect(ctx, k.keptCode)
	if len(removed) > 0 {
		k.Log.Info().Str("operation", "collect_code").Strs("digests", removed).Msg("code that nobody uses any more was removed")
	}
	return err
}

// keptCode are the snapshots that records name.
func (k *Controller) keptCode() map[string]bool {
	kept := map[string]bool{}
	records, _ := k.Store.List()
	for _, r := range records {
		for _, t := range r.Codes {
			kept[t.Digest] = true
		}
		for _, p := range r.AllPlacements() {
			kept[p.Code], kept[p.Runs] = true, true
		}
	}
	return kept
}

// sweepLoop removes unused code after each list of the engine.
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

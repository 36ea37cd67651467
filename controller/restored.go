package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// ErrStoreRestored means that the store is a backup that was put in its place and that nobody has accepted yet.
var ErrStoreRestored = errors.New(api.ReasonStoreRestored)

// judgeRestore lets nothing be done by a restored store before it is accepted. An old backup declares what was deleted since,
// and does not know what was made since.
func (k *Controller) judgeRestore(ctx context.Context, seen []plan.Container) error {
	at := k.Store.Restored()
	if at == "" {
		return nil
	}
	would := k.foretell(seen)
	if !k.AcceptRestore {
		return fmt.Errorf("%w: the store was restored at %s from a backup, and nothing is done by it until it is started once with --accept-restore. It would then %s", ErrStoreRestored, at, would)
	}
	k.Log.Warn().Str("operation", "accept_restore").Str("restored", at).Str("outlook", would).Msg("the restored store is accepted")
	if err := k.Store.AcceptRestore(ctx); err != nil {
		return fmt.Errorf("accept the restored store: %w", err)
	}
	return nil
}

// foretell says what the loop would do first, by what a list shows.
func (k *Controller) foretell(seen []plan.Container) string {
	byID := map[string][]plan.Container{}
	for _, o := range seen {
		byID[o.ID] = append(byID[o.ID], o)
	}
	would := map[string][]string{}
	records, _ := k.Store.List()
	for _, r := range records {
		o := plan.Classify(r, byID[r.ID])
		o.At = k.clock.now()
		delete(byID, r.ID)
		next := plan.Plan(r, &o)
		if verb := outlook(next.Action); verb != "" {
			would[verb] = append(would[verb], r.Name)
		}
		for _, c := range o.Foreign {
			would["leave alone"] = append(would["leave alone"], c.Name)
		}
	}
	for id, left := range byID {
		stone, known := k.Store.Tombstone(id)
		for _, o := range left {
			switch {
			case known && stone.Owns(o.Token, o.DockerID, o.Name):
				would["remove"] = append(would["remove"], o.Name)
			case o.Instance == k.Store.Instance(): // and not another manager's
				would["leave alone"] = append(would["leave alone"], o.Name)
			}
		}
	}
	return sentence(would)
}

// outlook is a word for what an action leads to; none for what changes no container.
func outlook(a plan.Action) string {
	switch a {
	case plan.Intend, plan.Create, plan.IntendReplacement, plan.Attempt, plan.Promote:
		return "make anew"
	case plan.Start, plan.IntendStart, plan.RecordExit, plan.Unpause:
		return "start"
	case plan.Stop, plan.Kill, plan.Pause:
		return "stop"
	case plan.Remove:
		return "remove"
	}
	return ""
}

const maxForetold = 5

func sentence(would map[string][]string) string {
	var parts []string
	for _, verb := range []string{"make anew", "start", "stop", "remove", "leave alone"} {
		names := would[verb]
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		said := strings.Join(names[:min(len(names), maxForetold)], ", ")
		if more := len(names) - maxForetold; more > 0 {
			said += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, verb+" "+said)
	}
	if len(parts) == 0 {
		return "change nothing"
	}
	return strings.Join(parts, "; ")
}

// heldBack tells whether an engine was listed and is not acted upon for a reason of ours.
func heldBack(err error) bool {
	return errors.Is(err, ErrEngineChanged) || errors.Is(err, ErrStoreRestored)
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// ErrStoreRestored means that the store is a backup that was put in its place and that nobody has accepted yet.
var ErrStoreRestored = errors.New(api.ReasonStoreRestored)

// judgeRestore lets nothing be done by a restored store before it is accepted. An old backup declares what was deleted since,
// and does not know what was made since.
func (k *Controller) judgeRestore(ctx context.Context, seen []plan.Container) error {
	if k.Store.Restored() == "" && len(k.unknownOurs(seen)) > 0 {
		if err := k.Store.MarkRestored(ctx); err != nil {
			return fmt.Errorf("note that the store was copied back: %w", err)
		}
	}
	at := k.Store.Restored()
	if at == "" {
		return nil
	}
	would := k.predict(seen)
	if !k.AcceptRestore {
		return fmt.Errorf("%w: the store is a backup, or a copy that was put back, as was noticed at %s, and nothing is done by it until it is started once with --accept-restore. It would then %s", ErrStoreRestored, at, would)
	}
	k.Log.Warn().Str("operation", "accept_restore").Str("restored", at).Str("outlook", would).Msg("the restored store is accepted")
	if err := k.adoptUnknown(ctx, seen); err != nil {
		return err
	}
	if err := k.Store.AcceptRestore(ctx, tokens(k.leftAlone(seen))); err != nil {
		return fmt.Errorf("accept the restored store: %w", err)
	}
	return nil
}

func tokens(containers []plan.Container) []string {
	all := make([]string, len(containers))
	for i, c := range containers {
		all[i] = c.Token
	}
	return all
}

// unknownOurs are containers that this store has made and does not know: it is older than they are. What bears our labels and
// another name than we give is a copy by somebody else; one that never ran may have come late of an intent that is forgotten.
func (k *Controller) unknownOurs(seen []plan.Container) []plan.Container {
	return slices.DeleteFunc(k.leftAlone(seen), func(c plan.Container) bool {
		named := c.Name == c.Flow || strings.HasPrefix(c.Name, c.Flow+"."+c.Token)
		settled := c.State == "running" || c.State == "paused" || c.State == "exited"
		return c.Flow == "" || !named || !settled
	})
}

// leftAlone are all containers that bear the labels of this store and that it does not know, for whatever reason.
func (k *Controller) leftAlone(seen []plan.Container) []plan.Container {
	var unknown []plan.Container
	for _, c := range seen {
		if c.Instance != k.Store.Instance() || k.Store.IsStranger(c.Token) || k.Store.IsStranger(c.ID) {
			continue
		}
		r, declared := k.Store.Get(c.ID)
		stone, buried := k.Store.Tombstone(c.ID)
		switch {
		case declared && knows(r.AllPlacements(), &c), buried && knows(stone.Placements, &c):
		case buried: // its tokens were dropped with what was known to be gone
		case slices.ContainsFunc(k.Store.Quarantined(), func(f store.Flaw) bool { return f.ID == c.ID }): // it is known, and cannot be read
		default:
			unknown = append(unknown, c)
		}
	}
	return unknown
}

// knows reports whether a container is one of these placements', or a second one of the same intent. One of an intent of which no
// container is known is it where it has that intent's name: under another one it was given its place later.
func knows(placements []store.Placement, c *plan.Container) bool {
	return slices.ContainsFunc(placements, func(p store.Placement) bool {
		return p.Owns(c.Token, c.DockerID, c.Name) || p.Token == c.Token && p.DockerID != ""
	})
}

// adoptUnknown takes containers over that the accepted store's declarations were made into after it was copied.
func (k *Controller) adoptUnknown(ctx context.Context, seen []plan.Container) error {
	if err := k.adoptCode(ctx); err != nil {
		return err
	}
	for _, c := range k.unknownOurs(seen) {
		r, declared := k.Store.Get(c.ID)
		if !declared {
			continue // nobody declares it any more: it is left alone, and told of
		}
		k.logFor(r).Warn().Str("operation", "accept_restore").Str("docker_id", c.DockerID).Str("docker_name", c.Name).Msg("a container that the restored store did not know is taken over")
		at := k.clock.now()
		_, err := k.Store.Observe(ctx, r.ID, func(r *store.Record) []api.Event {
			k.takeOver(r, &c, seen)
			r.Status.LastAction = &api.LastAction{Action: plan.Word(plan.Adopt), Cause: api.CauseRecovery, At: at.Wall(at.Now)}
			return nil
		})
		if err != nil {
			return fmt.Errorf("take over %s: %w", c.Name, err)
		}
	}
	return nil
}

// adoptCode notes which code the current containers may have been given since the store was copied: they are given theirs again.
func (k *Controller) adoptCode(ctx context.Context) error {
	records, _ := k.Store.List()
	for _, r := range records {
		if given := k.given(r); given == r.Current.Runs {
			continue
		}
		_, err := k.Store.Observe(ctx, r.ID, func(r *store.Record) []api.Event { r.Current.Runs = k.given(r); return nil })
		if err != nil {
			return fmt.Errorf("note the code of %s: %w", r.Name, err)
		}
	}
	return nil
}

// given is the code that the current container was given last.
func (k *Controller) given(r *store.Record) string {
	if code, ok := k.Snapshots.Linked(r.Current.Token); ok && r.Current.Code != "" {
		return code
	}
	return r.Current.Runs
}

// takeOver makes a container one of a record's, the current one where that is not there.
func (k *Controller) takeOver(r *store.Record, c *plan.Container, seen []plan.Container) {
	code, _ := k.Snapshots.Linked(c.Token) // without one it runs what its image has
	stands := slices.ContainsFunc(seen, func(o plan.Container) bool { return r.Current.Owns(o.Token, o.DockerID, o.Name) })
	plan.TakeOver(r, c, code, stands)
}

// predict says what the loop would do first, by what a list shows.
func (k *Controller) predict(seen []plan.Container) string {
	byID := map[string][]plan.Container{}
	for _, o := range seen {
		byID[o.ID] = append(byID[o.ID], o)
	}
	would := map[string][]string{}
	unknown := k.unknownOurs(seen)
	records, _ := k.Store.List()
	for _, r := range records {
		for i := range unknown {
			if c := &unknown[i]; c.ID == r.ID {
				next := *r
				k.takeOver(&next, c, seen)
				r, would["take over"] = &next, append(would["take over"], c.Name)
			}
		}
		if given := k.given(r); given != r.Current.Runs {
			next := *r
			next.Current.Runs = given
			r = &next
		}
		o := plan.Classify(r, byID[r.ID])
		o.At = k.clock.now()
		delete(byID, r.ID)
		next := plan.Plan(r, &o)
		if verb := predictedVerb(next.Action); verb != "" {
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

// predictedVerb is a word for what an action leads to; none for what changes no container.
func predictedVerb(a plan.Action) string {
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
	for _, verb := range []string{"take over", "make anew", "start", "stop", "remove", "leave alone"} {
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

// heldBack reports whether an engine was listed and is not acted upon for a reason of ours.
func heldBack(err error) bool {
	return errors.Is(err, ErrEngineChanged) || errors.Is(err, ErrStoreRestored)
}

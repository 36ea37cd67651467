//go:build sim

package controller

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/store"
)

// simRate is how many engine calls a record may cause in any minute, and how many commits.
const simRate = 60

// simCommit is what is charged for a commit.
const simCommit = "commit"

// simCause is a call, or a commit.
type simCause struct {
	at   time.Time
	what string
}

// charges notes what a record has caused, and holds it against the limit.
func (c *court) charges(id, what string) {
	if id == "" {
		return
	}
	f := c.file(id)
	for len(f.caused) > 0 && time.Since(f.caused[0].at) >= rateWindow {
		f.caused = f.caused[1:]
	}
	f.caused = append(f.caused, simCause{time.Now(), what})
	var all []string
	for _, one := range f.caused {
		if (one.what == simCommit) == (what == simCommit) {
			all = append(all, one.what)
		}
	}
	if len(all) > simRate {
		c.violate("%s has caused %d within a minute: %s", id, len(all), strings.Join(all, " "))
		f.caused = nil
	}
}

// simSteps is how many steps of a record may be tried within a minute, those included that cost nothing: what alternates without end
// would never come to an end.
const simSteps = 10 * simRate

// steps notes that a step was tried.
func (c *court) steps(id string) {
	f := c.file(id)
	if time.Since(f.minute) >= time.Minute {
		f.minute, f.tried = time.Now(), 0
	}
	if f.tried++; f.tried == simSteps {
		c.violate("%d steps of %s were tried within a minute", simSteps, id)
	}
}

// chargedLocked is the id of the record that a call is made for, "" where that is not known.
func (e *simEngine) chargedLocked(call, name, ref string) string {
	if c, err := e.findLocked(ref); err == nil && c.ours {
		return c.ID
	}
	if d := e.court.model.live[name]; d != nil && call == "create" {
		return d.id
	}
	return ""
}

// commits charges each commit of the manager's own to its record.
func (l *simLife) commits(ctx context.Context, revision uint64) {
	watch := l.store.Watch(revision)
	for {
		changes, err := watch.Next(ctx)
		if errors.Is(err, store.ErrExpired) {
			watch = l.store.Watch(l.store.Revision())
			continue
		}
		if err != nil {
			return
		}
		l.world.engine.mu.Lock()
		for _, c := range changes {
			if !c.Spec {
				l.world.court.charges(c.ID, simCommit)
			}
		}
		l.world.engine.mu.Unlock()
	}
}

//go:build sim

package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// simSnapshots is one life's way to the code on the host's disk, which outlives it.
type simSnapshots struct {
	*fakeSnapshots
	world *simWorld
	life  *simLife
}

// under does something with the code, under whatever fault is armed for it.
func (s *simSnapshots) under(call string, effect func() error) error {
	s.life.point()
	e := s.world.engine
	e.mu.Lock()
	f := e.takeLocked(call, "")
	if f != nil {
		e.court.note("fault: %s of code: err %v, delay %v", call, f.err, f.delay)
		for id := range e.court.model.all {
			file := e.court.file(id)
			file.failed[""], file.from, file.spent = true, "", "" // a start that fails for it counts against what was to start
		}
	}
	e.mu.Unlock()
	if f != nil && f.delay > 0 {
		time.Sleep(f.delay)
	}
	if s.life.isDead() {
		return errEngine
	}
	if f != nil && f.err != nil {
		return f.err
	}
	err := effect()
	s.life.point()
	if s.life.isDead() {
		return errEngine
	}
	return err
}

func (s *simSnapshots) Take(ctx context.Context, path string) (digest string, release func(), err error) {
	err = s.under("take", func() error {
		digest, release, err = s.fakeSnapshots.Take(ctx, path)
		return err
	})
	if err != nil && release != nil {
		release()
	}
	return digest, release, err
}

// declared tells whether a container is to be there. The store knows that it is not before the client does who asked for its end.
func (s *simSnapshots) declared(id string) bool {
	d := s.world.court.model.all[id]
	r, stands := s.life.store.Get(id)
	return d != nil && !d.deleted && stands && r.DeletedAt == nil
}

func (s *simSnapshots) Verify(ctx context.Context, digest string) error {
	return s.under("verify", func() error { return s.fakeSnapshots.Verify(ctx, digest) })
}

func (s *simSnapshots) Link(name, digest string) error {
	return s.under("link", func() error { return s.fakeSnapshots.Link(name, digest) })
}

func (s *simSnapshots) Unlink(name string) error {
	return s.under("unlink", func() error {
		e := s.world.engine
		e.mu.Lock()
		for _, c := range e.containers {
			if c.ours && c.Token == name && c.template.CodeDir != "" && s.declared(c.ID) {
				e.court.violate("the link of %s's code is removed while its container is there", c.Name)
			}
		}
		e.mu.Unlock()
		return s.fakeSnapshots.Unlink(name)
	})
}

func (s *simSnapshots) Collect(ctx context.Context, keep func() map[string]bool) (removed []string, err error) {
	err = s.under("collect", func() error {
		removed, err = s.fakeSnapshots.Collect(ctx, keep)
		return err
	})
	records, _ := s.life.store.List()
	s.world.engine.mu.Lock()
	defer s.world.engine.mu.Unlock()
	for _, r := range records {
		for _, t := range r.Codes {
			if slices.Contains(removed, t.Digest) {
				s.world.court.violate("code of %s is removed that it can go back to", r.Name)
			}
		}
	}
	return removed, err
}

// simTrees are the trees that stood in codePath, oldest first.
type simTrees []string

// rewrite puts another tree there: one that works, one that is not well, or one that ends at once.
func (w *simWorld) rewrite(arg int) {
	tree := fmt.Sprintf("%s-%d", [4]string{"good", "good", "ill", "bad"}[arg%4], len(w.trees))
	w.trees = append(w.trees, tree)
	w.code.mu.Lock()
	w.code.trees[codePath] = tree
	w.code.mu.Unlock()
}

// backTo is an earlier request for code of a container, 0 where there is none.
func (w *simWorld) backTo(name string, arg int) int64 {
	r, err := w.life.store.Resolve(name)
	if err != nil || len(r.Codes) == 0 {
		return 0
	}
	return r.Codes[arg%len(r.Codes)].Code
}

// mountLocked is the code that a container's start finds, false where the mount has no source.
func (e *simEngine) mountLocked(c *simContainer) (digest string, ok bool) {
	if c.template.CodeDir == "" {
		return "", true
	}
	return e.code.Linked(strings.TrimPrefix(c.template.CodeDir, "/code/"))
}

// runs names what a container is made from and the code that it runs.
func (c *simContainer) runs() string { return c.Hash + c.code }

// asksStartOf holds that what starts finds the code that is written down for it.
func (c *court) asksStartOf(l *simLife, o *simContainer, r *store.Record) {
	if digest, ok := l.world.engine.mountLocked(o); r != nil && (!ok || digest != r.Current.Code) {
		c.violate("%s is started with the code %q and %q is written down", o.Name, digest, r.Current.Code)
	}
}

// asksStopOf holds that nothing is stopped for code that is not there, that it is counted, and not done more often than it may be.
func (c *court) asksStopOf(l *simLife, o *simContainer, r *store.Record) {
	f := c.file(o.ID)
	if r == nil || r.Current.DockerID != o.DockerID || !switched(r) || !plan.WantsRun(r) || r.DeletedAt != nil || r.Current.Stop != nil || !o.asked.IsZero() || time.Since(f.hands) <= simSlack {
		return
	}
	if !l.world.spoiled(r.Current.Code) && l.world.code.Verify(context.Background(), r.Current.Code) != nil {
		c.violate("%s is stopped for code that is not there", o.Name)
	}
	if r.Current.AskedBy != r.Code || f.good[o.Hash+r.Current.Code] {
		return // taken back, or known to work
	}
	if r.Trial(plan.Template(r)).Attempts == 0 && o.available() && r.Spec.DesiredState == api.DesiredRunning {
		c.violate("%s is stopped for other code and nobody counts it", o.Name)
	}
	if f.coded == plan.Run(&o.Container) {
		return // asked again
	}
	if f.codes == nil {
		f.codes = map[string]int{}
	}
	f.codes[plan.Template(r)]++
	f.coded, f.from = plan.Run(&o.Container), ""
	if d := c.model.all[o.ID]; !o.byHand && !o.halted && time.Since(o.since) >= simMonitor && r.Spec.UpdatePolicy.OnFailure == api.OnFailureRollback && d != nil && !d.rests() {
		f.from = o.runs()
	}
	if most := max(r.Spec.UpdatePolicy.MaxAttempts, 1); plan.OnTrial(r) && f.codes[plan.Template(r)] > most {
		c.violate("%s is stopped for code that was tried %d times already", o.Name, most)
	}
}

// endsCode notes code that did not stay up in the place of code that did.
func (c *court) endsCode(o *simContainer) {
	f := c.file(o.ID)
	if f.from == "" || o.runs() == f.from {
		return
	}
	if o.asked.IsZero() && time.Since(o.since) < simMonitor && time.Since(f.hands) > simSlack {
		f.spent = o.runs()
	}
	f.from = ""
}

// startsCode holds that code that did not stay up is not what runs next where something else is known to work.
func (c *court) startsCode(o *simContainer) {
	f := c.file(o.ID)
	if f.spent != "" && o.runs() == f.spent && !o.byHand {
		c.violate("%s is started again with code that did not stay up", o.Name)
	}
	f.spent = ""
}

// illLocked lets a run be found unhealthy whose code is not well, or that ails as each of its name does for a while.
func (e *simEngine) illLocked(c *simContainer) {
	ails := strings.HasPrefix(c.code, "digest-of-ill") || time.Now().Before(e.ailing[c.template.Name])
	if e.calm || !c.ours || !ails {
		return
	}
	e.laterLocked(c, time.Second, func() {
		if !e.calm && c.State == "running" {
			e.court.falls(c)
			c.Health = api.HealthUnhealthy
			e.tellLocked(c, Changed)
		}
	})
}

// codeAsDeclared tells how the code of a container differs from what is declared.
func (w *simWorld) codeAsDeclared(d *simDeclared, r *store.Record, c *simContainer) error {
	p := &r.Current
	switch {
	case c.alive() && (c.code != p.Code || r.Status.CodeRevision != c.code):
		return fmt.Errorf("it runs the code %q, %q is written down and %q told", c.code, p.Code, r.Status.CodeRevision)
	case d.spec.Code == nil || plan.TakenBack(r) != "":
		return nil
	case p.AskedBy != r.Code || p.Code != r.Taken(r.Code):
		return fmt.Errorf("its code is %q of request %d, and %d is declared", p.Code, p.AskedBy, r.Code)
	case !slices.Contains(w.trees[d.tree:], strings.TrimPrefix(p.Code, "digest-of-")):
		return fmt.Errorf("its code %q stood there before it was asked for", p.Code)
	}
	return nil
}

// failCode arms a fault of the host's disk.
func (w *simWorld) failCode(arg int) {
	f := &simFault{call: [4]string{"take", "verify", "link", "take"}[arg%4]}
	switch arg >> 2 & 3 {
	case 0:
		f.err = api.Errorf(api.ValidationError, "the code leads out of itself")
	case 1:
		f.err = api.Errorf(api.SystemError, "no space is left for the code")
	case 2:
		f.delay = 3 * time.Second
	default:
		f.delay = 40 * time.Second
	}
	w.arm(f)
}

// switched tells whether a container is to run other code than it ran last.
func switched(r *store.Record) bool { return r.Current.Code != r.Current.Runs }

//go:build sim

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// simPort is one manager's way to the engine. When that manager has died, nothing passes any more.
type simPort struct {
	Runtime // nil: what the simulator does not know fails loudly
	number  int
	engine  *simEngine
	life    *simLife
}

// call asks the engine for an effect, under whatever fault is armed for it. ref is the container that it is upon, if any.
func (p *simPort) call(ctx context.Context, call, name, ref string, effect func() error) error {
	p.life.point()
	if p.engine.latency > 0 {
		time.Sleep(p.engine.latency)
	}
	f, err := p.admit(call, name, ref)
	if err == nil {
		err = p.turn(ctx, ref)
	}
	if err == nil {
		err = p.carry(ctx, f, call, ref, effect)
	}
	p.life.point()
	if p.life.isDead() {
		return ErrUnavailable
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", call, name, err)
	}
	return nil
}

func (p *simPort) admit(call, name, ref string) (*simFault, error) {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away || p.life.isDead() {
		return nil, ErrUnavailable
	}
	e.court.called(p.life, call, name)
	e.court.charges(e.chargedLocked(call, name, ref), call)
	f := e.takeLocked(call, name)
	if f != nil {
		e.court.note("fault: %s %s: err %v, after %v, delay %v", call, name, f.err, f.after, f.delay)
		e.court.disturbName(name, f.delay)
		for id, d := range e.court.model.all {
			if d.name == name && (call == "start" || call == "stop" || call == "kill") { // an update that it happens to is taken back
				e.court.file(id).failed[""] = true
			}
		}
		if call == "list" {
			e.court.outage() // the session with the engine ends
		}
	}
	return f, nil
}

// turn waits until a start of the container has ended that takes its time: the engine holds the container's lock for as long,
// which whoever looks at it or changes it needs (containerStart of moby's daemon/start.go).
func (p *simPort) turn(ctx context.Context, ref string) error {
	for {
		p.engine.mu.Lock()
		var busy chan struct{}
		if c, err := p.engine.findLocked(ref); err == nil {
			busy = p.engine.starting[c.DockerID]
		}
		p.engine.mu.Unlock()
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.life.dead:
			return ErrUnavailable
		}
	}
}

func (p *simPort) carry(ctx context.Context, f *simFault, call, ref string, effect func() error) error {
	switch {
	case f == nil && call == "start" && p.engine.spinup > 0:
		return p.await(ctx, p.engine.spinup, p.engine.inThisLife(p.engine.holding(ref, effect)))
	case f == nil:
		return p.locked(effect)
	case f.delay == 0 && f.after:
		_ = p.locked(effect) // the fault hides what came of it
		return f.err
	case f.delay == 0:
		p.engine.spoil(f, ref)
		return f.err
	case f.after:
		err := p.locked(effect)
		return p.await(ctx, f.delay, func() error { return err })
	}
	if f.call == "start" {
		effect = p.engine.holding(ref, effect)
	}
	return p.await(ctx, f.delay, p.engine.inThisLife(effect))
}

// spoil is what else a start does that the engine fails at: the container loses its networks.
func (e *simEngine) spoil(f *simFault, ref string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, err := e.findLocked(ref); err == nil && f.call == "start" && errors.Is(f.err, errEngine) && !c.alive() {
		e.disconnectLocked(c)
	}
}

// holding is an effect until which the container's lock is held.
func (e *simEngine) holding(ref string, effect func() error) func() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	busy := make(chan struct{})
	e.starting[ref] = busy
	return func() error {
		delete(e.starting, ref)
		close(busy)
		return effect()
	}
}

// locked lets a request of a manager that died meanwhile count as never sent.
func (p *simPort) locked(effect func() error) error {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	if p.life.isDead() {
		return ErrUnavailable
	}
	return effect()
}

// inThisLife is an effect that is lost when the engine itself ends before.
func (e *simEngine) inThisLife(effect func() error) func() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	restarts := e.restarts
	return func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.restarts != restarts {
			return ErrUnavailable
		}
		return effect()
	}
}

// await lets the engine finish after d, also when nobody waits for it any more.
func (p *simPort) await(ctx context.Context, d time.Duration, finish func() error) error {
	done := make(chan error, 1)
	time.AfterFunc(d, func() { done <- finish() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-p.life.dead:
		return ErrUnavailable
	}
}

// upon is a call that changes a container.
func (p *simPort) upon(ctx context.Context, call, ref string, effect func(c *simContainer) error) error {
	name := p.judge(call, ref)
	return p.call(ctx, call, name, ref, func() error {
		c, err := p.engine.findLocked(ref)
		if err != nil {
			return err
		}
		if (call == "stop" || call == "kill") && p.engine.stubborn[c.template.Name].After(time.Now()) {
			p.engine.court.file(c.ID).update.tries = nil // an attempt for which it is not stopped is none
			return errEngine
		}
		p.engine.court.takes(call, c)
		err = effect(c)
		if !c.ours { // nobody's by now, for the store is another one since this was asked for
			c.born = c.Container
		}
		return err
	})
}

// judge holds a call against the rules at the moment that it is made.
func (p *simPort) judge(call, ref string) string {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.findLocked(ref)
	if err != nil || p.life.isDead() {
		return ""
	}
	e.court.asks(p.life, call, c)
	return c.template.Name
}

func (p *simPort) Engine(ctx context.Context) (string, error) {
	return "engine-1", p.call(ctx, "engine", "", "", func() error {
		if p.life == p.engine.court.model.life {
			p.engine.court.shaky = false
		}
		return nil
	})
}

func (p *simPort) List(ctx context.Context) (list []plan.Container, err error) {
	e := p.engine
	err = p.call(ctx, "list", "", "", func() error {
		if p.life.world.accept && p.life.store.Restored() != "" {
			e.court.disown()
		}
		for _, id := range slices.Sorted(maps.Keys(e.containers)) {
			if c := e.containers[id]; c.ID != "" {
				list = append(list, c.listed())
			}
		}
		return nil
	})
	return list, err
}

// listed is what a list shows: neither times nor which run this is, nor the health of what is paused.
func (c *simContainer) listed() plan.Container {
	health := ""
	if c.State == "running" {
		health = c.Health
	}
	return plan.Container{DockerID: c.DockerID, Name: c.Name, ID: c.ID, Token: c.Token, Hash: c.Hash, Instance: c.Instance, Flow: c.Flow, State: c.State, Health: health, Networks: c.Networks,
		Digest: fmt.Sprint(c.State, " ", c.Name, " ", c.ExitCode, " ", health, " ", c.Networks)}
}

func (p *simPort) Inspect(ctx context.Context, ref string) (o plan.Container, err error) {
	e := p.engine
	e.mu.Lock()
	name := ref
	if c, err := e.findLocked(ref); err == nil && c.ours {
		name = c.template.Name
	}
	e.mu.Unlock()
	err = p.call(ctx, "inspect", name, ref, func() error {
		c, err := e.findLocked(ref)
		if err == nil {
			o = c.Container
		}
		return err
	})
	return o, err
}

func (p *simPort) Create(ctx context.Context, t Template) (dockerID string, err error) {
	p.engine.mu.Lock()
	if !p.life.isDead() {
		p.engine.court.creates(p.life, &t)
	}
	p.engine.mu.Unlock()
	err = p.call(ctx, "create", t.Name, "", func() error {
		var err error
		dockerID, err = p.engine.createLocked(t)
		return err
	})
	return dockerID, err
}

func (p *simPort) Start(ctx context.Context, dockerID string) error {
	return p.upon(ctx, "start", dockerID, func(c *simContainer) error { return p.engine.startLocked(c, false) })
}

func (p *simPort) Kill(ctx context.Context, dockerID, signal string) error {
	call := "stop"
	if signal == "" {
		call = "kill"
	}
	return p.upon(ctx, call, dockerID, func(c *simContainer) error { return p.engine.killLocked(c, signal) })
}

func (p *simPort) Pause(ctx context.Context, dockerID string) error {
	return p.upon(ctx, "pause", dockerID, p.engine.pauseLocked)
}

func (p *simPort) Unpause(ctx context.Context, dockerID string) error {
	return p.upon(ctx, "unpause", dockerID, p.engine.unpauseLocked)
}

func (p *simPort) Rename(ctx context.Context, dockerID, name string) error {
	p.engine.mu.Lock()
	if c, err := p.engine.findLocked(dockerID); err == nil && c.Name == name && !p.life.isDead() {
		p.engine.court.violate("%s is renamed though it has its name", name)
	}
	p.engine.mu.Unlock()
	return p.upon(ctx, "rename", dockerID, func(c *simContainer) error { return p.engine.renameLocked(c, name) })
}

func (p *simPort) Limit(ctx context.Context, dockerID string, r api.Resources) error {
	return p.upon(ctx, "limit", dockerID, func(c *simContainer) error { return p.engine.limitLocked(c, r) })
}

func (p *simPort) Remove(ctx context.Context, dockerID string) error {
	var gone chan struct{}
	err := p.upon(ctx, "remove", dockerID, func(c *simContainer) error {
		err := p.engine.removeLocked(c)
		gone = c.gone
		return err
	})
	if err != nil || gone == nil {
		return err
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.life.dead:
		return ErrUnavailable
	}
}

func (p *simPort) RemoveCarried(ctx context.Context, name string) error {
	return p.call(ctx, "remove-volume", name, "", func() error { return nil })
}

func (p *simPort) Image(ctx context.Context, ref string) (i Image, err error) {
	err = p.call(ctx, "image", "", "", func() error {
		if name := strings.TrimPrefix(ref, "id-of-"); name == "missing" || !p.engine.pulled[name] {
			return ErrAbsent
		}
		i.ID = "id-of-" + strings.TrimPrefix(ref, "id-of-")
		return nil
	})
	return i, err
}

// Pull takes a while, and has no more of an image that is in no registry than the engine.
func (p *simPort) Pull(ctx context.Context, ref string, _ func(api.PullProgress)) error {
	if _, bounded := ctx.Deadline(); bounded {
		p.engine.mu.Lock()
		p.engine.court.violate("a worker waits for the pull of %s", ref)
		p.engine.mu.Unlock()
	}
	e := p.engine
	e.mu.Lock()
	f, lasts := e.takeLocked("pull", ref), 3*time.Second
	e.mu.Unlock()
	if f != nil && f.err != nil {
		return f.err
	}
	if f != nil {
		lasts = f.delay
	}
	select {
	case <-time.After(lasts):
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.call(ctx, "pull", ref, "", func() error {
		if ref == "missing" {
			return ErrAbsent
		}
		p.engine.pulled[ref] = true
		return nil
	})
}

func (p *simPort) VolumeInstance(context.Context, string) (string, error)    { return "", ErrAbsent }
func (p *simPort) NetworkName(_ context.Context, ref string) (string, error) { return ref, nil }

func (p *simPort) Connect(ctx context.Context, dockerID, network, _ string) error {
	return p.upon(ctx, "connect", dockerID, func(c *simContainer) error { return p.engine.connectLocked(c, network) })
}

func (p *simPort) RemoveVolume(ctx context.Context, name, _ string) error {
	return p.call(ctx, "remove-volume", name, "", func() error { return nil })
}

func (p *simPort) LastLines(ctx context.Context, dockerID string, _, _ int) ([]string, error) {
	err := p.call(ctx, "logs", "", dockerID, func() error { return nil })
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	if c, stands := p.engine.containers[dockerID]; stands && err != nil {
		p.engine.court.file(c.ID).unread = true
	}
	return []string{"the end"}, err
}

func (p *simPort) Replay(ctx context.Context, since time.Time) (replay Replay, err error) {
	err = p.call(ctx, "replay", "", "", func() error {
		replay = p.engine.replayLocked(since)
		return nil
	})
	return replay, err
}

func (p *simPort) Events(ctx context.Context, ready func(), tell func(Event)) error {
	e := p.engine
	e.mu.Lock()
	if e.away || e.mute || p.life.isDead() {
		e.mu.Unlock()
		return ErrUnavailable
	}
	e.marks[p] = tell
	stream := e.stream
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.marks, p)
	}()
	ready()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.life.dead:
		return ErrUnavailable
	case <-stream:
		return ErrUnavailable
	}
}

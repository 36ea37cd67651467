package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// populated is a manager on a faked engine where so many flows are declared and run.
func (b *bench) populated(ctx context.Context, n int, args ...string) (*manager, *fakeEngine, error) {
	engine, err := b.fakeEngine()
	if err != nil {
		return nil, nil, err
	}
	m, err := b.manage(ctx, append([]string{"--docker-host", engine.host}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	if err := m.ready(ctx); err != nil {
		return nil, nil, err
	}
	clients, err := b.clients(ctx, m.addr, inFlight)
	if err != nil {
		return nil, nil, err
	}
	if err := b.declareAll(ctx, clients, n, "running"); err != nil {
		return nil, nil, err
	}
	for _, c := range clients {
		c.close()
	}
	return m, engine, eventually(ctx, "all flows run", func() error {
		if runs := engine.runs(); runs < n {
			return fmt.Errorf("%d of %d", runs, n)
		}
		return nil
	})
}

// settle waits until neither the manager nor the engine have anything to do.
func (e *fakeEngine) settle(ctx context.Context, c *session) error {
	const still = 5 // looks in a row that show nothing new
	const pause = 100 * time.Millisecond
	before, same := "", 0
	every := time.NewTicker(pause)
	defer every.Stop()
	for end := after(ctx); same < still; {
		now, err := version(ctx, c)
		if err != nil {
			return err
		}
		now += fmt.Sprint(e.requests())
		if now == before {
			same++
		} else {
			before, same = now, 0
		}
		select {
		case <-every.C:
		case <-end:
			return errors.New("the manager does not come to rest")
		}
	}
	return nil
}

// version is the store's newest resource version.
func version(ctx context.Context, c *session) (string, error) {
	answer, err := c.ask(ctx, "list_containers", []byte(`{"limit":1}`))
	if err != nil {
		return "", err
	}
	var page struct {
		ResourceVersion string `json:"resource_version"`
	}
	err = json.Unmarshal(answer, &page)
	return page.ResourceVersion, err
}

// idleRow measures what many flows cost that have nothing to do, and what a manager does that finds them.
func idleRow(ctx context.Context, b *bench) ([]finding, error) {
	n, every, reading := 10_000, time.Minute, 2*time.Second
	if b.quick {
		n, every, reading = 100, time.Second, 200*time.Millisecond
	}
	m, engine, err := b.populated(ctx, n, "--resync-interval", every.String())
	if err != nil {
		return nil, err
	}
	c, err := b.join(ctx, m.addr)
	if err != nil {
		return nil, err
	}
	idle, err := m.idle(ctx, engine, c, reading)
	if err != nil {
		return nil, err
	}
	found := idle.findings(n)
	again, err := m.found(ctx, engine, n)
	return append(found, again), err
}

// listPattern is a list among the requests of a faked engine.
const listPattern = "GET /{v}/containers/json"

// idling is what a manager did from one resync to the next.
type idling struct {
	busy, lasted time.Duration
	asked        map[string]int
	written      bool
	memory, file float64 // bytes in all, and those of files
	resync       float64 // ms
}

// idle begins when the first list of what runs has been dealt with, and ends when the next one has: reading is what that gets.
func (m *manager) idle(ctx context.Context, engine *fakeEngine, c *session, reading time.Duration) (i idling, err error) {
	if err := errors.Join(engine.await(ctx), wait(ctx, reading), engine.settle(ctx, c)); err != nil {
		return i, err
	}
	before, err := m.look(ctx, c)
	engine.requests()
	if err = errors.Join(err, engine.await(ctx), wait(ctx, reading)); err != nil {
		return i, err
	}
	i.asked = engine.requests()
	after, err := m.look(ctx, c)
	if err != nil {
		return i, err
	}
	i.busy, i.lasted, i.written = after.busy-before.busy, after.at.Sub(before.at), after.stored != before.stored
	i.resync = 1000 * (after.seconds - before.seconds) / (after.lists - before.lists)
	i.memory, i.file, err = m.shares()
	return i, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// look is what can be seen of a manager from outside.
type look struct {
	at     time.Time
	busy   time.Duration
	stored string
	lists  float64 // read to their end
	// seconds is what they took together.
	seconds float64
}

func (m *manager) look(ctx context.Context, c *session) (l look, err error) {
	newest, err := version(ctx, c)
	if err != nil {
		return l, err
	}
	if l.lists, l.seconds, err = m.sum(ctx, callDuration, listCall); err != nil {
		return l, err
	}
	files, err := m.files()
	if err != nil {
		return l, err
	}
	l.stored, l.at = newest+files, time.Now()
	l.busy, err = m.busy()
	return l, err
}

const (
	callDuration = "flow_manager_engine_call_duration_seconds"
	listCall     = `kind="list"`
)

// files tells when anything in the data folder was written to last.
func (m *manager) files() (string, error) {
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(m.dir, "data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			fmt.Fprintln(&all, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return all.String(), err
}

func (i *idling) findings(n int) []finding {
	share := 100 * i.busy.Seconds() / i.lasted.Seconds()
	lists := i.asked[listPattern]
	delete(i.asked, listPattern)
	others := 0
	for _, times := range i.asked {
		others += times
	}
	stored := "nothing written"
	if i.written {
		stored = "the store was written"
	}
	note := "an engine faked over a Unix socket, with bodies as long as the real one's; from one resync to the next, with every flow's socket open"
	if len(i.asked) > 0 {
		note += fmt.Sprint("; it also asked for ", i.asked)
	}
	const mostMemory, mostResync, mostShare = 150, 600, 1
	work := func(what string) string { return fmt.Sprintf("%d idle flows: %s", n, what) }
	return []finding{
		{work: work("CPU"), ours: fmt.Sprintf("%.2f %% of a core over %.0f s", share, i.lasted.Seconds()), hold: fmt.Sprintf("< %d %%", mostShare), verdict: judge(share < mostShare)},
		{work: work("engine calls, writes"), ours: fmt.Sprintf("%d list, %d others, %s", lists, others, stored), hold: "1 list, nothing else",
			verdict: judge(lists == 1 && others == 0 && !i.written), note: note},
		{work: work("memory (PSS)"), ours: mib(i.memory), hold: fmt.Sprintf("< %d MiB", mostMemory), verdict: judge(i.memory < mostMemory<<20),
			note: mib(i.file) + " of it are mapped pages of the store's file and of the program, which the kernel takes back when it needs them"},
		{work: work("resync"), ours: span(i.resync), hold: fmt.Sprintf("< %d ms", mostResync), verdict: judge(i.resync < mostResync)},
	}
}

// found measures a manager that is killed and started.
func (m *manager) found(ctx context.Context, engine *fakeEngine, n int) (finding, error) {
	const most = 2 * time.Second
	if err := m.end(syscall.SIGKILL); err != nil {
		return finding{}, err
	}
	engine.requests()
	began := time.Now()
	if err := m.launch(ctx); err != nil {
		return finding{}, err
	}
	if err := m.ready(ctx); err != nil {
		return finding{}, err
	}
	took := time.Since(began)
	asked := map[string]int{}
	err := eventually(ctx, "every flow has been looked at", func() error {
		for pattern, times := range engine.requests() {
			asked[pattern] += times
		}
		if seen := asked["GET /{v}/containers/{id}/json"]; seen < n {
			return fmt.Errorf("%d of %d", seen, n)
		}
		return nil
	})
	memory, unknown := m.memory()
	touched := changes(asked)
	f := finding{work: fmt.Sprintf("%d flows: manager killed and started", n), ours: fmt.Sprintf("ready in %.2f s, %d containers touched", took.Seconds(), touched),
		hold: fmt.Sprintf("< %g s, none touched", most.Seconds()), verdict: judge(took < most && touched == 0)}
	f.note = "then it takes " + mib(memory)
	if touched > 0 {
		f.note += fmt.Sprint(", and asked for ", asked)
	}
	return f, errors.Join(err, unknown)
}

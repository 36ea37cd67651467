package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
)

// acceptRow measures how fast declarations are accepted, which is: on disk. The engine is away, so that none of the machine goes
// into making containers.
func acceptRow(ctx context.Context, b *bench) ([]finding, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	m, err := b.manage(ctx, "--docker-host", "unix://"+filepath.Join(dir, "none.sock"))
	if err != nil {
		return nil, err
	}
	lib, err := b.spawn(bareChild)
	if err != nil {
		return nil, err
	}
	a := acceptance{b: b, own: m.addr, lib: lib.addr}
	alone, err := a.alone(ctx)
	if err != nil {
		return nil, err
	}
	crowded, err := a.crowded(ctx)
	if err != nil {
		return nil, err
	}
	return []finding{crowded, alone}, nil
}

// acceptance is where declarations go, and what could take them instead.
type acceptance struct {
	b        *bench
	own, lib string // addresses
	disk     *disk
}

// clients are so many sessions.
func (b *bench) clients(ctx context.Context, addr string, n int) ([]*session, error) {
	all := make([]*session, n)
	for i := range all {
		var err error
		if all[i], err = b.join(ctx, addr); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// narrow has sessions told of nothing but what they asked for, and tells whether the manager can do that.
func narrow(ctx context.Context, clients []*session) (bool, error) {
	for _, c := range clients {
		_, err := c.ask(ctx, "subscribe", []byte(`{"events":["engine_available"]}`))
		if errors.Is(err, errRefused) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// wish declares a flow that is done with once it is made: there is no trial to be noted seconds later.
func wish(name, state string) []byte {
	s := spec(name)
	s["desired_state"], s["update_policy"] = state, map[string]int{"monitor_seconds": 0}
	return encode(s)
}

// accepted declares one container, and gives what is stored of it.
func accepted(ctx context.Context, c *session, name string) ([]byte, error) {
	ack, err := c.ask(ctx, "create_container", wish(name, "created"))
	if err != nil {
		return nil, err
	}
	var body struct{ Container json.RawMessage }
	err = json.Unmarshal(ack, &body)
	return body.Container, err
}

// declareAll has every client declare one container after another, until n are accepted.
func (b *bench) declareAll(ctx context.Context, clients []*session, n int, state string) error {
	wishes := make([][]byte, n)
	for i := range wishes {
		wishes[i] = wish(b.name(), state)
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range clients {
		group.Go(func() error {
			for j := i; j < n; j += len(clients) {
				if _, err := c.ask(ctx, "create_container", wishes[j]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// crowded has sessions of its own, as many as requests are open at once: a session's requests are taken one by one.
func (a *acceptance) crowded(ctx context.Context) (finding, error) {
	lib, err := a.b.clients(ctx, a.lib, inFlight)
	if err != nil {
		return finding{}, err
	}
	clients, err := a.b.clients(ctx, a.own, inFlight)
	if err != nil {
		return finding{}, err
	}
	narrowed, err := narrow(ctx, clients)
	if err != nil {
		return finding{}, err
	}
	n := a.b.times(128, 3200)
	echo, batch := errand{lib, echoEvent, wish(a.b.name(), "created")}.crowded(n), exchange(a.disk.batch).crowded(n)
	figures, err := warmed(ctx, a.b.times(1, 5), echo, echo, batch, batch, func(ctx context.Context) (float64, error) {
		began := time.Now()
		err := a.b.declareAll(ctx, clients, n, "created")
		return perSecond(n, began), err
	})
	if err != nil {
		return finding{}, err
	}
	return a.besideSmaller(figures, narrowed), nil
}

// besideSmaller takes the smaller of the two yardsticks.
func (a *acceptance) besideSmaller(figures [][]float64, narrowed bool) finding {
	smaller, what := figures[:2], "bare echo"
	if median(figures[2]) < median(figures[0]) {
		smaller, what = figures[2:4], "bbolt Batch"
	}
	f := faster(fmt.Sprintf("declarations accepted, %d clients", inFlight), [][]float64{smaller[0], smaller[1], figures[4]}, 0.5)
	f.yardstick = what + ": " + f.yardstick
	told := "which have subscribed to nothing else"
	if !narrowed {
		told = "each of which is told of all declarations"
	}
	f.note = fmt.Sprintf("create_container with the engine away, until its acknowledgement, by sessions %s; the yardstick is the smaller of bare echo (%s) and bbolt Batch (%s; %d callers, 1 ms, %d bytes)",
		told, rate(median(figures[0])), rate(median(figures[2])), inFlight, len(a.disk.value))
	return f
}

// alone is measured first, while there is nobody else to tell.
func (a *acceptance) alone(ctx context.Context) (finding, error) {
	lib, err := a.b.join(ctx, a.lib)
	if err != nil {
		return finding{}, err
	}
	c, err := a.b.join(ctx, a.own)
	if err != nil {
		return finding{}, err
	}
	defer c.close()
	record, err := accepted(ctx, c, a.b.name())
	if err != nil {
		return finding{}, err
	}
	if a.disk, err = a.b.disk(record); err != nil {
		return finding{}, err
	}
	echo := errand{[]*session{lib}, echoEvent, wish(a.b.name(), "created")}.alone
	figures, err := warmed(ctx, a.b.times(20, 500), echo, echo, a.disk.update, a.disk.update, func(ctx context.Context) (float64, error) {
		return errand{[]*session{c}, "create_container", wish(a.b.name(), "created")}.alone(ctx)
	})
	if err != nil {
		return finding{}, err
	}
	return besideSum(figures), nil
}

// besideSum takes an echo and two transactions together for the yardstick.
func besideSum(figures [][]float64) finding {
	most := median(figures[0]) + 2*median(figures[2])
	again := median(figures[1]) + 2*median(figures[3])
	return finding{
		work: "declaration accepted, one alone", ours: lasting(figures[4]),
		yardstick: fmt.Sprintf("bare echo %s + 2 x bbolt Update %s = %s", span(median(figures[0])), span(median(figures[2])), span(most)),
		versus:    fmt.Sprintf("%.2f x", median(figures[4])/most), noise: fmt.Sprintf("%.2f x", again/most),
		hold: "p50 <= 1 x", verdict: judge(median(figures[4]) <= most),
	}
}

// disk is bbolt with nothing around it.
type disk struct {
	db    *bbolt.DB
	value []byte
	last  atomic.Int64
}

func (b *bench) disk(value []byte) (*disk, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	b.later(db.Close)
	db.MaxBatchDelay = time.Millisecond
	return &disk{db: db, value: slices.Clone(value)}, nil
}

func (d *disk) put(tx *bbolt.Tx) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte("containers"))
	if err != nil {
		return err
	}
	return bucket.Put(fmt.Appendf(nil, "%020d", d.last.Add(1)), d.value)
}

func (d *disk) batch(context.Context) error { return d.db.Batch(d.put) }

func (d *disk) update(context.Context) (float64, error) {
	began := time.Now()
	err := d.db.Update(d.put)
	return took(began), err
}

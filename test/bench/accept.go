package main

import (
	"context"
	"encoding/json"
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
	own, err := b.clients(ctx, func() (string, error) {
		dir, err := b.folder()
		if err != nil {
			return "", err
		}
		m, err := b.manage(ctx, "--docker-host", "unix://"+filepath.Join(dir, "none.sock"))
		if err != nil {
			return "", err
		}
		return m.addr, nil
	})
	if err != nil {
		return nil, err
	}
	lib, err := b.clients(ctx, func() (string, error) {
		c, err := b.spawn(bareChild)
		if err != nil {
			return "", err
		}
		return c.addr, nil
	})
	if err != nil {
		return nil, err
	}
	record, err := accepted(ctx, own[0], b.name())
	if err != nil {
		return nil, err
	}
	disk, err := b.disk(record)
	if err != nil {
		return nil, err
	}
	a := acceptance{b, own, lib, disk}
	crowded, err := a.crowded(ctx)
	if err != nil {
		return nil, err
	}
	alone, err := a.alone(ctx)
	return []finding{crowded, alone}, err
}

// acceptance is who takes part.
type acceptance struct {
	b        *bench
	own, lib []*session
	disk     *disk
}

// clients are as many sessions as have a request open at once.
func (b *bench) clients(ctx context.Context, serve func() (string, error)) ([]*session, error) {
	addr, err := serve()
	if err != nil {
		return nil, err
	}
	all := make([]*session, inFlight)
	for i := range all {
		if all[i], err = b.join(ctx, addr); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func wish(name, state string) []byte {
	s := spec(name)
	s["desired_state"] = state
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

func (a *acceptance) crowded(ctx context.Context) (finding, error) {
	n := a.b.times(128, 6400)
	echo := func(ctx context.Context) (float64, error) {
		return pipelined(ctx, a.lib, echoEvent, wish(a.b.name(), "created"), n)
	}
	batch := func(ctx context.Context) (float64, error) {
		return exchanged(ctx, func(context.Context) error { return a.disk.batch() }, n)
	}
	own := func(ctx context.Context) (float64, error) {
		began := time.Now()
		err := a.b.declareAll(ctx, a.own, n, "created")
		return perSecond(n, began), err
	}
	figures, err := warmed(ctx, a.b.times(2, 5), echo, echo, batch, batch, own)
	if err != nil {
		return finding{}, err
	}
	smaller, what := figures[:2], "bare echo"
	if median(figures[2]) < median(figures[0]) {
		smaller, what = figures[2:4], "bbolt Batch"
	}
	f := faster(fmt.Sprintf("declarations accepted, %d clients", inFlight), [][]float64{smaller[0], smaller[1], figures[4]}, 0.5)
	f.yardstick = what + ": " + f.yardstick
	f.note = fmt.Sprintf("create_container with the engine away, until its acknowledgement; the yardstick is the smaller of bare echo (%s) and bbolt Batch (%s; %d callers, 1 ms, %d bytes)",
		rate(median(figures[0])), rate(median(figures[2])), inFlight, len(a.disk.value))
	return f, nil
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

func (a *acceptance) alone(ctx context.Context) (finding, error) {
	echo := func(ctx context.Context) (float64, error) {
		return timed(ctx, a.lib[0], echoEvent, wish(a.b.name(), "created"))
	}
	update := func(context.Context) (float64, error) {
		began := time.Now()
		err := a.disk.update()
		return took(began), err
	}
	own := func(ctx context.Context) (float64, error) {
		return timed(ctx, a.own[0], "create_container", wish(a.b.name(), "created"))
	}
	figures, err := warmed(ctx, a.b.times(20, 500), echo, echo, update, update, own)
	if err != nil {
		return finding{}, err
	}
	most := median(figures[0]) + 2*median(figures[2])
	again := median(figures[1]) + 2*median(figures[3])
	return finding{
		work: "declaration accepted, one alone", ours: lasting(figures[4]),
		yardstick: fmt.Sprintf("bare echo %s + 2 x bbolt Update %s = %s", span(median(figures[0])), span(median(figures[2])), span(most)),
		versus:    fmt.Sprintf("%.2f x", median(figures[4])/most), noise: fmt.Sprintf("%.2f x", again/most),
		hold: "p50 <= 1 x", verdict: judge(median(figures[4]) <= most),
	}, nil
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

func (d *disk) batch() error  { return d.db.Batch(d.put) }
func (d *disk) update() error { return d.db.Update(d.put) }

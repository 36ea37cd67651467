package controller

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowSnapshots take a second to read anything.
type slowSnapshots struct {
	Snapshots
	read atomic.Int64
}

func (s *slowSnapshots) Verify(ctx context.Context, _ string) error {
	select {
	case <-time.After(time.Second):
		s.read.Add(1)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What is about to start and what is to come after it are read beside each other, each once, however they take turns in asking.
func TestCopier_AStartAndAnUpdateDoNotInterruptEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowSnapshots{}
		p := newCopier(s, func(string) {}, func() {})
		defer p.close()
		take := func(context.Context) (string, func(), error) { return "new", func() {}, nil }
		start := func() (string, error) { return p.fetch("id", 0, "old", nil) }
		update := func() (string, error) { return p.fetch("id", 7, "", take) }
		for range 3 {
			for _, ask := range []func() (string, error){start, update} {
				if _, err := ask(); !errors.Is(err, errCopying) {
					t.Fatal(err)
				}
			}
			if taken, checked := p.takes("id", 7), p.checks("id"); !taken || !checked {
				t.Fatalf("the new code is taken: %t; the old one is checked: %t", taken, checked)
			}
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		old, errOld := start()
		next, errNext := update()
		if old != "old" || next != "new" || errOld != nil || errNext != nil || s.read.Load() != 2 {
			t.Errorf("%q %v, %q %v, after %d readings", old, errOld, next, errNext, s.read.Load())
		}
	})
}

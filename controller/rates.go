package controller

import (
	"context"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/store"
)

// No container causes more than 60 engine calls, or more than 60 commits, in any minute, clients' requests apart, whatever is
// wrong. What plans backs off long before that; this holds where it would not. A step may take several calls, so that the last
// one is begun somewhat earlier.
const (
	rateWindow = time.Minute
	rateLimit  = 52
)

// rates are what each record has caused of late.
type rates struct {
	mu sync.Mutex
	of map[string]*expenses
}

// expenses are what a record has caused since it was last declared.
type expenses struct {
	generation     int64
	calls, commits window
}

func newRates() *rates { return &rates{of: map[string]*expenses{}} }

// due is how long a record has to wait. A new declaration begins anew.
func (l *rates) due(r *store.Record) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of[r.ID]
	if e == nil || e.generation != r.Generation {
		e = &expenses{generation: r.Generation}
		l.of[r.ID] = e
	}
	return max(e.calls.due(), e.commits.due())
}

// spend notes that a record has caused a commit. It never refuses: what is begun is ended.
func (l *rates) spend(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.of[id]; e != nil {
		e.commits.add()
	}
}

// window is when something happened within the last rateWindow, oldest first.
type window []time.Time

func (w *window) add() {
	w.age()
	*w = append(*w, time.Now())
}

// due is how long it takes until there is room for another one.
func (w *window) due() time.Duration {
	w.age()
	if over := len(*w) - rateLimit; over >= 0 {
		return rateWindow - time.Since((*w)[over])
	}
	return 0
}

// age forgets what was longer ago.
func (w *window) age() {
	n := 0
	for n < len(*w) && time.Since((*w)[n]) >= rateWindow {
		n++
	}
	if *w = (*w)[n:]; len(*w) == 0 {
		*w = nil
	}
}

// prune forgets records that have caused nothing for a while.
func (l *rates) prune() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.of {
		e.calls.age()
		e.commits.age()
		if len(e.calls)+len(e.commits) == 0 {
			delete(l.of, id)
		}
	}
}

func (l *rates) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, id)
}

// debtor is the key of the id of the record that the calls of a context are made for.
type debtor struct{}

// owing is a context whose engine calls a record has caused.
func owing(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, debtor{}, id)
}

// charge notes an engine call for the record that has caused it, if one has.
func (l *rates) charge(ctx context.Context) {
	id, is := ctx.Value(debtor{}).(string)
	if !is || l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.of[id]; e != nil {
		e.calls.add()
	}
}

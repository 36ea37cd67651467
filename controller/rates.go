package controller

import (
	"context"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/store"
)

// No container causes more than 60 engine calls or commits in any minute, clients' requests apart, whatever is wrong. What
// plans backs off long before that; this holds where it would not. A step may take several calls, so that the last one is
// begun somewhat earlier.
const (
	rateWindow = time.Minute
	rateLimit  = 48
)

// rates are what each record has caused of late.
type rates struct {
	mu sync.Mutex
	of map[string]*expenses
}

// expenses are when a record caused a call or a commit within the last rateWindow, oldest first.
type expenses struct {
	generation int64
	at         []time.Time
}

func newRates() *rates { return &rates{of: map[string]*expenses{}} }

// due is how long a record's turn has to wait. A new declaration begins anew.
func (l *rates) due(r *store.Record) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of[r.ID]
	if e == nil || e.generation != r.Generation {
		e = &expenses{generation: r.Generation}
		l.of[r.ID] = e
	}
	e.age()
	if over := len(e.at) - rateLimit; over >= 0 {
		return rateWindow - time.Since(e.at[over])
	}
	return 0
}

// spend notes that a record has caused a call or a commit. It never refuses: what is begun is ended.
func (l *rates) spend(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.of[id]; e != nil {
		e.age()
		e.at = append(e.at, time.Now())
	}
}

// age forgets what was longer ago.
func (e *expenses) age() {
	n := 0
	for n < len(e.at) && time.Since(e.at[n]) >= rateWindow {
		n++
	}
	if e.at = e.at[n:]; len(e.at) == 0 {
		e.at = nil
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
	if id, is := ctx.Value(debtor{}).(string); is && l != nil {
		l.spend(id)
	}
}

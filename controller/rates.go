package controller

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/flow-manager/flow-manager/store"
)

// No container causes more than 60 engine calls or commits in any minute, clients' requests apart, whatever is wrong: rateBurst
// at once, and one more every ratePace. What plans backs off long before that; this holds where it would not.
const (
	rateBurst = 30
	ratePace  = 2 * time.Second
)

// rates are how much each record may cause.
type rates struct {
	mu sync.Mutex
	of map[string]*allowance
}

type allowance struct {
	generation int64
	limit      *rate.Limiter
}

func newRates() *rates { return &rates{of: map[string]*allowance{}} }

// due is how long a record's turn has to wait. A new declaration begins anew.
func (l *rates) due(r *store.Record) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of[r.ID]
	if a == nil || a.generation != r.Generation {
		a = &allowance{r.Generation, rate.NewLimiter(rate.Every(ratePace), rateBurst)}
		l.of[r.ID] = a
	}
	if tokens := a.limit.Tokens(); tokens < 0 {
		return time.Duration(-tokens * float64(ratePace))
	}
	return 0
}

// spend notes that a record has caused so many calls or commits. It never refuses: what is begun is ended.
func (l *rates) spend(id string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.of[id]; a != nil {
		a.limit.ReserveN(time.Now(), n)
	}
}

func (l *rates) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, id)
}

package main

import (
	"context"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// lossTold is how long nothing more is said of lost lines once they were told of.
const lossTold = time.Minute

// losses counts lines that could not be written, until that is told.
type losses struct {
	mu   sync.Mutex
	loss api.LogLoss // since it was last told of
}

func (l *losses) lose(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loss.Dropped == 0 {
		l.loss.Since = time.Now().UTC()
	}
	l.loss.Message = why
	l.loss.Dropped++
}

// lost is what has been lost since it was last asked.
func (l *losses) lost() api.LogLoss {
	l.mu.Lock()
	defer l.mu.Unlock()
	loss := l.loss
	l.loss = api.LogLoss{}
	return loss
}

// report tells of lost lines, at most once in lossTold, until ctx ends.
func (l *losses) report(ctx context.Context, tell func(api.Event)) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var quiet time.Time
	for {
		select {
		case now := <-look.C:
			if now.Before(quiet) {
				continue
			}
			if loss := l.lost(); loss.Dropped > 0 {
				tell(loss.Event())
				quiet = now.Add(lossTold)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

package controller

import (
	"context"
	"sync"
	"time"
)

const (
	// copyTimeout bounds one reading of a tree, of 1 GiB at most.
	copyTimeout = 10 * time.Minute
	// maxCopies is how many trees are read at once.
	maxCopies = 2
)

// purpose is what a tree is read for. What starts is not made to wait for the code that is to come after it, nor the other way round.
type purpose struct {
	id    string
	start bool // a container is about to start; else other code is to be taken
}

// reading is one reading of a tree: a folder of the host, or a snapshot.
type reading struct {
	code    int64  // the request whose code is taken; 0 where a snapshot is only verified
	digest  string // of what was found sound; once it is done
	done    bool
	err     error
	release func()
	cancel  context.CancelFunc
}

// copier reads trees as operations: who asks for one does not wait, and is put back into the queue when it has ended. Each
// purpose has one at most. No method blocks but close.
type copier struct {
	snapshots Snapshots
	ended     func(id string)
	released  func() // a copy is not held any more, and perhaps nobody's
	slots     chan struct{}
	running   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	of     map[purpose]*reading
}

func newCopier(s Snapshots, ended func(id string), released func()) *copier {
	return &copier{snapshots: s, ended: ended, released: released, slots: make(chan struct{}, maxCopies), of: map[purpose]*reading{}}
}

// fetch gives the digest of code that was found sound, begins to find that out, or tells what is wrong with it; then the next
// call is another attempt. take brings the code where its digest is not known yet. What another purpose reads is not read twice.
func (p *copier) fetch(id string, code int64, digest string, take func(context.Context) (string, func(), error)) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := purpose{id, code == 0}
	if other := (purpose{id, code != 0}); digest != "" && p.of[of] == nil && p.of[other] != nil && p.of[other].digest == digest {
		of = other
	}
	switch c := p.of[of]; {
	case c == nil || c.code != code && (digest == "" || c.digest != digest):
		p.dropLocked(of)
		p.beginLocked(of, code, digest, take)
	case c.done && c.err != nil:
		p.dropLocked(of)
		return "", &codeError{c.err}
	case c.done:
		return c.digest, nil
	}
	return "", errCopying
}

func (p *copier) beginLocked(of purpose, code int64, digest string, take func(context.Context) (string, func(), error)) {
	if p.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &reading{code: code, digest: digest, cancel: cancel, release: func() {}}
	p.of[of] = c
	p.running.Go(func() {
		defer cancel()
		release := func() {}
		err := p.slot(ctx, func(ctx context.Context) error {
			var err error
			if digest == "" {
				var held func()
				if digest, held, err = take(ctx); err != nil {
					return err
				}
				release = func() { held(); p.released() }
			}
			return p.snapshots.Verify(ctx, digest)
		})
		p.finish(of, c, digest, release, err)
	})
}

// slot waits for its turn, which does not count, and then reads.
func (p *copier) slot(ctx context.Context, read func(context.Context) error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
		ctx, cancel := context.WithTimeout(ctx, copyTimeout)
		defer cancel()
		return read(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *copier) finish(of purpose, c *reading, digest string, release func(), err error) {
	p.mu.Lock()
	c.done, c.digest, c.release, c.err = true, digest, release, err
	wanted := p.of[of] == c
	if !wanted {
		release()
	}
	p.mu.Unlock()
	if wanted {
		p.ended(of.id)
	}
}

// takes tells whether the code of a request is being taken for id. What was taken or is for another request is dropped.
func (p *copier) takes(id string, code int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := purpose{id: id}
	if c := p.of[of]; c != nil && c.code == code {
		return !c.done
	}
	p.dropLocked(of)
	return false
}

// checks tells whether the code of a container of id that is about to start is being read back.
func (p *copier) checks(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.of[purpose{id, true}]
	return c != nil && !c.done
}

// drop forgets what was read for id, and ends what is being read.
func (p *copier) drop(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(purpose{id, false})
	p.dropLocked(purpose{id, true})
}

// dropUsed forgets what was read for id of a snapshot that is in its place now.
func (p *copier) dropUsed(id, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, of := range []purpose{{id, false}, {id, true}} {
		if c := p.of[of]; c != nil && c.digest == digest {
			p.dropLocked(of)
		}
	}
}

func (p *copier) dropLocked(of purpose) {
	c := p.of[of]
	if c == nil {
		return
	}
	delete(p.of, of)
	c.cancel()
	if c.done {
		c.release()
	}
}

// close ends all readings and returns when nothing is left of them.
func (p *copier) close() {
	p.mu.Lock()
	p.closed = true
	for of := range p.of {
		p.dropLocked(of)
	}
	p.mu.Unlock()
	p.running.Wait()
}

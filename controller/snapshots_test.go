package controller

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/hostpath"
)

// codePath and otherCode are folders that only root can write to on any host; what is in them is the fake's to say.
const (
	codePath  = "/usr/bin"
	otherCode = "/usr/lib"
)

// codePolicy lets those be taken.
func codePolicy() Policy { return Policy{HostPaths: hostpath.New([]string{"/usr"}, nil)} }

// fakeSnapshots keeps code in memory: a tree is a word, and its digest tells it.
type fakeSnapshots struct {
	mu      sync.Mutex
	trees   map[string]string // by path
	kept    map[string]bool   // digests
	held    map[string]int
	damaged map[string]bool
	links   map[string]string
	gate    chan struct{} // where it is not nil, reading waits until it is closed
	taken   int
	// fails is asked for an error by the name of each call.
	fails func(call string) error
}

func newFakeSnapshots() *fakeSnapshots {
	return &fakeSnapshots{trees: map[string]string{codePath: "one", otherCode: "other"}, kept: map[string]bool{}, held: map[string]int{},
		damaged: map[string]bool{}, links: map[string]string{}, fails: func(string) error { return nil }}
}

func (f *fakeSnapshots) read(ctx context.Context) error {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	if gate == nil {
		return ctx.Err()
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeSnapshots) Take(ctx context.Context, path string) (string, func(), error) {
	if err := f.read(ctx); err != nil {
		return "", nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken++
	if err := f.fails("take"); err != nil {
		return "", nil, err
	}
	digest := "digest-of-" + f.trees[path]
	f.kept[digest] = true
	f.held[digest]++
	return digest, sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.held[digest]--
	}), nil
}

func (f *fakeSnapshots) Verify(ctx context.Context, digest string) error {
	if err := f.read(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails("verify"); err != nil {
		return err
	}
	if !f.kept[digest] || f.damaged[digest] {
		return api.Errorf(api.SystemError, "the manager's copy %s of the code is damaged", digest)
	}
	return nil
}

func (f *fakeSnapshots) Link(name, digest string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails("link"); err != nil {
		return err
	}
	f.links[name] = digest
	return nil
}

func (f *fakeSnapshots) Linked(name string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	digest, ok := f.links[name]
	return digest, ok
}

func (f *fakeSnapshots) LinkPath(name string) string { return "/code/" + name }

func (f *fakeSnapshots) Links() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.links)), nil
}

func (f *fakeSnapshots) Unlink(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.links, name)
	return nil
}

func (f *fakeSnapshots) Collect(_ context.Context, keep func() map[string]bool) (removed []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := keep()
	for _, digest := range f.links {
		kept[digest] = true
	}
	for digest := range f.kept {
		if !kept[digest] && f.held[digest] == 0 {
			delete(f.kept, digest)
			removed = append(removed, digest)
		}
	}
	return removed, nil
}

// runs is the code that a container's next start finds in its mount.
func (f *fakeSnapshots) runs(t *Template) string {
	digest, _ := f.Linked(strings.TrimPrefix(t.CodeDir, "/code/"))
	return strings.TrimPrefix(digest, "digest-of-")
}

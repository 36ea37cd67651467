package hostpath

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Why a path is refused. To tell ErrAbsent from ErrOutside would let a client ask what there is on the host.
var (
	// ErrAbsent means that the path leads to nothing.
	ErrAbsent = errors.New("it is not there")
	// ErrOutside means that the path leads to what lies below none of the roots.
	ErrOutside = errors.New("it is not below a folder that --allow-host-path names")
	// ErrUnsafe means that others than root may exchange the root that the path is below.
	ErrUnsafe = errors.New("the allowed folder that it is below is not safe now")
	// ErrNever means that a mount of the path would show what is never shown.
	ErrNever = errors.New("it reaches what is never mounted")
	// ErrShared means that a container may write above the path, or would be allowed to write above another one's.
	ErrShared = errors.New("it is not this container's alone to decide what is there")
)

// Guard says what of the host may be mounted; nil allows nothing.
type Guard struct {
	roots, never []string
	// Engine tells where else the engine keeps what is its own, as far as that is known by then. It is set before the guard is used.
	Engine func() []string

	mu      sync.Mutex
	sockets []string // of engines, as of asked
	asked   time.Time
}

// socketsLast is how long it is relied upon where engines listen: to ask takes milliseconds where there are thousands of sockets.
const socketsLast = 10 * time.Second

// New allows what is below roots, but nothing that shows something of never, the kernel's file systems or the engines' own folders.
func New(roots, never []string) *Guard {
	return &Guard{roots: roots, never: slices.Concat(always(), never), Engine: func() []string { return nil }}
}

// always would hand over the host itself: the kernel's file systems, the sockets of container engines, and where those keep what
// runs in other containers.
func always() []string {
	return []string{"/proc", "/sys", "/dev", "/var/run/docker.sock", "/run/docker.sock", "/run/docker", "/run/containerd", "/var/lib/docker", "/var/lib/containerd",
		"/run/podman", "/run/libpod", "/run/containers", "/run/user", "/var/lib/containers"}
}

// neverNow is never, and what is so because of the engines that run now.
func (g *Guard) neverNow() ([]string, error) {
	sockets, err := g.engineSockets()
	if err != nil {
		return nil, err
	}
	return slices.Concat(g.never, g.Engine(), sockets), nil
}

func (g *Guard) engineSockets() ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.asked.IsZero() && time.Since(g.asked) < socketsLast {
		return g.sockets, nil
	}
	sockets, err := engineSockets()
	if err == nil {
		g.sockets, g.asked = sockets, time.Now()
	}
	return sockets, err
}

// kernelKinds are file systems that show the kernel and its devices wherever they are mounted.
func kernelKinds() []string {
	return []string{"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "configfs",
		"efivarfs", "pstore", "binfmt_misc", "nsfs"}
}

// Check judges the roots as they are now. The error says of each bad one what is wrong with it, and what to do.
func (g *Guard) Check() error {
	mounts, err := readTable()
	if err != nil {
		return err
	}
	never, err := g.neverNow()
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range g.roots {
		if err := checkRoot(mounts, root, never); err != nil {
			errs = append(errs, fmt.Errorf("--allow-host-path %q: %w", root, err))
		}
	}
	return errors.Join(errs...)
}

func checkRoot(mounts table, root string, nevers []string) error {
	if !filepath.IsAbs(root) {
		return errors.New("it is not an absolute path")
	}
	w, err := follow(root)
	switch {
	case err != nil:
		return err
	case w.missing != nil:
		return errors.New("it is not there; make the folder, or leave it out")
	}
	if err := w.ownedByRoot(); err != nil {
		return err
	}
	for _, n := range nevers {
		if never := mounts.never(n); within(w.end, never.path) {
			return fmt.Errorf("it is in %s, of which nothing is ever mounted", n)
		}
	}
	return nil
}

// Claim is a host path that another container has mounted or is to mount, and who that is.
type Claim struct {
	Path   string
	Write  bool
	Holder string
}

// Resolve gives the path without symlinks that path leads to, if a container may mount it while others hold theirs.
// What it would write to must not be above what others mount.
func (g *Guard) Resolve(path string, write bool, others []Claim) (string, error) {
	if g == nil {
		return "", ErrOutside
	}
	w, err := follow(path)
	if err = errors.Join(err, w.missing); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	if err := g.belowRoot(w.end); err != nil {
		return "", err
	}
	mounts, err := readTable()
	if err != nil {
		return "", err
	}
	p, info, err := mounts.look(w.end)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrAbsent, err)
	case info.Mode()&(fs.ModeDevice|fs.ModeSymlink) != 0:
		return "", fmt.Errorf("%w: a device, or a symlink that came this moment", ErrNever)
	}
	return w.end, errors.Join(g.spare(mounts, &p), mounts.undisputed(&p, write, others))
}

// belowRoot is nil where a root that is safe now holds the path.
func (g *Guard) belowRoot(end string) error {
	refused := ErrOutside
	for _, root := range g.roots {
		w, err := follow(root)
		if err != nil || w.missing != nil || !within(end, w.end) {
			continue
		}
		unsafe := w.ownedByRoot()
		if unsafe == nil {
			return nil
		}
		refused = fmt.Errorf("%w: %w", ErrUnsafe, unsafe)
	}
	return refused
}

// spare is nil where a mount of p shows nothing of what is never mounted.
func (g *Guard) spare(mounts table, p *place) error {
	for _, r := range p.shows {
		if slices.Contains(kernelKinds(), r.kind) {
			return fmt.Errorf("%w: a file system of the kernel (%s)", ErrNever, r.kind)
		}
	}
	nevers, err := g.neverNow()
	if err != nil {
		return err
	}
	for _, n := range nevers {
		if never := mounts.never(n); p.reaches(&never) {
			return fmt.Errorf("%w: %s", ErrNever, n)
		}
	}
	return nil
}

// never is the place of something that is never mounted, which may not be there yet.
func (t table) never(path string) place {
	w, err := follow(path)
	if err != nil {
		return t.name(filepath.Clean(path))
	}
	p, _, err := t.look(w.end)
	if err != nil {
		p.what, p.above = identity{}, nil // what is not there has only a name
	}
	return p
}

// undisputed is nil where nobody else may write above p and p, where it is written to, is above nobody else's.
func (t table) undisputed(p *place, write bool, others []Claim) error {
	for _, o := range others {
		if !o.Write && !write {
			continue
		}
		q := t.name(o.Path)
		switch {
		case o.Write && p.inside(&q):
			return fmt.Errorf("%w: container %s may write to %s, which is above it, and could put something else in its place", ErrShared, o.Holder, o.Path)
		case write && q.inside(p):
			return fmt.Errorf("%w: container %s mounts %s, which is below it; mount it read-only, or another folder", ErrShared, o.Holder, o.Path)
		}
	}
	return nil
}

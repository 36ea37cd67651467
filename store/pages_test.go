package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// layout finds pages of a file by what they are.
type layout struct {
	data     []byte
	size     int
	meta     meta
	branches []int // ids
}

func newLayout(t *testing.T) *layout {
	t.Helper()
	data, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	l := &layout{data: append([]byte{}, data...)}
	path := l.write(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := verify(f); err != nil {
		t.Fatal(err)
	}
	if l.meta, err = readMeta(f, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	l.size = int(l.meta.pageSize)
	p := &pages{file: f, meta: l.meta, seen: make(bitmap, l.meta.used/64+1), free: make(bitmap, l.meta.used/64+1)}
	if err := errors.Join(p.readFreelist(), p.tree(p.root, nil, nil, 0, p.rootLeaf)); err != nil {
		t.Fatal(err)
	}
	for id := 2; id < int(l.meta.used); id++ {
		if page := l.page(id); p.seen.has(uint64(id)) && int(machine.Uint64(page)) == id && machine.Uint16(page[8:]) == kindBranch && l.leadsToRecords(id) {
			l.branches = append(l.branches, id)
		}
	}
	if len(l.branches) == 0 {
		t.Fatal("the sample has no branch")
	}
	return l
}

// leadsToRecords reports whether the first page below a branch holds records. The root may be a branch as well, above buckets.
func (l *layout) leadsToRecords(branch int) bool {
	below := l.page(int(machine.Uint64(l.child(branch, 0))))
	return machine.Uint16(below[8:]) == kindLeaf && machine.Uint32(below[pageHeader:]) != bucketElement
}

func (l *layout) page(id int) []byte { return l.data[id*l.size:][:l.size] }

// child is the page that an element of a branch leads to.
func (l *layout) child(branch, i int) []byte { return l.page(branch)[pageHeader+i*pageElement+8:] }

func (l *layout) leaf() []byte { return l.page(int(machine.Uint64(l.child(l.branches[0], 0)))) }

func (l *layout) write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(path, l.data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerify_Refuses(t *testing.T) {
	put16 := machine.PutUint16
	put32 := machine.PutUint32
	put64 := machine.PutUint64
	tests := map[string]func(l *layout){
		"a page that leads to itself":           func(l *layout) { put64(l.child(l.branches[0], 0), uint64(l.branches[0])) },
		"two that lead to one":                  func(l *layout) { copy(l.child(l.branches[0], 1)[:8], l.child(l.branches[0], 0)[:8]) },
		"one that leads beyond the last":        func(l *layout) { put64(l.child(l.branches[0], 0), l.meta.used) },
		"one that leads to the first pages":     func(l *layout) { put64(l.child(l.branches[0], 0), 1) },
		"a page that is another":                func(l *layout) { put64(l.leaf(), machine.Uint64(l.leaf())+1) },
		"a page that goes on beyond the last":   func(l *layout) { put32(l.leaf()[12:], 1<<30) },
		"a page that goes on into the next":     func(l *layout) { put32(l.leaf()[12:], 2) },
		"a page of no kind":                     func(l *layout) { put16(l.leaf()[8:], 3) },
		"a branch without elements":             func(l *layout) { put16(l.page(l.branches[0])[10:], 0) },
		"a leaf without elements":               func(l *layout) { put16(l.leaf()[10:], 0) },
		"more elements than fit":                func(l *layout) { put16(l.leaf()[10:], 1<<15) },
		"an element that begins too late":       func(l *layout) { l.leaf()[pageHeader+4]++ },
		"a key longer than its page":            func(l *layout) { put32(l.last()[8:], 1<<31) },
		"a key of no length":                    func(l *layout) { put32(l.leaf()[pageHeader+8:], 0) },
		"a value longer than its page":          func(l *layout) { put32(l.last()[12:], 1<<31) },
		"a record that is a bucket":             func(l *layout) { put32(l.leaf()[pageHeader:], bucketElement) },
		"a first key that is not known above":   func(l *layout) { l.key(0)[0] ^= 1 },
		"keys out of order":                     func(l *layout) { clear(l.key(1)) },
		"a list of free pages that is none":     func(l *layout) { put16(l.page(int(l.meta.freelist))[8:], kindLeaf) },
		"a free page that is in use":            func(l *layout) { put64(l.page(int(l.meta.freelist))[pageHeader:], uint64(l.branches[0])) },
		"a free page that is free twice":        func(l *layout) { f := l.page(int(l.meta.freelist))[pageHeader:]; copy(f[8:16], f[:8]) },
		"a free page beyond the last":           func(l *layout) { put64(l.page(int(l.meta.freelist))[pageHeader:], l.meta.used) },
		"more free pages than fit":              func(l *layout) { put16(l.page(int(l.meta.freelist))[10:], 1<<14) },
		"no end":                                func(l *layout) { l.data = l.data[:(int(l.meta.used)-1)*l.size] },
		"no beginning":                          func(l *layout) { clear(l.data[:2*l.size]) },
		"a root that holds records":             func(l *layout) { put32(l.page(int(l.meta.root))[pageHeader:], 0) },
		"a bucket that leads into the freelist": func(l *layout) { put64(l.bucket(), l.meta.freelist) },
	}
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			harm(l)
			f, err := os.Open(l.write(t))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := verify(f); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// key is one of the first leaf's.
func (l *layout) key(i int) []byte {
	e := l.leaf()[pageHeader+i*pageElement:]
	return e[machine.Uint32(e[4:]):][:machine.Uint32(e[8:])]
}

// last is the first leaf's last element: what it says of its length, no other one contradicts.
func (l *layout) last() []byte {
	return l.leaf()[pageHeader+(int(machine.Uint16(l.leaf()[10:]))-1)*pageElement:]
}

// bucket is the value of the first bucket that has pages of its own.
func (l *layout) bucket() []byte {
	root := l.page(int(l.meta.root))
	if machine.Uint16(root[8:]) == kindBranch {
		root = l.page(int(machine.Uint64(l.child(int(l.meta.root), 0))))
	}
	for i := range int(machine.Uint16(root[10:])) {
		e := root[pageHeader+i*pageElement:]
		if v := e[machine.Uint32(e[4:])+machine.Uint32(e[8:]):]; machine.Uint64(v) != 0 {
			return v
		}
	}
	return make([]byte, 8)
}

// One of the two first pages may be lost: it was being written when the power failed.
func TestVerify_TakesAFileWithOneOfItsTwoBeginnings(t *testing.T) {
	for _, id := range []int{0, 1} {
		l := newLayout(t)
		clear(l.page(id))
		s, err := Open(filepath.Dir(l.write(t)), Options{NoSync: true})
		if err != nil {
			t.Errorf("without page %d: %v", id, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

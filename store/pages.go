package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// A bbolt file is looked over before bbolt maps it. bbolt trusts what it maps: a page that leads back to itself keeps it going
// until the memory or the stack is used up, which nobody can recover from, and a page that is free and in use at once is
// written over by a later commit. Here each page that is in use is read once, within bounds.
//
// The layout is bbolt's file format, version 2: integers in the machine's own order; two pages of meta data, of which the
// newer valid one counts; below its root a tree of branch and leaf pages; the leaves of that hold the buckets, each a tree of
// its own, or one leaf within the value.
const (
	pageHeader    = 16 // id 8, kind 2, count 2, overflow 4
	pageElement   = 16 // of a leaf: flags 4, position 4, key 4, value 4; of a branch: position 4, key 4, page 8
	bucketHeader  = 16 // root 8, sequence 8
	metaSize      = 64
	metaSummed    = 56 // bytes of it that its checksum is of
	metaMagic     = 0xED0CDAED
	metaVersion   = 2
	kindBranch    = 1
	kindLeaf      = 2
	kindFreelist  = 16
	bucketElement = 1
	countIsFirst  = math.MaxUint16 // of a freelist whose length does not fit: it is the first entry
	noFreelist    = math.MaxUint64
	maxDepth      = 32 // pages have hundreds of elements; no tree that fits a disk is as deep
)

var machine = binary.NativeEndian

// meta is what the first pages say of the rest.
type meta struct {
	pageSize             int64
	root, freelist, used uint64 // pages at used and beyond are not
	transaction          uint64
}

// pages looks a file over. seen has the pages that something leads to, free those that the freelist names.
type pages struct {
	file io.ReaderAt
	meta
	seen, free bitmap
	buffer     []byte
}

type bitmap []uint64

func (b bitmap) has(n uint64) bool { return b[n/64]&(1<<(n%64)) != 0 }
func (b bitmap) set(n uint64)      { b[n/64] |= 1 << (n % 64) }

// verify tells whether bbolt can be trusted with a file that has any content. The error is ErrDamaged or one of reading.
func verify(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the file: %w", err)
	}
	p := &pages{file: f}
	if p.meta, err = readMeta(f, info.Size()); err != nil {
		return err
	}
	if p.used > uint64(info.Size()/p.pageSize) {
		return damaged("it has %d bytes and should have %d: its end is missing", info.Size(), p.used*uint64(p.pageSize))
	}
	p.seen, p.free = make(bitmap, p.used/64+1), make(bitmap, p.used/64+1)
	if err := p.readFreelist(); err != nil {
		return err
	}
	return p.tree(p.root, nil, nil, 0, p.rootLeaf)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// readMeta finds the newer of the two. The second one's place tells the page size where the first cannot.
func readMeta(f io.ReaderAt, size int64) (meta, error) {
	var newest meta
	found := false
	consider := func(at int64) {
		m, ok := metaAt(f, at)
		if ok && (!found || m.transaction > newest.transaction) {
			newest, found = m, true
		}
	}
	consider(0)
	if found {
		consider(newest.pageSize)
	}
	for at := int64(1024); !found && at <= 1<<24 && at < size; at *= 2 {
		consider(at)
	}
	if !found {
		return meta{}, damaged("neither of its first two pages can be read: it is no store, or its beginning is lost")
	}
	return newest, nil
}

func metaAt(f io.ReaderAt, at int64) (meta, bool) {
	var b [pageHeader + metaSize]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return meta{}, false
	}
	body := b[pageHeader:]
	sum := fnv.New64a()
	sum.Write(body[:metaSummed])
	m := meta{
		pageSize: int64(machine.Uint32(body[8:])), root: machine.Uint64(body[16:]), freelist: machine.Uint64(body[32:]),
		used: machine.Uint64(body[40:]), transaction: machine.Uint64(body[48:]),
	}
	valid := machine.Uint32(body) == metaMagic && machine.Uint32(body[4:]) == metaVersion && machine.Uint64(body[metaSummed:]) == sum.Sum64()
	return m, valid && m.pageSize >= 1024 && m.pageSize <= 1<<24
}

// page is one page, with those that it overflows into.
type page struct {
	id    uint64
	kind  uint16
	count int
	data  []byte // with the header, until the next page is read
}

// read takes a page that something leads to, once.
func (p *pages) read(id uint64) (page, error) {
	if id < 2 || id >= p.used {
		return page{}, damaged("something leads to page %d, and there are pages 2 to %d", id, p.used-1)
	}
	head, err := p.bytes(id, 0, 1)
	if err != nil {
		return page{}, err
	}
	more := uint64(machine.Uint32(head[12:]))
	if self := machine.Uint64(head); self != id || more >= p.used-id {
		return page{}, damaged("page %d says of itself that it is page %d and %d more", id, self, more)
	}
	for n := id; n <= id+more; n++ {
		if p.seen.has(n) || p.free.has(n) {
			return page{}, damaged("page %d is used twice", n)
		}
		p.seen.set(n)
	}
	data, err := p.bytes(id, 1, int64(more+1))
	if err != nil {
		return page{}, err
	}
	return page{id: id, kind: machine.Uint16(data[8:]), count: int(machine.Uint16(data[10:])), data: data}, nil
}

// bytes are those of so many pages from id on, of which so many are in the buffer already.
func (p *pages) bytes(id uint64, have, want int64) ([]byte, error) {
	if more := want*p.pageSize - int64(len(p.buffer)); more > 0 {
		p.buffer = append(p.buffer, make([]byte, more)...)
	}
	data := p.buffer[:want*p.pageSize]
	if have == want {
		return data, nil
	}
	if _, err := p.file.ReadAt(data[have*p.pageSize:], (int64(id)+have)*p.pageSize); errors.Is(err, io.EOF) {
		return nil, damaged("page %d is not there", id)
	} else if err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	return data, nil
}

func (p *pages) readFreelist() error {
	if p.freelist == noFreelist {
		return nil
	}
	g, err := p.read(p.freelist)
	if err != nil {
		return err
	}
	ids, count := g.data[pageHeader:], uint64(g.count)
	if count == countIsFirst {
		count, ids = machine.Uint64(ids), ids[8:]
	}
	if g.kind != kindFreelist || count > uint64(len(ids)/8) {
		return damaged("page %d is no list of free pages", g.id)
	}
	for i := range count {
		id := machine.Uint64(ids[8*i:])
		if id < 2 || id >= p.used || p.free.has(id) || p.seen.has(id) {
			return damaged("page %d cannot be free", id)
		}
		p.free.set(id)
	}
	return nil
}

// tree looks over what a page leads to. Its keys begin with first and are below end, where there are such: bbolt finds a
// page's place above it by its first key, and puts it there twice where it does not. leaf is given the leaves.
func (p *pages) tree(id uint64, first, end []byte, depth int, leaf func(g page, first, end []byte) error) error {
	g, err := p.read(id)
	switch {
	case err != nil:
		return err
	case g.kind == kindLeaf:
		return leaf(g, first, end)
	case g.kind != kindBranch || g.count == 0 || depth == maxDepth:
		return damaged("page %d is neither a branch nor a leaf of %d levels at most", id, maxDepth)
	}
	g.data = bytes.Clone(g.data)
	keys, err := g.keys(first, end)
	if err != nil {
		return err
	}
	for i := range keys {
		next := end
		if i+1 < len(keys) {
			next = keys[i+1]
		}
		child := machine.Uint64(g.element(i)[8:])
		if err := p.tree(child, keys[i], next, depth+1, leaf); err != nil {
			return err
		}
	}
	return nil
}

func (g *page) element(i int) []byte { return g.data[pageHeader+i*pageElement:] }

// keys are those of a page. Its elements' content stands behind them in their order, without gaps.
func (g *page) keys(first, end []byte) ([][]byte, error) {
	at := pageHeader + g.count*pageElement
	if at > len(g.data) || g.count == 0 && first != nil {
		return nil, damaged("page %d does not hold its %d elements", g.id, g.count)
	}
	keys := make([][]byte, g.count)
	for i := range keys {
		from, size, value := g.extent(i)
		if from != at || size == 0 || value > len(g.data)-at-size {
			return nil, damaged("element %d of page %d is not where it should be", i, g.id)
		}
		keys[i] = g.data[at : at+size]
		at += size + value
	}
	for i, key := range keys {
		if i == 0 && first != nil && !bytes.Equal(first, key) || i > 0 && bytes.Compare(keys[i-1], key) >= 0 || end != nil && bytes.Compare(key, end) >= 0 {
			return nil, damaged("key %q of page %d is out of order", key, g.id)
		}
	}
	return keys, nil
}

// extent is where an element's key begins, how long that is, and how long the value behind it.
func (g *page) extent(i int) (from, key, value int) {
	e := g.element(i)
	from = pageHeader + i*pageElement
	if g.kind == kindBranch {
		return from + int(machine.Uint32(e)), int(machine.Uint32(e[4:])), 0
	}
	return from + int(machine.Uint32(e[4:])), int(machine.Uint32(e[8:])), int(machine.Uint32(e[12:]))
}

func (g *page) flags(i int) uint32 { return machine.Uint32(g.element(i)) }

// value is an element's of a leaf whose keys were looked over.
func (g *page) value(i int) []byte {
	from, key, value := g.extent(i)
	return g.data[from+key:][:value]
}

// rootLeaf holds buckets and nothing else.
func (p *pages) rootLeaf(g page, first, end []byte) error {
	g.data = bytes.Clone(g.data)
	names, err := g.keys(first, end)
	if err != nil {
		return err
	}
	for i, name := range names {
		v := g.value(i)
		if g.flags(i) != bucketElement || len(v) < bucketHeader {
			return damaged("%q on page %d is no bucket", name, g.id)
		}
		if root := machine.Uint64(v); root != 0 {
			err = p.tree(root, nil, nil, 0, recordLeaf)
		} else {
			err = inlineLeaf(name, v[bucketHeader:])
		}
		if err != nil {
			return fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	return nil
}

// inlineLeaf is a bucket so small that its one page is a value.
func inlineLeaf(name, data []byte) error {
	if len(data) < pageHeader || machine.Uint16(data[8:]) != kindLeaf {
		return damaged("%q is an empty bucket without its page", name)
	}
	return recordLeaf(page{kind: kindLeaf, count: int(machine.Uint16(data[10:])), data: data}, nil, nil)
}

// recordLeaf holds records and no buckets: ours are not nested.
func recordLeaf(g page, first, end []byte) error {
	keys, err := g.keys(first, end)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if g.flags(i) != 0 {
			return damaged("%q on page %d is no record", key, g.id)
		}
	}
	return nil
}

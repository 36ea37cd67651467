package code

// Limits bound a tree. A field that is 0 has its default.
type Limits struct {
	// Entries are the files, folders and links below the tree's own folder: 100,000.
	Entries int
	// Bytes are the contents of all files, holes and each hard link counted: 1 GiB.
	Bytes int64
	// Depth is the number of names in a path: 100.
	Depth int
	// NameBytes is the length of a name: 255.
	NameBytes int
	// PathBytes is the length of an entry's path in the tree, and of a link's target: 1024. The path in a container, with the
	// mount's target before it, may have 4095.
	PathBytes int
	// Total are the bytes that all snapshots take together, each entry in whole blocks of 4 KiB: 10 GiB.
	Total int64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Entries: or(l.Entries, 100_000), Bytes: or(l.Bytes, 1<<30),
		Depth: or(l.Depth, 100), NameBytes: or(l.NameBytes, 255), PathBytes: or(l.PathBytes, 1024), Total: or(l.Total, 10<<30),
	}
}

func or[N int | int64](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}

// meter counts what was seen of a tree against its limits.
type meter struct {
	limits  Limits
	entries int
	bytes   int64
}

// list counts n entries of folder.
func (m *meter) list(folder string, n int) error {
	if m.entries += n; m.entries > m.limits.Entries {
		return refused(folder, "the code has more than %d entries, %q is where the count ended: leave out what the flow does not need", m.limits.Entries, shown(folder))
	}
	return nil
}

// place judges where an entry lies.
func (m *meter) place(path, name string, depth int) error {
	switch l := m.limits; {
	case len(name) > l.NameBytes:
		return refused(path, "the name of %q has %d bytes and may have %d: shorten it", path, len(name), l.NameBytes)
	case depth > l.Depth:
		return refused(path, "%q lies %d folders deep and may lie %d: move it up", path, depth-1, l.Depth-1)
	case len(path) > l.PathBytes:
		return refused(path, "the path %q has %d bytes and may have %d: shorten it", path, len(path), l.PathBytes)
	}
	return nil
}

// measure judges a link's target, and counts a file by the size that it claims: no more than that is ever read of it.
func (m *meter) measure(e entry) error {
	l := m.limits
	switch {
	case len(e.target) > l.PathBytes:
		return refused(e.path, "the target of the link %q has %d bytes and may have %d: shorten it", e.path, len(e.target), l.PathBytes)
	case !e.kind.isFile():
		return nil
	case e.stamp.size > l.Bytes-m.bytes:
		return refused(e.path, "the code has more than %d bytes, %q is where the count ended: leave out what the flow does not need", l.Bytes, e.path)
	}
	m.bytes += e.stamp.size
	return nil
}

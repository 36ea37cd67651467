package hostpath

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/moby/sys/mountinfo"
)

// place is a path of the host, told apart by more than its name.
type place struct {
	path  string
	what  identity   // zero where it was not looked at or is not there
	above []identity // of the folders that it is in
	shows []region   // what a mount of it makes visible: itself, and what is mounted below it
}

// identity tells two names of one file.
type identity struct{ dev, ino uint64 }

// region is a folder of one file system, wherever that is mounted.
type region struct {
	device string
	path   string
	kind   string
}

// table is what is mounted where, later mounts behind earlier ones.
type table []*mountinfo.Info

func readTable() (table, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	return mounts, nil
}

// name is a place known by its path alone: nothing on the disk is looked at.
func (t table) name(path string) place {
	return place{path: path, shows: t.shows(path)}
}

// look is the place that a path without symlinks is now.
func (t table) look(path string) (place, os.FileInfo, error) {
	p := t.name(path)
	info, err := os.Lstat(path)
	if err != nil {
		return p, nil, err
	}
	p.what = identify(info)
	for folder := filepath.Dir(path); ; folder = filepath.Dir(folder) {
		above, err := os.Stat(folder)
		if err != nil {
			return p, nil, err
		}
		p.above = append(p.above, identify(above))
		if folder == "/" {
			return p, info, nil
		}
	}
}

func identify(info os.FileInfo) identity {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{stat.Dev, stat.Ino}
}

// mounts are the mount that path is in, and those below it.
func (t table) mounts(path string) (under *mountinfo.Info, below []*mountinfo.Info) {
	under = &mountinfo.Info{Mountpoint: "/", Root: "/"}
	for _, m := range t {
		if within(path, m.Mountpoint) && len(m.Mountpoint) >= len(under.Mountpoint) {
			under = m
		} else if within(m.Mountpoint, path) {
			below = append(below, m)
		}
	}
	return under, below
}

// shows begins with the region of path itself. What is mounted below it comes along, for the engine binds recursively.
func (t table) shows(path string) []region {
	under, mounted := t.mounts(path)
	list := []region{{}}
	for _, m := range mounted {
		list = append(list, regionOf(m, "/"))
	}
	below, err := filepath.Rel(under.Mountpoint, path)
	if err != nil {
		below = "." // neither is relative, so there is a way
	}
	list[0] = regionOf(under, below)
	return list
}

func regionOf(m *mountinfo.Info, below string) region {
	return region{fmt.Sprintf("%d:%d", m.Major, m.Minor), filepath.Join(m.Root, below), m.FSType}
}

// inside tells whether p is strictly below q, so that who may write to q can put something else in p's place.
func (p *place) inside(q *place) bool {
	if p.path != q.path && within(p.path, q.path) {
		return true
	}
	return slices.ContainsFunc(q.shows, func(r region) bool { return p.shows[0].below(r) && p.shows[0].path != r.path })
}

// reaches tells whether a mount of p shows n or something of it.
func (p *place) reaches(n *place) bool {
	if n.what != (identity{}) && (p.what == n.what || slices.Contains(p.above, n.what)) || slices.Contains(n.above, p.what) {
		return true
	}
	return slices.ContainsFunc(p.shows, func(r region) bool { return r.below(n.shows[0]) || n.shows[0].below(r) })
}

// below tells whether r is s or lies in it.
func (r region) below(s region) bool { return r.device == s.device && within(r.path, s.path) }
